/*
 * import_source.c - where an import takes mail from (see import_source.h)
 */
#include "cli/import_source.h"

#include "base/clock.h"
#include "base/mem.h"
#include "message/address.h"
#include "message/dsn.h"
#include "message/postfix_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { IMPORT_SOURCE_DEPTH_MAX = 16, IMPORT_SOURCE_FILE_MAX = 1 << 30 };
enum { IMPORT_SOURCE_ADDRESS = ADDRESS_UTF8 | ADDRESS_BARE };

static const char import_maildrop[] = "maildrop/";
static const char import_hold[] = "hold/";

/* --- names ---------------------------------------------------------------------------------- */

static void
import_source_add(struct import_source *source, const char *name)
{
	if (source->count == source->cap) {
		source->cap = source->cap == 0 ? 64 : 2 * source->cap;
		source->names =
			mem_resize(source->names, source->cap, sizeof(source->names[0]));
	}
	source->names[source->count++] = mem_strndup(name, strlen(name));
}

/* Subdirectories of a hashed queue have names of one character. */
static bool
import_source_descends(const struct import_source *source, const char *name)
{
	return source->kind == IMPORT_SOURCE_POSTFIX && name[1] == '\0';
}

/* -1: there is none. */
static int
import_source_walk(struct import_source *source, const char *below, unsigned depth)
{
	int fd = openat(source->root, below, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char path[PATH_MAX];
	int exit_code = EX_OK;

	if (list == NULL && (errno == ENOENT || errno == ENOTDIR))
		return -1;
	if (list == NULL)
		return cli_complain(
			source->cli, EX_NOINPUT, "%s: %s", below, strerrordesc_np(errno));
	while (exit_code <= EX_OK && (entry = readdir(list)) != NULL) {
		struct stat info;

		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", below, entry->d_name)
				>= (int)sizeof(path)
			|| fstatat(source->root, path, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!S_ISDIR(info.st_mode))
			import_source_add(source, path);
		else if (import_source_descends(source, entry->d_name)
			&& depth < IMPORT_SOURCE_DEPTH_MAX)
			exit_code = import_source_walk(source, path, depth + 1);
	}
	(void)closedir(list);
	return exit_code;
}

static int
import_source_compare(const void *a, const void *b)
{
	const char *const *one = a;
	const char *const *other = b;

	return strcmp(*one, *other);
}

static int
import_source_directories(
	struct import_source *source, const char *path, const char *const *names, size_t count)
{
	bool has_one = false;

	for (size_t i = 0; i < count; i++) {
		int exit_code = import_source_walk(source, names[i], 0);

		if (exit_code > EX_OK)
			return exit_code;
		has_one = has_one || exit_code == EX_OK;
	}
	if (!has_one)
		return cli_complain(source->cli, EX_NOINPUT, "%s: not a %s: it has no %s", path,
			source->kind == IMPORT_SOURCE_POSTFIX ? "Postfix queue" : "Maildir",
			names[0]);
	if (source->count > 0)
		qsort(source->names, source->count, sizeof(source->names[0]),
			import_source_compare);
	return EX_OK;
}

/* --- the lock of a Postfix queue ------------------------------------------------------------ */

/* Its master holds flock or fcntl on this file, as its system prefers. */
static int
import_source_lock(struct import_source *source, const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = openat(source->root, "pid/master.pid", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return EX_OK;
	if (fd < 0)
		return cli_complain(source->cli, EX_NOPERM, "%s/pid/master.pid: %s", path,
			strerrordesc_np(errno));
	source->lock = fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0
		|| (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK))
		return cli_complain(source->cli, EX_TEMPFAIL,
			"%s: this queue is in use: a master process holds its pid/master.pid; "
			"stop it first (postfix stop)",
			path);
	return EX_OK;
}

static int
import_source_open_root(struct import_source *source, const char *path)
{
	static const char *const queues[] = { "incoming", "active", "deferred", "hold",
		"maildrop" };
	static const char *const maildirs[] = { "cur", "new" };
	int exit_code = EX_OK;

	source->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (source->root < 0)
		return cli_complain(
			source->cli, EX_NOINPUT, "%s: %s", path, strerrordesc_np(errno));
	if (source->kind == IMPORT_SOURCE_MAILDIR)
		return import_source_directories(source, path, maildirs, 2);
	exit_code = import_source_lock(source, path);
	return exit_code == EX_OK ? import_source_directories(source, path, queues, 5) : exit_code;
}

int
import_source_open(struct import_source *source, struct cli *cli, enum import_source_kind kind,
	char *const *paths, size_t path_count)
{
	int exit_code = EX_OK;

	*source = (struct import_source) {
		.cli = cli, .kind = kind, .root = AT_FDCWD, .lock = -1
	};
	if (kind != IMPORT_SOURCE_FILES)
		exit_code = import_source_open_root(source, paths[0]);
	else
		for (size_t i = 0; i < path_count; i++)
			import_source_add(source, paths[i]);
	if (exit_code != EX_OK)
		import_source_close(source);
	return exit_code;
}

void
import_source_close(struct import_source *source)
{
	for (size_t i = 0; i < source->count; i++)
		mem_free(source->names[i]);
	mem_free(source->names);
	source->names = NULL;
	source->count = source->cap = 0;
	if (source->root >= 0)
		(void)close(source->root);
	if (source->lock >= 0)
		(void)close(source->lock);
	source->root = source->lock = -1;
}

/* --- bytes ---------------------------------------------------------------------------------- */

static const char *
import_source_bytes(const struct import_source *source, const char *name, struct buf *bytes)
{
	int fd = openat(source->root, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat info;
	const char *why = NULL;
	ssize_t got = 1;

	if (fd < 0 || fstat(fd, &info) < 0)
		why = strerrordesc_np(errno);
	else if (!S_ISREG(info.st_mode))
		why = "not a regular file";
	else if (source->kind == IMPORT_SOURCE_POSTFIX && (info.st_mode & S_IXUSR) == 0)
		why = "not fully written (it has no execute permission)";
	else if (info.st_size > IMPORT_SOURCE_FILE_MAX
		 || buf_reserve(bytes, (size_t)info.st_size + 1) < 0)
		why = "too large";
	while (why == NULL && got > 0 && bytes->len < (size_t)info.st_size) {
		got = read(fd, bytes->ptr + bytes->len, (size_t)info.st_size - bytes->len);
		if (got < 0)
			why = strerrordesc_np(errno);
		else
			bytes->len += (size_t)got;
	}
	if (fd >= 0)
		(void)close(fd);
	return why;
}

static bool
import_source_has_control(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < ' ' || text.ptr[i] == 127)
			return true;
	return false;
}

/* The whole submission; content may end its lines in any way. */
static const char *
import_source_submission(
	const struct submission *submission, struct slice content, struct import_item *item)
{
	struct submission_writer writer;
	enum err err;

	submission_writer_init(&writer);
	err = submission_put_head(&writer, &item->bytes, submission);
	if (err == ERR_OK)
		err = submission_put_content(&writer, &item->bytes, content);
	if (err == ERR_OK)
		err = submission_put_end(&writer, &item->bytes);
	submission_writer_done(&writer);
	item->recipient_count = submission->recipient_count;
	return err == ERR_OK ? NULL : err_meaning(err);
}

/* --- Postfix -------------------------------------------------------------------------------- */

/* What cannot be an ORCPT any more is worth less than the message. */
static struct submission_detail
import_postfix_detail(const struct postfix_file_recipient *recipient)
{
	struct submission_detail detail = { recipient->original, recipient->orcpt };

	if (address_check(detail.original, IMPORT_SOURCE_ADDRESS | ADDRESS_NULL) < 0)
		detail.original = slice_make(NULL, 0);
	if (detail.orcpt.len > DSN_ORCPT_MAX || import_source_has_control(detail.orcpt)
		|| slice_find(detail.orcpt, ';') == detail.orcpt.len)
		detail.orcpt = slice_make(NULL, 0);
	return detail;
}

static const char *
import_postfix_recipients(
	const struct postfix_file *file, struct buf *recipients, struct buf *details)
{
	for (size_t i = 0; i < file->recipient_count; i++) {
		struct submission_recipient recipient = { .address = file->recipients[i].address,
			.notify = file->recipients[i].notify };
		struct submission_detail detail = import_postfix_detail(&file->recipients[i]);

		if (recipient.address.len == 0
			|| address_check(recipient.address, IMPORT_SOURCE_ADDRESS) < 0)
			return "a recipient is no address";
		if (submission_put_recipient(recipients, &recipient) < 0
			|| submission_put_detail(details, &detail) < 0)
			return "too many recipients";
	}
	return NULL;
}

static void
import_postfix_key(const struct postfix_file *file, struct import_item *item)
{
	struct hash_stream *hash = hash_stream_new();

	hash_stream_add(hash, file->sender);
	hash_stream_add(hash, SLICE_LIT("\n"));
	hash_stream_add(hash, buf_slice(&file->content));
	(void)snprintf(item->key, sizeof(item->key), "postfix:%" PRIu64 ":%016" PRIx64,
		file->arrival_us, hash_stream_value(hash));
	hash_stream_free(hash);
}

static struct submission
import_postfix_head(const struct postfix_file *file, bool is_maildrop, struct import_item *item)
{
	struct submission submission = {
		.flags = SUBMISSION_IMPORT | (file->body_8bit ? SUBMISSION_8BIT : 0),
		.sender = file->sender,
		.created_us = file->arrival_us,
		.ret = file->ret,
		.envid = file->envid,
		.recipient_count = (uint32_t)file->recipient_count,
		.import = {
			.flags = SUBMISSION_IMPORT_HOLD
				 | (is_maildrop ? 0 : SUBMISSION_IMPORT_EXACT)
				 | (file->smtputf8 ? SUBMISSION_IMPORT_SMTPUTF8 : 0),
			.arrival_us = file->arrival_us,
			.created_us = file->created_us,
			.key = slice_str(item->key),
		},
	};

	if (submission.envid.len > DSN_ENVID_MAX || import_source_has_control(submission.envid))
		submission.envid = slice_make(NULL, 0);
	if (is_maildrop && file->full_name.len <= SUBMISSION_FULL_NAME_MAX
		&& !import_source_has_control(file->full_name))
		submission.full_name = file->full_name;
	return submission;
}

static const char *
import_postfix_item(const struct postfix_file *file, const char *name, struct import_item *item)
{
	bool is_maildrop = strncmp(name, import_maildrop, sizeof(import_maildrop) - 1) == 0;
	struct submission submission;
	struct buf recipients, details;
	const char *why;

	if (address_check(file->sender, IMPORT_SOURCE_ADDRESS | ADDRESS_NULL) < 0)
		return "its sender is no address";
	buf_init(&recipients, SUBMISSION_HEAD_MAX);
	buf_init(&details, SUBMISSION_HEAD_MAX);
	import_postfix_key(file, item);
	why = import_postfix_recipients(file, &recipients, &details);
	submission = import_postfix_head(file, is_maildrop, item);
	submission.recipients = buf_slice(&recipients);
	submission.import.details = buf_slice(&details);
	if (why == NULL)
		why = import_source_submission(&submission, buf_slice(&file->content), item);
	buf_done(&recipients);
	buf_done(&details);
	return why;
}

static enum import_source_result
import_postfix_read(
	struct slice bytes, const char *name, struct import_item *item, const char **ret_why)
{
	bool is_maildrop = strncmp(name, import_maildrop, sizeof(import_maildrop) - 1) == 0;
	struct postfix_file file;
	enum err err = postfix_file_read(bytes, is_maildrop, &file);
	enum import_source_result result = IMPORT_SOURCE_BAD;

	if (err == ERR_AGAIN)
		*ret_why = "not fully written (its end is missing)";
	else if (err == ERR_VERSION)
		*ret_why = "a redirect or an address probe, which Ostler does not do";
	else if (err < 0)
		*ret_why = err == ERR_SYNTAX ? "damaged" : err_meaning(err);
	if (err < 0)
		return IMPORT_SOURCE_BAD;
	item->stays_held = strncmp(name, import_hold, sizeof(import_hold) - 1) == 0;
	if (file.recipient_count == 0 && file.done_count > 0)
		result = IMPORT_SOURCE_FINISHED;
	else if (file.recipient_count == 0)
		*ret_why = "it has no recipients";
	else if ((*ret_why = import_postfix_item(&file, name, item)) == NULL)
		result = IMPORT_SOURCE_ITEM;
	postfix_file_done(&file);
	return result;
}

/* --- Maildirs and files --------------------------------------------------------------------- */

/* A Maildir's name without its directory and flags: both change when the mail is read. */
static void
import_mail_key(const struct import_source *source, const char *name, struct slice content,
	struct import_item *item)
{
	struct hash_stream *hash = hash_stream_new();
	struct slice text = slice_str(name);

	if (source->kind == IMPORT_SOURCE_MAILDIR) {
		text = slice_from(text, slice_rfind(text, '/') + 1);
		text = slice_head(text, slice_find(text, ':'));
	}
	hash_stream_add(hash, text);
	hash_stream_add(hash, SLICE_LIT("\n"));
	hash_stream_add(hash, source->sender);
	hash_stream_add(hash, SLICE_LIT("\n"));
	hash_stream_add(hash, source->recipients);
	(void)snprintf(item->key, sizeof(item->key), "%s:%016" PRIx64 ":%zu:%016" PRIx64,
		source->kind == IMPORT_SOURCE_MAILDIR ? "maildir" : "eml", hash_bytes(content),
		content.len, hash_stream_value(hash));
	hash_stream_free(hash);
}

static bool
import_mail_is_utf8(const struct import_source *source)
{
	struct slice rest = source->recipients;
	struct submission_recipient recipient;
	bool is_utf8 = address_is_utf8(source->sender);

	while (submission_recipient_next(&rest, &recipient) == ERR_OK)
		is_utf8 = is_utf8 || address_is_utf8(recipient.address);
	return is_utf8;
}

static const char *
import_mail_item(const struct import_source *source, const char *name, struct slice content,
	struct import_item *item)
{
	struct submission submission = {
		.flags = SUBMISSION_IMPORT,
		.sender = source->sender,
		.created_us = clock_read_wall().us,
		.recipient_count = source->recipient_count,
		.recipients = source->recipients,
		.import = { .flags = SUBMISSION_IMPORT_HOLD },
	};
	struct submission_detail none = { 0 };
	struct buf details;
	const char *why = NULL;

	buf_init(&details, SUBMISSION_HEAD_MAX);
	for (uint32_t i = 0; i < source->recipient_count; i++)
		if (submission_put_detail(&details, &none) < 0)
			why = "too many recipients";
	submission.import.details = buf_slice(&details);
	import_mail_key(source, name, content, item);
	submission.import.key = slice_str(item->key);
	if (import_mail_is_utf8(source))
		submission.import.flags |= SUBMISSION_IMPORT_SMTPUTF8;
	if (why == NULL)
		why = import_source_submission(&submission, content, item);
	buf_done(&details);
	return why;
}

enum import_source_result
import_source_read(struct import_source *source, size_t i, struct import_item *ret_item,
	const char **ret_why)
{
	const char *name = source->names[i];
	enum import_source_result result = IMPORT_SOURCE_BAD;
	struct import_item item = { 0 };
	char *whole = NULL;
	struct buf bytes;

	buf_init(&bytes, 0);
	buf_init(&item.bytes, 0);
	*ret_why = import_source_bytes(source, name, &bytes);
	if (*ret_why == NULL && source->kind == IMPORT_SOURCE_POSTFIX) {
		result = import_postfix_read(buf_slice(&bytes), name, &item, ret_why);
	} else if (*ret_why == NULL) {
		whole = source->kind == IMPORT_SOURCE_FILES ? realpath(name, NULL) : NULL;
		*ret_why = import_mail_item(
			source, whole != NULL ? whole : name, buf_slice(&bytes), &item);
		if (*ret_why == NULL)
			result = IMPORT_SOURCE_ITEM;
	}
	mem_free(whole);
	buf_done(&bytes);
	item.stays_held = item.stays_held || source->stays_held;
	if (result == IMPORT_SOURCE_ITEM)
		*ret_item = item;
	else
		import_item_done(&item);
	return result;
}

void
import_item_done(struct import_item *item)
{
	buf_done(&item->bytes);
}
