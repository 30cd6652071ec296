/*
 * check_disk.c - the store's disk as a check sees it (see check_disk.h)
 */
#include "check/check_disk.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static struct check_disk_slot *
check_disk_find(const struct check_disk *disk, uint32_t slot)
{
	struct check_disk_slot *found;

	HASH_FIND(hh, disk->slots, &slot, sizeof(slot), found);
	return found;
}

static struct check_disk_slot *
check_disk_get(struct check_disk *disk, uint32_t slot)
{
	struct check_disk_slot *found = check_disk_find(disk, slot);

	if (found != NULL)
		return found;
	found = MEM_NEW(struct check_disk_slot);
	found->slot = slot;
	found->fd = memfd_create("ostler-check", MFD_CLOEXEC);
	HASH_ADD(hh, disk->slots, slot, sizeof(slot), found);
	return found;
}

static void
check_disk_fail(struct disk_op *op)
{
	op->err = ERR_IO;
	op->sys_errno = errno;
}

static void
check_disk_write(struct check_disk *disk, struct disk_op *op)
{
	int fd = check_disk_get(disk, op->slot)->fd;
	struct slice rest = op->bytes;
	uint64_t at = op->offset;

	while (rest.len > 0) {
		ssize_t done = pwrite(fd, rest.ptr, rest.len, (off_t)at);

		if (done <= 0) {
			check_disk_fail(op);
			return;
		}
		rest = slice_from(rest, (size_t)done);
		at += (uint64_t)done;
	}
}

static void
check_disk_read(struct check_disk *disk, struct disk_op *op)
{
	int fd = check_disk_get(disk, op->slot)->fd;
	ssize_t got;

	if (buf_reserve(&op->list, op->length) < 0) {
		op->err = ERR_IO;
		return;
	}
	got = pread(fd, op->list.ptr + op->list.len, op->length, (off_t)op->offset);
	if (got < 0)
		check_disk_fail(op);
	else
		op->list.len += (size_t)got;
}

static void
check_disk_prepare(struct check_disk *disk, struct disk_op *op)
{
	if (ftruncate(check_disk_get(disk, op->slot)->fd, (off_t)op->length) < 0)
		check_disk_fail(op);
}

/* Whether it is done here, and what that means. */
static bool
check_disk_takes(struct check_disk *disk, struct disk_op *op)
{
	switch (op->kind) {
	case DISK_READ:
		if (check_disk_find(disk, op->slot) == NULL)
			return false;
		check_disk_read(disk, op);
		return true;
	case DISK_FILE_LIST:
		return op->area == DISK_AREA_LARGE;
	case DISK_PREPARE:
		if (!disk->writes)
			check_disk_prepare(disk, op);
		return !disk->writes;
	case DISK_WRITE:
		if (!disk->writes)
			check_disk_write(disk, op);
		return !disk->writes;
	case DISK_SPACE:
	case DISK_LIST:
	case DISK_FILE_READ:
		return false;
	case DISK_SYNC:
	case DISK_ZERO:
	case DISK_REMOVE:
	case DISK_SAVE:
	case DISK_RETIRE:
	case DISK_FILE_APPEND:
	case DISK_FILE_FINISH:
	case DISK_FILE_REMOVE:
	case DISK_FILE_KEEP:
		break;
	}
	return !disk->writes;
}

static void
check_disk_submit(struct disk *base, struct disk_op *op)
{
	struct check_disk *disk = (struct check_disk *)base;

	if (op->kind == DISK_SAVE || op->kind == DISK_RETIRE || op->kind == DISK_REMOVE
		|| op->kind == DISK_FILE_REMOVE || op->kind == DISK_FILE_KEEP)
		disk->change(disk->ctx, op);
	if (op->kind == DISK_READ)
		disk->read_bytes += op->length;
	op->err = ERR_OK;
	op->sys_errno = 0;
	if (!check_disk_takes(disk, op)) {
		disk_submit(disk->below, op);
		return;
	}
	op->next = NULL;
	*disk->tail = op;
	disk->tail = &op->next;
}

void
check_disk_init(struct check_disk *disk, struct disk *below, bool writes,
	check_disk_change_fn *change, void *ctx)
{
	*disk = (struct check_disk) { .disk.submit = check_disk_submit,
		.below = below,
		.writes = writes,
		.change = change,
		.ctx = ctx };
	disk->tail = &disk->head;
}

void
check_disk_done(struct check_disk *disk)
{
	struct check_disk_slot *slot, *next;

	HASH_ITER(hh, disk->slots, slot, next)
	{
		HASH_DELETE(hh, disk->slots, slot);
		(void)close(slot->fd);
		mem_free(slot);
	}
}

unsigned
check_disk_poll(struct check_disk *disk)
{
	struct disk_op *op = disk->head, *next;
	unsigned count = 0;

	disk->head = NULL;
	disk->tail = &disk->head;
	for (; op != NULL; op = next) {
		next = op->next; /* the completion may submit or free the operation */
		op->done(op->ctx, op);
		count++;
	}
	return count;
}

bool
check_disk_is_due(const struct check_disk *disk)
{
	return disk->head != NULL;
}
