/*
 * corrupt_dir.c - the files under corrupt/ (see corrupt_dir.h)
 */
#include "check/corrupt_dir.h"

#include "base/hash.h"
#include "base/mem.h"
#include "message/address.h"
#include "message/queue_id.h"
#include "message/recipient_list.h"
#include "message/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { CORRUPT_FILE_MAX = 64 * 1024 * 1024, CORRUPT_PIECE = 1024 * 1024 };
enum { CORRUPT_ADDRESS = ADDRESS_UTF8 | ADDRESS_BARE };

static const struct {
	const char *prefix, *name;
} corrupt_kinds[] = {
	[CORRUPT_MESSAGE] = { "message-", "message" },
	[CORRUPT_DAMAGE] = { "damage-", "damage" },
	[CORRUPT_TAIL] = { "tail-", "tail" },
	[CORRUPT_LARGE] = { "large-", "large" },
	[CORRUPT_OTHER] = { "", "other" },
};

enum corrupt_kind
corrupt_kind_of(const char *name)
{
	for (int i = 0; i < CORRUPT_OTHER; i++)
		if (strncmp(name, corrupt_kinds[i].prefix, strlen(corrupt_kinds[i].prefix)) == 0)
			return (enum corrupt_kind)i;
	return CORRUPT_OTHER;
}

const char *
corrupt_kind_name(enum corrupt_kind kind)
{
	return corrupt_kinds[kind].name;
}

/* --- the directory ---------------------------------------- */

static int
corrupt_compare(const void *a, const void *b)
{
	const char *const *one = a;
	const char *const *other = b;

	return strcmp(*one, *other);
}

/* Not what we keep there for ourselves. */
static bool
corrupt_is_listed(const char *name)
{
	return name[0] != '.' && strcmp(name, "requeue.ledger") != 0;
}

static void
corrupt_dir_list(struct corrupt_dir *dir, DIR *list)
{
	size_t cap = 0;
	struct dirent *entry;

	while ((entry = readdir(list)) != NULL) {
		if (!corrupt_is_listed(entry->d_name))
			continue;
		if (dir->count == cap) {
			cap = cap == 0 ? 64 : 2 * cap;
			dir->names = mem_resize(dir->names, cap, sizeof(dir->names[0]));
		}
		dir->names[dir->count++] = mem_strndup(entry->d_name, strlen(entry->d_name));
	}
	if (dir->count > 0)
		qsort(dir->names, dir->count, sizeof(dir->names[0]), corrupt_compare);
}

int
corrupt_dir_open(struct corrupt_dir *dir, struct cli *cli)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, fd;
	DIR *list;

	*dir = (struct corrupt_dir) { .cli = cli, .fd = -1, .large_fd = -1 };
	dir->fd = openat(cli->queue_fd, "corrupt", flags);
	if (dir->fd < 0)
		return cli_complain(cli,
			errno == EACCES	  ? EX_NOPERM
			: errno == ENOENT ? EX_NOINPUT
					  : EX_IOERR,
			"queue_directory/corrupt: %s", strerrordesc_np(errno));
	dir->large_fd = openat(cli->queue_fd, "large", flags);
	fd = openat(dir->fd, ".", flags);
	list = fd < 0 ? NULL : fdopendir(fd);
	if (list == NULL)
		return cli_complain(
			cli, EX_IOERR, "queue_directory/corrupt: %s", strerrordesc_np(errno));
	corrupt_dir_list(dir, list);
	(void)closedir(list);
	return EX_OK;
}

void
corrupt_dir_close(struct corrupt_dir *dir)
{
	for (size_t i = 0; i < dir->count; i++)
		mem_free(dir->names[i]);
	mem_free(dir->names);
	if (dir->fd >= 0)
		(void)close(dir->fd);
	if (dir->large_fd >= 0)
		(void)close(dir->large_fd);
	*dir = (struct corrupt_dir) { .fd = -1, .large_fd = -1 };
}

