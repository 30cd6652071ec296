/*
 * maildir.c - tmp, flush, link into new, flush (see maildir.h)
 */
#include "local/maildir.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAILDIR_PIECE = 64 * 1024, MAILDIR_NAME_TRIES = 16, MAILDIR_HOST_MAX = 64 };

/* Bytes on their way into a file; CRLF becomes LF, wherever the pieces are cut. */
struct maildir_sink {
	int fd;
	size_t used;
	bool cr; /* the last byte was CR and is not written yet */
	int sys_errno;
	uint8_t bytes[MAILDIR_PIECE];
};

/* --- directories ------------------------------------------------------------------------------ */

static int
maildir_open_part(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Opens a directory, makes it when it is missing. -1: errno says why. */
static int
maildir_enter(int parent, const char *name)
{
	int fd = maildir_open_part(parent, name);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -1;
	/* The name must outlast a power cut no less than what will be put below it. */
	if (fsync(parent) < 0)
		return -1;
	return maildir_open_part(parent, name);
}

/* The Maildir itself; -1: errno says why. */
static int
maildir_open(int root, const char *path)
{
	struct slice rest = slice_str(path), part;
	int fd = -1;

	while (slice_word(&rest, "/", &part)) {
		char *name = mem_strndup((const char *)part.ptr, part.len);
		int next = maildir_enter(fd < 0 ? root : fd, name);
		int saved = errno;

		mem_free(name);
		if (fd >= 0)
			(void)close(fd);
		errno = saved;
		if (next < 0)
			return -1;
		fd = next;
	}
	return fd >= 0 ? fd : fcntl(root, F_DUPFD_CLOEXEC, 0);
}

/* tmp or new of a Maildir, made together with cur when missing. */
static int
maildir_open_below(int root, const char *path, const char *name)
{
	int maildir = maildir_open(root, path);
	int fd, cur, saved;

	if (maildir < 0)
		return -1;
	fd = maildir_open_part(maildir, name);
	if (fd < 0 && errno == ENOENT) {
		cur = maildir_enter(maildir, "cur");
		if (cur >= 0)
			(void)close(cur);
		fd = cur < 0 ? -1 : maildir_enter(maildir, name);
	}
	saved = errno;
	(void)close(maildir);
	errno = saved;
	return fd;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static bool
maildir_sink_flush(struct maildir_sink *sink)
{
	size_t done = 0;

	while (done < sink->used) {
		ssize_t n = write(sink->fd, sink->bytes + done, sink->used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			sink->sys_errno = n < 0 ? errno : EIO;
			return false;
		}
		done += (size_t)n;
	}
	sink->used = 0;
	return true;
}

static bool
maildir_sink_raw(struct maildir_sink *sink, struct slice bytes)
{
	while (bytes.len > 0) {
		size_t room = sizeof(sink->bytes) - sink->used;
		size_t take = bytes.len < room ? bytes.len : room;

		memcpy(sink->bytes + sink->used, bytes.ptr, take);
		sink->used += take;
		bytes = slice_from(bytes, take);
		if (sink->used == sizeof(sink->bytes) && !maildir_sink_flush(sink))
			return false;
	}
	return true;
}

static bool
maildir_sink_text(struct maildir_sink *sink, struct slice bytes)
{
	while (bytes.len > 0) {
		size_t cr;

		if (sink->cr && bytes.ptr[0] != '\n' && !maildir_sink_raw(sink, SLICE_LIT("\r")))
			return false;
		sink->cr = false;
		cr = slice_find(bytes, '\r');
		if (!maildir_sink_raw(sink, slice_head(bytes, cr)))
			return false;
		sink->cr = cr < bytes.len;
		bytes = slice_from(bytes, cr + 1);
	}
	return true;
}

static bool
maildir_sink_end(struct maildir_sink *sink)
{
	if (sink->cr && !maildir_sink_raw(sink, SLICE_LIT("\r")))
		return false;
	sink->cr = false;
	return maildir_sink_flush(sink);
}

static enum err
maildir_write_failed(const struct maildir_sink *sink, struct fault *reterr_fault)
{
	return fault_errno(reterr_fault, sink->sys_errno, "write");
}

static enum err
maildir_corrupt(struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_CORRUPT, "content fails its checksum");
}

static enum err
maildir_copy_inline(struct maildir_sink *sink, const struct maildir_message *message,
	struct fault *reterr_fault)
{
	if (message->content.len != message->content_length
		|| hash_bytes(message->content) != message->content_hash)
		return maildir_corrupt(reterr_fault);
	if (!maildir_sink_text(sink, message->content))
		return maildir_write_failed(sink, reterr_fault);
	return ERR_OK;
}

static enum err
maildir_copy_pieces(struct maildir_sink *sink, const struct maildir_message *message,
	struct hash_stream *hash, uint8_t *piece, struct fault *reterr_fault)
{
	uint64_t at = 0;

	while (at < message->content_length) {
		size_t want = (size_t)num_min_u64(MAILDIR_PIECE, message->content_length - at);
		ssize_t n = pread(message->content_fd, piece, want, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_errno(reterr_fault, errno, "read of the queued message");
		if (n == 0)
			return maildir_corrupt(reterr_fault);
		hash_stream_add(hash, slice_make(piece, (size_t)n));
		if (!maildir_sink_text(sink, slice_make(piece, (size_t)n)))
			return maildir_write_failed(sink, reterr_fault);
		at += (uint64_t)n;
	}
	if (hash_stream_value(hash) != message->content_hash)
		return maildir_corrupt(reterr_fault);
	return ERR_OK;
}

static enum err
maildir_copy_file(struct maildir_sink *sink, const struct maildir_message *message,
	struct fault *reterr_fault)
{
	struct hash_stream *hash = hash_stream_new();
	uint8_t *piece = mem_array(MAILDIR_PIECE, 1);
	enum err err = maildir_copy_pieces(sink, message, hash, piece, reterr_fault);

	mem_free(piece);
	hash_stream_free(hash);
	return err;
}

enum err
maildir_write(int fd, const struct maildir_message *message, struct fault *reterr_fault)
{
	struct maildir_sink *sink = mem_new(sizeof(*sink));
	enum err err = ERR_OK;

	sink->fd = fd;
	if (!maildir_sink_raw(sink, message->prefix) || !maildir_sink_text(sink, message->head))
		err = maildir_write_failed(sink, reterr_fault);
	else if (message->content_fd >= 0)
		err = maildir_copy_file(sink, message, reterr_fault);
	else
		err = maildir_copy_inline(sink, message, reterr_fault);
	if (err == ERR_OK && !maildir_sink_end(sink))
		err = maildir_write_failed(sink, reterr_fault);
	mem_free(sink);
	return err;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Seconds, then what makes it unique: microseconds, process, count; then the host. */
static void
maildir_name(struct maildir_file *ret_file, const char *host)
{
	static atomic_uint_fast64_t count;
	struct wall now = clock_read_wall();
	char clean[MAILDIR_HOST_MAX + 1];
	size_t len = 0;

	for (; host[len] != '\0' && len < MAILDIR_HOST_MAX; len++) {
		uint8_t byte = (uint8_t)host[len];

		clean[len] = ascii_is_alnum(byte) || byte == '.' || byte == '-' ? host[len] : '_';
	}
	clean[len] = '\0';
	(void)snprintf(ret_file->name, sizeof(ret_file->name), "%llu.M%06lluP%ldQ%llu.%s",
		(unsigned long long)wall_s(now), (unsigned long long)(now.us % US_PER_S),
		(long)getpid(), (unsigned long long)atomic_fetch_add(&count, 1),
		len > 0 ? clean : "localhost");
}

static int
maildir_create(int tmp, const char *host, struct maildir_file *ret_file)
{
	for (int i = 0; i < MAILDIR_NAME_TRIES; i++) {
		int fd;

		maildir_name(ret_file, host);
		fd = openat(tmp, ret_file->name,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

enum err
maildir_prepare(int root, const char *path, const char *host,
	const struct maildir_message *message, struct maildir_file *ret_file,
	struct fault *reterr_fault)
{
	struct maildir_file file;
	int tmp = maildir_open_below(root, path, "tmp");
	enum err err;
	int fd;

	if (tmp < 0)
		return fault_errno(reterr_fault, errno, "open maildir %s", path);
	fd = maildir_create(tmp, host, &file);
	if (fd < 0) {
		err = fault_errno(reterr_fault, errno, "create file in %s/tmp", path);
		(void)close(tmp);
		return err;
	}
	err = maildir_write(fd, message, reterr_fault);
	if (err == ERR_OK && fsync(fd) < 0)
		err = fault_errno(reterr_fault, errno, "flush");
	if (close(fd) < 0 && err == ERR_OK)
		err = fault_errno(reterr_fault, errno, "close");
	if (err != ERR_OK)
		(void)unlinkat(tmp, file.name, 0);
	else
		*ret_file = file;
	(void)close(tmp);
	return err;
}

/* linkat() never replaces: a name that was used already is an error, not a lost message. */
static enum err
maildir_link(int tmp, int new, const struct maildir_file *file, struct fault *reterr_fault)
{
	enum err err = ERR_OK;

	if (linkat(tmp, file->name, new, file->name, 0) < 0)
		return fault_errno(reterr_fault, errno, "link into new");
	if (fsync(new) < 0) {
		err = fault_errno(reterr_fault, errno, "flush of new");
		(void)unlinkat(new, file->name, 0);
	}
	return err;
}

enum err
maildir_commit(int root, const char *path, const struct maildir_file *file,
	struct fault *reterr_fault)
{
	int tmp = maildir_open_below(root, path, "tmp");
	int new = tmp < 0 ? -1 : maildir_open_below(root, path, "new");
	enum err err;

	if (new < 0)
		err = fault_errno(reterr_fault, errno, "open maildir %s", path);
	else
		err = maildir_link(tmp, new, file, reterr_fault);
	if (tmp >= 0) {
		(void)unlinkat(tmp, file->name, 0);
		(void)close(tmp);
	}
	if (new >= 0)
		(void)close(new);
	return err;
}

void
maildir_abort(int root, const char *path, const struct maildir_file *file)
{
	int tmp = maildir_open_below(root, path, "tmp");

	if (tmp < 0)
		return;
	(void)unlinkat(tmp, file->name, 0);
	(void)close(tmp);
}
