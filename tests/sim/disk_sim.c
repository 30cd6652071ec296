/*
 * disk_sim.c - the simulated disk (see disk_sim.h)
 */
#include "sim/disk_sim.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/wire.h"

#include <errno.h>
#include <stdio.h>

static void
disk_sim_submit(struct disk *disk, struct disk_op *op)
{
	struct disk_sim *sim = (struct disk_sim *)disk;

	CHECK(sim->queued < DISK_SIM_QUEUE);
	sim->queue[sim->queued++] = op;
}

void
disk_sim_init(struct disk_sim *sim, uint64_t seed)
{
	*sim = (struct disk_sim){ .disk.submit = disk_sim_submit };
	rng_init(&sim->rng, seed);
}

static void
disk_sim_file_free(struct disk_sim_file *file)
{
	mem_free(file->cache);
	mem_free(file->stable);
	mem_free(file->dirty);
	*file = (struct disk_sim_file){ 0 };
}

void
disk_sim_done(struct disk_sim *sim)
{
	for (size_t i = 0; i < DISK_SIM_SLOTS; i++)
		disk_sim_file_free(&sim->files[i]);
	for (size_t i = 0; i < DISK_SIM_NAMED; i++)
		buf_done(&sim->named[i].bytes);
}

static struct disk_sim_file *
disk_sim_file(struct disk_sim *sim, uint32_t slot)
{
	CHECK(slot < DISK_SIM_SLOTS);
	return &sim->files[slot];
}

/* A longer file is zeroes up to what is written. */
static void
disk_sim_grow(struct disk_sim_file *file, uint64_t size)
{
	uint64_t more = size - file->size;

	file->cache = mem_resize(file->cache, size, 1);
	file->stable = mem_resize(file->stable, size, 1);
	file->dirty = mem_resize(file->dirty, size / DISK_SIM_BLOCK, 1);
	memset(file->cache + file->size, 0, more);
	memset(file->stable + file->size, 0, more);
	memset(file->dirty + file->size / DISK_SIM_BLOCK, 0, more / DISK_SIM_BLOCK);
	file->size = size;
}

uint64_t
disk_sim_free(const struct disk_sim *sim)
{
	uint64_t used = sim->foreign;

	if (sim->capacity == 0)
		return UINT64_MAX;
	for (size_t i = 0; i < DISK_SIM_SLOTS; i++)
		used += sim->files[i].size;
	for (size_t i = 0; i < DISK_SIM_NAMED; i++)
		used += sim->named[i].bytes.len;
	return used < sim->capacity ? sim->capacity - used : 0;
}

/* Whether there is room for so much more. */
static bool
disk_sim_has_room(struct disk_sim *sim, struct disk_op *op, uint64_t bytes)
{
	if (bytes == 0 || disk_sim_free(sim) >= bytes)
		return true;
	op->err = ERR_NOSPACE;
	op->sys_errno = ENOSPC;
	return false;
}

static void
disk_sim_list(struct disk_sim *sim, struct disk_op *op)
{
	for (uint32_t slot = 0; slot < DISK_SIM_SLOTS; slot++) {
		if (!sim->files[slot].exists)
			continue;
		wire_put_u32(&op->list, slot);
		wire_put_u64(&op->list, sim->files[slot].size);
	}
}

static void
disk_sim_prepare(struct disk_sim *sim, struct disk_op *op)
{
	struct disk_sim_file *file = disk_sim_file(sim, op->slot);

	if (rng_one_in(&sim->rng, sim->prepare_fails_one_in)) {
		op->err = ERR_NOSPACE;
		op->sys_errno = ENOSPC;
		return;
	}
	disk_sim_file_free(file);
	file->exists = true;
	file->size = file->stable_size = op->length;
	if (op->length == 0)
		return;
	file->cache = mem_array(op->length, 1);
	file->stable = mem_array(op->length, 1);
	file->dirty = mem_array(op->length / DISK_SIM_BLOCK, 1);
}