const char *
corrupt_dir_find(const struct corrupt_dir *dir, const char *id)
{
	char as_id[64], as_hex[64] = "";
	uint64_t number;

	(void)snprintf(as_hex, sizeof(as_hex), "message-%s", id);
	if (queue_id_parse(slice_str(id), &number) == ERR_OK)
		(void)snprintf(
			as_id, sizeof(as_id), "message-%016llx", (unsigned long long)number);
	else
		(void)snprintf(as_id, sizeof(as_id), "%s", as_hex);
	for (size_t i = 0; i < dir->count; i++)
		if (strcmp(dir->names[i], id) == 0 || strcmp(dir->names[i], as_id) == 0
			|| strcmp(dir->names[i], as_hex) == 0)
			return dir->names[i];
	return NULL;
}

/* --- a file ---------------------------------------- */

static bool
corrupt_read_all(int fd, struct buf *bytes)
{
	ssize_t got = 1;

	while (got > 0) {
		if (buf_reserve(bytes, CORRUPT_PIECE) < 0) {
			errno = EFBIG;
			return false;
		}
		got = read(fd, bytes->ptr + bytes->len, CORRUPT_PIECE);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			bytes->len += (size_t)got;
	}
	return got == 0;
}

static bool
corrupt_open(int dir, const char *name, struct stat *ret_info, int *ret_fd)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, ret_info) == 0 && S_ISREG(ret_info->st_mode)) {
		*ret_fd = fd;
		return true;
	}
	if (fd >= 0) {
		(void)close(fd);
		errno = EINVAL;
	}
	return false;
}

/* Where content of its own lies: kept beside the message, or still in its place. */
static int
corrupt_large_open(
	const struct corrupt_dir *dir, uint64_t number, char path[80], struct stat *ret_info)
{
	char name[64];
	int fd;

	(void)snprintf(name, sizeof(name), "large-%016llx", (unsigned long long)number);
	if (corrupt_open(dir->fd, name, ret_info, &fd)) {
		(void)snprintf(path, 80, "corrupt/%s", name);
		return fd;
	}
	(void)snprintf(name, sizeof(name), "%016llx", (unsigned long long)number);
	if (dir->large_fd < 0 || !corrupt_open(dir->large_fd, name, ret_info, &fd))
		return -1;
	(void)snprintf(path, 80, "large/%s", name);
	return fd;
}

/* --- what can be made of it ---------------------------------------- */

static bool
corrupt_addresses_are_good(const struct corrupt_item *item)
{
	struct recipient_list_reader reader = recipient_list_read(item->file.message.recipients);
	struct recipient_entry entry;

	if (address_check(item->envelope.sender, CORRUPT_ADDRESS | ADDRESS_NULL) < 0)
		return false;
	while (recipient_list_next(&reader, &entry) == ERR_OK)
		if (entry.address.len == 0 || address_check(entry.address, CORRUPT_ADDRESS) < 0)
			return false;
	return true;
}

/* Recipients that had their mail, or were told that they do not get it, do not get it again. */
static void
corrupt_item_state(struct corrupt_item *item)
{
	struct slice rest = item->file.records;
	struct record_state record;
	struct state state;
	uint16_t type;
	bool has_state = false;

	if (state_init(&state, item->recipient_count) < 0)
		return;
	while (corrupt_file_next(&item->file, &rest, &type, &record) == ERR_OK) {
		struct state newer;

		if (type == RECORD_RESULT) {
			has_state |= state_apply(&state, record.state) == ERR_OK;
		} else if (state_decode(record.state, item->recipient_count, &newer) == ERR_OK) {
			state_done(&state);
			state = newer;
			has_state = true;
		}
	}
	if (has_state)
		item->is_finished = mem_array(item->recipient_count, 1);
	for (uint32_t i = 0; has_state && i < item->recipient_count; i++) {
		enum state_class class = state_class(&state, i);

		item->is_finished[i] = class != STATE_OPEN && class != STATE_BOUNCE_PENDING;
	}
	state_done(&state);
}

static void
corrupt_item_large(const struct corrupt_dir *dir, struct corrupt_item *item)
{
	const struct record_message *message = &item->file.message;
	struct stat info;
	int fd = corrupt_large_open(dir, message->large, item->large, &info);

	if (fd < 0) {
		item->fate = CORRUPT_BROKEN;
		item->why = "the file of its content is not there";
		return;
	}
	(void)close(fd);
	if ((uint64_t)info.st_size != message->content_length) {
		item->fate = CORRUPT_BROKEN;
		item->why = "the file of its content has another length";
	}
}

