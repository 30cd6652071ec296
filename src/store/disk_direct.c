/*
 * disk_direct.c - see disk_direct.h
 */
#include "store/disk_direct.h"

#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void
disk_direct_init(struct disk_direct *direct)
{
	*direct = (struct disk_direct){ .slot = DISK_DIRECT_NO_SLOT, .fd = -1 };
}

void
disk_direct_close(struct disk_direct *direct)
{
	if (direct->fd >= 0)
		(void)close(direct->fd);
	disk_direct_init(direct);
}

int
disk_direct_open(struct disk_direct *direct, int dir, const char *name, uint32_t slot)
{
	if (direct->slot != slot) {
		disk_direct_close(direct);
		direct->fd = openat(dir, name, O_WRONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
		direct->slot = slot;
	}
	return direct->fd;
}

bool
disk_direct_is_possible(struct slice bytes, uint64_t offset)
{
	return (uintptr_t)bytes.ptr % DISK_ALIGN == 0 && bytes.len % DISK_ALIGN == 0
		&& offset % DISK_ALIGN == 0;
}

int
disk_direct_write(int fd, struct slice *bytes, uint64_t *offset)
{
	while (fd >= 0 && bytes->len > 0 && disk_direct_is_possible(*bytes, *offset)) {
		ssize_t done = pwrite(fd, bytes->ptr, bytes->len, (off_t)*offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno == EINVAL ? 0 : errno; /* that is how some say no */
		if (done == 0)
			break;
		*bytes = slice_from(*bytes, (size_t)done);
		*offset += (uint64_t)done;
	}
	return 0;
}