/* In part: any blocks but the first, as after a crash. */
static void
disk_sim_zero(struct disk_sim *sim, struct disk_op *op, bool in_part)
{
	struct disk_sim_file *file = disk_sim_file(sim, op->slot);

	if (!in_part && rng_one_in(&sim->rng, sim->prepare_fails_one_in)) {
		op->err = ERR_NOSPACE;
		op->sys_errno = ENOSPC;
		in_part = true;
	}
	for (uint64_t block = 0; block < file->size / DISK_SIM_BLOCK; block++) {
		if (in_part && (block == 0 || rng_one_in(&sim->rng, 2)))
			continue;
		memset(file->cache + block * DISK_SIM_BLOCK, 0, DISK_SIM_BLOCK);
		memset(file->stable + block * DISK_SIM_BLOCK, 0, DISK_SIM_BLOCK);
		file->dirty[block] = 0;
	}
}

static void
disk_sim_write_block(struct disk_sim_file *file, const struct disk_op *op, uint64_t block)
{
	uint64_t at = op->offset + block * DISK_SIM_BLOCK;

	memcpy(file->cache + at, op->bytes.ptr + block * DISK_SIM_BLOCK, DISK_SIM_BLOCK);
	file->dirty[at / DISK_SIM_BLOCK] = 1;
}

/* The disk says that a block is stable: it is not, or it is elsewhere. */
static void
disk_sim_lie(struct disk_sim *sim, struct disk_sim_file *file, uint64_t block)
{
	uint64_t to = rng_below(&sim->rng, file->size / DISK_SIM_BLOCK);

	sim->lies++;
	sim->flushes_since_lie = 0;
	if (rng_one_in(&sim->rng, 2))
		memcpy(file->stable + to * DISK_SIM_BLOCK, file->cache + block * DISK_SIM_BLOCK,
			DISK_SIM_BLOCK);
}

/* A bit of a finished file, if the named one that was chosen is one. */
static bool
disk_sim_rot_named(struct disk_sim *sim)
{
	struct disk_sim_named *named = &sim->named[rng_below(&sim->rng, DISK_SIM_NAMED)];

	for (size_t i = 0; i < DISK_SIM_NAMED; i++) {
		if (sim->named[i].area == DISK_AREA_INDEX && sim->named[i].stable)
			named = &sim->named[i];
	}
	if (named->name[0] == '\0' || named->area != DISK_AREA_INDEX || named->bytes.len == 0)
		return false;
	named->bytes.ptr[rng_below(&sim->rng, rng_one_in(&sim->rng, 2) ? 512 : named->bytes.len)] ^= 0x10;
	sim->lies++;
	sim->flushes_since_lie = 0;
	return true;
}

bool
disk_sim_rot(struct disk_sim *sim)
{
	uint64_t count = 0, pick;

	if (rng_one_in(&sim->rng, 4) && disk_sim_rot_named(sim))
		return true;
	for (uint32_t slot = 0; slot < DISK_SIM_SLOTS; slot++)
		count += sim->files[slot].size > 0;
	pick = count == 0 ? 0 : rng_below(&sim->rng, count);
	for (uint32_t slot = 0; slot < DISK_SIM_SLOTS; slot++) {
		if (sim->files[slot].size == 0 || pick-- > 0)
			continue;
		disk_sim_damage(sim, slot, rng_below(&sim->rng, sim->files[slot].size));
		sim->lies++;
		sim->flushes_since_lie = 0;
		return true;
	}
	return false;
}

