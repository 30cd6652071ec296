/*
 * text_file.h - a configuration file read whole
 *
 * Ownership: the text is put into the caller's buffer.
 * Errors:    ERR_NOTFOUND, ERR_IO, ERR_LIMIT (longer than `max`), ERR_SYNTAX (holds a NUL, or is
 *            no regular file).
 * Threads:   any.
 */
#ifndef OSTLER_CONFIG_TEXT_FILE_H
#define OSTLER_CONFIG_TEXT_FILE_H

#include "base/buf.h"

/*
 * Clears `text` and reads `name` below directory_fd (or AT_FDCWD); `shown` is what messages call
 * it.
 */
MUST_USE enum err text_file_read(int directory_fd, const char *name, const char *shown, size_t max,
	struct buf *text, struct fault *reterr_fault);

#endif