static void
corrupt_item_judge(const struct corrupt_dir *dir, struct corrupt_item *item)
{
	const struct record_message *message = &item->file.message;

	item->fate = CORRUPT_BROKEN;
	if (!item->file.has_message)
		item->why = item->file.bytes == 0
				    ? "nothing of it could be read"
				    : "its parts cannot be told apart";
	else if (!item->has_envelope)
		item->why = "its envelope is not readable";
	else if (!item->has_recipients)
		item->why = "its list of recipients is not readable";
	else if (!corrupt_addresses_are_good(item))
		item->why = "its sender or a recipient is no address";
	else if (message->large == 0 && message->body.len != message->content_length
		 && !item->file.is_whole)
		item->why = "its content is not complete";
	else if (!item->file.is_whole || !item->file.is_verified)
		item->fate = CORRUPT_DOUBTFUL;
	else
		item->fate = CORRUPT_WHOLE;
	if (item->fate == CORRUPT_DOUBTFUL)
		item->why = item->file.is_whole ? "a checksum says that its envelope or the fields "
						  "in front of its content were changed"
						: "a checksum says that its content was changed";
	if (item->fate != CORRUPT_BROKEN && message->large != 0)
		corrupt_item_large(dir, item);
}

bool
corrupt_item_read(const struct corrupt_dir *dir, const char *name, struct corrupt_item *item)
{
	bool is_good;
	int fd;

	*item = (struct corrupt_item) { .name = name, .kind = corrupt_kind_of(name) };
	buf_init(&item->bytes, CORRUPT_FILE_MAX);
	if (!corrupt_open(dir->fd, name, &item->info, &fd))
		return false;
	is_good = item->kind != CORRUPT_MESSAGE || corrupt_read_all(fd, &item->bytes);
	(void)close(fd);
	if (!is_good || item->kind != CORRUPT_MESSAGE)
		return is_good;
	item->fate = CORRUPT_BROKEN;
	item->why = "this is no file of a message";
	if (corrupt_file_parse(buf_slice(&item->bytes), &item->file) < 0)
		return true;
	if (item->file.has_message) {
		const struct record_message *message = &item->file.message;

		item->has_envelope = envelope_decode(message->envelope, &item->envelope) == ERR_OK;
		item->has_recipients = recipient_list_check(message->recipients,
					       &item->recipient_count)
					       == ERR_OK
				       && item->recipient_count > 0;
	}
	if (item->has_recipients)
		corrupt_item_state(item);
	corrupt_item_judge(dir, item);
	return true;
}

void
corrupt_item_done(struct corrupt_item *item)
{
	buf_done(&item->bytes);
	mem_free(item->is_finished);
	item->is_finished = NULL;
}

/* Content of its own, part by part and as a whole. */
static bool
corrupt_content_is_good(const struct record_message *message, struct slice content,
	struct hash_damage *ret_damage)
{
	struct hash_parts parts;
	bool is_good;

	hash_parts_init(&parts);
	hash_parts_add(&parts, content);
	hash_parts_end(&parts);
	is_good = hash_parts_match(&parts, message->parts, message->content_length, ret_damage);
	hash_parts_done(&parts);
	return is_good && hash_bytes(content) == message->content_hash;
}

bool
corrupt_item_content(const struct corrupt_dir *dir, const struct corrupt_item *item,
	struct buf *content, struct hash_damage *ret_damage)
{
	const struct record_message *message = &item->file.message;
	char path[80];
	struct stat info;
	size_t start;
	bool is_good;
	int fd;

	*ret_damage = (struct hash_damage) { 0 };
	if (buf_append(content, message->head) < 0)
		return false;
	if (message->large == 0)
		return buf_append(content, message->body) == ERR_OK;
	fd = corrupt_large_open(dir, message->large, path, &info);
	if (fd < 0)
		return false;
	start = content->len;
	is_good = corrupt_read_all(fd, content)
		  && corrupt_content_is_good(
			  message, slice_from(buf_slice(content), start), ret_damage);
	(void)close(fd);
	return is_good;
}
