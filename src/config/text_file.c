/*
 * text_file.c - a configuration file read whole (see text_file.h)
 */
#include "config/text_file.h"

#include "config/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_FILE_STEP = 64 * 1024 };

static enum err
text_file_read_fd(
	int fd, const char *shown, size_t max, struct buf *text, struct fault *reterr_fault)
{
	for (;;) {
		enum err err = buf_reserve(text, TEXT_FILE_STEP);
		ssize_t got;

		if (err < 0)
			return fault_set(reterr_fault, err, "%s: no memory to read it", shown);
		got = read(fd, text->ptr + text->len, TEXT_FILE_STEP);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fault_errno(reterr_fault, errno, "%s: cannot read", shown);
		if (got == 0)
			return ERR_OK;
		text->len += (size_t)got;
		if (text->len > max)
			return fault_set(reterr_fault, ERR_LIMIT,
				"%s: longer than the allowed %zu bytes", shown, max);
	}
}

enum err
text_file_read(int directory_fd, const char *name, const char *shown, size_t max, struct buf *text,
	struct fault *reterr_fault)
{
	struct origin_value where = origin_value(slice_str(shown));
	/* Non-blocking, so that a FIFO in its place cannot stop us. */
	int fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	enum err err;

	buf_clear(text);
	if (fd < 0 && errno == ENOENT)
		return fault_set(reterr_fault, ERR_NOTFOUND, "%s: no such file", where.text);
	if (fd < 0)
		return fault_errno(reterr_fault, errno, "%s: cannot open", where.text);
	if (fstat(fd, &st) < 0)
		err = fault_errno(reterr_fault, errno, "%s: cannot look at it", where.text);
	else if (!S_ISREG(st.st_mode))
		err = fault_set(reterr_fault, ERR_SYNTAX, "%s: not a regular file", where.text);
	else
		err = text_file_read_fd(fd, where.text, max, text, reterr_fault);
	(void)close(fd);
	if (err == ERR_OK && slice_find(buf_slice(text), 0) < text->len)
		err = fault_set(reterr_fault, ERR_SYNTAX, "%s: holds a NUL byte", where.text);
	return err;
}