static void
disk_sim_flush(struct disk_sim *sim, struct disk_sim_file *file, struct disk_op *op)
{
	bool fails = rng_one_in(&sim->rng, sim->flush_fails_one_in);

	for (uint64_t block = 0; block < file->size / DISK_SIM_BLOCK; block++) {
		uint64_t at = block * DISK_SIM_BLOCK;

		if (!file->dirty[block])
			continue;
		/* A failed flush may have written some blocks; none is dirty any more. */
		if (!fails && rng_one_in(&sim->rng, sim->lies_one_in))
			disk_sim_lie(sim, file, block);
		else if (!fails || rng_one_in(&sim->rng, 3))
			memcpy(file->stable + at, file->cache + at, DISK_SIM_BLOCK);
		file->dirty[block] = 0;
	}
	if (!fails)
		file->stable_size = file->size;
	sim->flushes_since_lie += !fails && op->kind == DISK_WRITE;
	if (fails) {
		op->err = ERR_IO;
		op->sys_errno = EIO;
	}
}

static void
disk_sim_write(struct disk_sim *sim, struct disk_op *op)
{
	struct disk_sim_file *file = disk_sim_file(sim, op->slot);

	CHECK(file->exists && op->offset % DISK_SIM_BLOCK == 0);
	CHECK(op->bytes.len % DISK_SIM_BLOCK == 0);
	if (op->offset + op->bytes.len > file->size) {
		if (!disk_sim_has_room(sim, op, op->offset + op->bytes.len - file->size)) {
			sim->full_count++;
			return;
		}
		disk_sim_grow(file, op->offset + op->bytes.len);
	}
	for (uint64_t block = 0; block < op->bytes.len / DISK_SIM_BLOCK; block++)
		disk_sim_write_block(file, op, block);
	if (op->flush)
		disk_sim_flush(sim, file, op);
}

static void
disk_sim_read(struct disk_sim *sim, struct disk_op *op)
{
	struct disk_sim_file *file = disk_sim_file(sim, op->slot);

	if (!file->exists) {
		op->err = ERR_NOTFOUND;
		return;
	}
	if (!op->direct && rng_one_in(&sim->rng, sim->read_fails_one_in)) {
		op->err = ERR_IO;
		op->sys_errno = EIO;
		return;
	}
	buf_add(&op->list,
		slice_head(slice_from(slice_make(op->direct ? file->stable : file->cache, file->size),
				   op->offset),
			op->length));
}

/* --- files of areas ------------------------------------------------------------------------------ */

static struct disk_sim_named *
disk_sim_named(struct disk_sim *sim, enum disk_area area, const char *name)
{
	for (size_t i = 0; i < DISK_SIM_NAMED; i++)
		if (strcmp(sim->named[i].name, name) == 0
			&& (sim->named[i].area == area || name[0] == '\0'))
			return &sim->named[i];
	return NULL;
}

size_t
disk_sim_large_count(const struct disk_sim *sim)
{
	size_t count = 0;

	for (size_t i = 0; i < DISK_SIM_NAMED; i++)
		count += sim->named[i].name[0] != '\0' && sim->named[i].area == DISK_AREA_LARGE;
	return count;
}

static struct disk_sim_named *
disk_sim_named_temporary(struct disk_sim *sim, const struct disk_op *op)
{
	char name[DISK_NAME_SIZE + 8];
	struct disk_sim_named *large;

	(void)snprintf(name, sizeof(name), "%s%s", op->name, DISK_TEMPORARY);
	large = disk_sim_named(sim, op->area, name);
	if (large == NULL) {
		large = disk_sim_named(sim, op->area, "");
		CHECK(large != NULL && strlen(name) < sizeof(large->name));
		memcpy(large->name, name, strlen(name) + 1);
		large->area = op->area;
		large->stable = false;
		buf_init(&large->bytes, 0);
	}
	return large;
}

static void
disk_sim_named_remove(struct disk_sim_named *large)
{
	buf_done(&large->bytes);
	*large = (struct disk_sim_named){ .stable = false };
}

static void
disk_sim_named_append(struct disk_sim *sim, struct disk_op *op)
{
	struct disk_sim_named *large = disk_sim_named_temporary(sim, op);

	if (rng_one_in(&sim->rng, sim->prepare_fails_one_in)) {
		op->err = ERR_NOSPACE;
		return;
	}
	CHECK(op->offset == large->bytes.len || op->offset == 0);
	if (op->offset == 0)
		buf_clear(&large->bytes);
	if (!disk_sim_has_room(sim, op, op->bytes.len))
		return;
	buf_add(&large->bytes, op->bytes);
}

/* A rename puts the new file in the place of an old one. */
static void
disk_sim_named_replace(struct disk_sim *sim, const struct disk_op *op)
{
	struct disk_sim_named *old = disk_sim_named(sim, op->area, op->name);

	CHECK(old == NULL || op->area == DISK_AREA_INDEX);
	if (old != NULL)
		disk_sim_named_remove(old);
}

static void
disk_sim_named_finish(struct disk_sim *sim, struct disk_op *op)
{
	struct disk_sim_named *large = disk_sim_named_temporary(sim, op);

	if (rng_one_in(&sim->rng, sim->flush_fails_one_in)) {
		op->err = ERR_IO;
		op->sys_errno = EIO;
		return;
	}
	disk_sim_named_replace(sim, op);
	memcpy(large->name, op->name, sizeof(large->name));
	large->stable = true;
}

static void
disk_sim_named_list(struct disk_sim *sim, struct disk_op *op)
{
	for (size_t i = 0; i < DISK_SIM_NAMED; i++)
		if (sim->named[i].name[0] != '\0' && sim->named[i].area == op->area)
			wire_put_bytes(&op->list, slice_str(sim->named[i].name));
}

static void
disk_sim_named_run(struct disk_sim *sim, struct disk_op *op)
{
	struct disk_sim_named *large;

	if (op->kind == DISK_FILE_APPEND) {
		disk_sim_named_append(sim, op);
	} else if (op->kind == DISK_FILE_FINISH) {
		disk_sim_named_finish(sim, op);
	} else if (op->kind == DISK_FILE_LIST) {
		disk_sim_named_list(sim, op);
	} else {
		large = disk_sim_named(sim, op->area, op->name);
		if (large == NULL)
			op->err = ERR_NOTFOUND;
		else if (op->kind == DISK_FILE_REMOVE || op->kind == DISK_FILE_KEEP)
			disk_sim_named_remove(large);
		else
			buf_add(&op->list, slice_head(slice_from(buf_slice(&large->bytes), op->offset),
						   op->length));
	}
}

/* Every message of the simulation has this. */
static bool
disk_sim_holds_mail(const struct disk_sim_file *file)
{
	static const char mark[] = "envelope";

	return file->size > 0 && memmem(file->cache, file->size, mark, sizeof(mark) - 1) != NULL;
}

static void
disk_sim_save(struct disk_sim *sim, const struct disk_op *op)
{
	if (strncmp(op->name, "tail-", 5) != 0) {
		sim->saved_count++;
		return;
	}
	CHECK(op->bytes.len >= DISK_SIM_BLOCK);
	memcpy(sim->tail_name, op->name, sizeof(sim->tail_name));
	memcpy(sim->tail_block, op->bytes.ptr, DISK_SIM_BLOCK);
}

static void
disk_sim_run(struct disk_sim *sim, struct disk_op *op)
{
	op->err = ERR_OK;
	op->sys_errno = 0;
	switch (op->kind) {
	case DISK_LIST:
		disk_sim_list(sim, op);
		break;
	case DISK_PREPARE:
		disk_sim_prepare(sim, op);
		break;
	case DISK_ZERO:
		disk_sim_zero(sim, op, false);
		break;
	case DISK_WRITE:
		disk_sim_write(sim, op);
		break;
	case DISK_READ:
		disk_sim_read(sim, op);
		break;
	case DISK_SYNC:
		disk_sim_flush(sim, disk_sim_file(sim, op->slot), op);
		break;
	case DISK_SPACE:
		op->length = disk_sim_free(sim);
		break;
	case DISK_REMOVE:
		sim->mail_removed += disk_sim_holds_mail(disk_sim_file(sim, op->slot));
		disk_sim_file_free(disk_sim_file(sim, op->slot));
		break;
	case DISK_RETIRE:
		disk_sim_file_free(disk_sim_file(sim, op->slot));
		break;
	case DISK_SAVE:
		disk_sim_save(sim, op);
		break;
	case DISK_FILE_APPEND:
	case DISK_FILE_FINISH:
	case DISK_FILE_REMOVE:
	case DISK_FILE_KEEP:
	case DISK_FILE_LIST:
	case DISK_FILE_READ:
		disk_sim_named_run(sim, op);
		break;
	}
}

/* Any operation may be next, but writes keep their order. */
static size_t
disk_sim_pick(struct disk_sim *sim)
{
	size_t pick = rng_below(&sim->rng, sim->queued);

	if (sim->queue[pick]->kind == DISK_WRITE)
		for (size_t i = 0; i < pick; i++)
			if (sim->queue[i]->kind == DISK_WRITE)
				return i;
	return pick;
}

bool
disk_sim_step(struct disk_sim *sim)
{
	struct disk_op *op;
	size_t pick;

	if (sim->queued == 0)
		return false;
	pick = disk_sim_pick(sim);
	op = sim->queue[pick];
	sim->queued--;
	memmove(&sim->queue[pick], &sim->queue[pick + 1],
		(sim->queued - pick) * sizeof(sim->queue[0]));
	disk_sim_run(sim, op);
	op->done(op->ctx, op);
	return true;
}

/* What is to be removed is made short first, piece by piece: whether it is left so. */
static bool
disk_sim_shortens(struct disk_sim *sim, const struct disk_op *op)
{
	struct disk_sim_file *file = disk_sim_file(sim, op->slot);
	struct disk_sim_named *named;

	if (op->kind == DISK_REMOVE && file->exists && file->size > 0 && rng_one_in(&sim->rng, 3)) {
		file->size = (1 + rng_below(&sim->rng, file->size / DISK_SIM_BLOCK)) * DISK_SIM_BLOCK;
		file->stable_size = file->size;
		return true;
	}
	if (op->kind != DISK_FILE_REMOVE || !rng_one_in(&sim->rng, 3))
		return false;
	named = disk_sim_named(sim, op->area, op->name);
	if (named != NULL)
		named->bytes.len = rng_below(&sim->rng, named->bytes.len + 1);
	return named != NULL;
}

/* What was asked for is done, in part or not at all; nobody hears of it. */
static void
disk_sim_die_amid(struct disk_sim *sim, struct disk_op *op)
{
	uint64_t blocks = op->length / DISK_SIM_BLOCK;

	if (op->kind == DISK_PREPARE && blocks > 0 && rng_one_in(&sim->rng, 2))
		op->length = (1 + rng_below(&sim->rng, blocks)) * DISK_SIM_BLOCK;
	if (op->kind == DISK_ZERO && rng_one_in(&sim->rng, 2)) {
		disk_sim_zero(sim, op, true);
		return;
	}
	if (disk_sim_shortens(sim, op))
		return;
	if ((op->kind == DISK_PREPARE || op->kind == DISK_ZERO || op->kind == DISK_REMOVE || op->kind == DISK_RETIRE
		    || op->kind == DISK_FILE_FINISH || op->kind == DISK_FILE_REMOVE)
		&& rng_one_in(&sim->rng, 2))
		disk_sim_run(sim, op);
}

void
disk_sim_die(struct disk_sim *sim)
{
	for (size_t i = 0; i < sim->queued; i++) {
		struct disk_op *op = sim->queue[i];
		struct disk_sim_file *file;

		if (op->kind == DISK_SAVE) {
			if (rng_one_in(&sim->rng, 2))
				disk_sim_save(sim, op);
			continue;
		}
		if (op->kind != DISK_WRITE) {
			disk_sim_die_amid(sim, op);
			continue;
		}
		file = disk_sim_file(sim, op->slot);
		if (op->offset + op->bytes.len > file->size) {
			if (disk_sim_free(sim) < op->offset + op->bytes.len - file->size)
				continue;
			disk_sim_grow(file, op->offset + op->bytes.len);
		}
		for (uint64_t block = 0; block < op->bytes.len / DISK_SIM_BLOCK; block++)
			if (rng_one_in(&sim->rng, 2))
				disk_sim_write_block(file, op, block);
	}
	sim->queued = 0;
}

/* Each sector of a torn block is old or new. */
static void
disk_sim_tear(struct disk_sim *sim, struct disk_sim_file *file, uint64_t at)
{
	for (uint64_t sector = 0; sector < DISK_SIM_BLOCK; sector += DISK_SIM_SECTOR)
		if (rng_one_in(&sim->rng, 2))
			memcpy(file->stable + at + sector, file->cache + at + sector,
				DISK_SIM_SECTOR);
}

void
disk_sim_lose_power(struct disk_sim *sim)
{
	for (size_t i = 0; i < DISK_SIM_SLOTS; i++) {
		struct disk_sim_file *file = &sim->files[i];

		/* How far it has grown is lost independently of what was written there. */
		if (file->exists && file->size > file->stable_size) {
			uint64_t more = (file->size - file->stable_size) / DISK_SIM_BLOCK;

			file->size = file->stable_size + rng_below(&sim->rng, more + 1) * DISK_SIM_BLOCK;
			file->stable_size = file->size;
		}
		for (uint64_t block = 0; file->exists && block < file->size / DISK_SIM_BLOCK; block++) {
			uint64_t at = block * DISK_SIM_BLOCK, fate = rng_below(&sim->rng, 4);

			if (file->dirty[block] && fate == 0)
				memcpy(file->stable + at, file->cache + at, DISK_SIM_BLOCK);
			else if (file->dirty[block] && fate == 1)
				disk_sim_tear(sim, file, at);
			file->dirty[block] = 0;
		}
		if (file->size > 0)
			memcpy(file->cache, file->stable, file->size);
	}
	for (size_t i = 0; i < DISK_SIM_NAMED; i++)
		if (!sim->named[i].stable && rng_one_in(&sim->rng, 2))
			disk_sim_named_remove(&sim->named[i]);
}

const struct disk_op *
disk_sim_writing(const struct disk_sim *sim)
{
	for (size_t i = 0; i < sim->queued; i++)
		if (sim->queue[i]->kind == DISK_WRITE)
			return sim->queue[i];
	return NULL;
}

bool
disk_sim_is_torn(struct disk_sim *sim, uint32_t slot, uint64_t offset, struct slice bytes)
{
	const struct disk_sim_file *file = disk_sim_file(sim, slot);

	const uint8_t *first;

	if (!file->exists || offset + DISK_SIM_BLOCK > file->size)
		return false;
	/* What a failed flush has dropped is in the cache, but nobody reads it there. */
	first = (file->dirty[offset / DISK_SIM_BLOCK] ? file->cache : file->stable) + offset;
	if (offset + bytes.len > file->size)
		return memcmp(first, bytes.ptr, DISK_SIM_BLOCK) == 0;
	return memcmp(first, bytes.ptr, DISK_SIM_BLOCK) == 0
		&& memcmp(file->cache + offset, bytes.ptr, bytes.len) != 0;
}

void
disk_sim_damage(struct disk_sim *sim, uint32_t slot, uint64_t offset)
{
	struct disk_sim_file *file = disk_sim_file(sim, slot);

	CHECK(file->exists && offset < file->size);
	file->cache[offset] ^= 0x40;
	file->stable[offset] ^= 0x40;
}
