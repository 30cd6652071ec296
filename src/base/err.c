/*
 * err.c - names of errors, and faults (see err.h)
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
err_name(enum err err)
{
	switch (err) {
	case ERR_OK:
		return "ERR_OK";
#define ERR(name, value, meaning) \
	case ERR_##name: \
		return "ERR_" #name;
#include "base/err.def"
#undef ERR
	}
	return "ERR_?";
}

const char *
err_meaning(enum err err)
{
	switch (err) {
	case ERR_OK:
		return "no error";
#define ERR(name, value, meaning) \
	case ERR_##name: \
		return meaning;
#include "base/err.def"
#undef ERR
	}
	return "unknown error";
}

FORMAT_PRINTF(2, 0)
static void
fault_text(struct fault *fault, const char *format, va_list args)
{
	int len = vsnprintf(fault->text, sizeof(fault->text), format, args);

	if (len < 0)
		fault->text[0] = '\0';
}

enum err
fault_set(struct fault *reterr, enum err err, const char *format, ...)
{
	if (reterr != NULL) {
		va_list args;

		reterr->err = err;
		reterr->sys_errno = 0;
		va_start(args, format);
		fault_text(reterr, format, args);
		va_end(args);
	}
	return err;
}

enum err
fault_errno(struct fault *reterr, int sys_errno, const char *format, ...)
{
	enum err err = sys_errno == ENOSPC || sys_errno == EDQUOT ? ERR_NOSPACE : ERR_IO;

	if (reterr != NULL) {
		va_list args;
		size_t used;

		reterr->err = err;
		reterr->sys_errno = sys_errno;
		va_start(args, format);
		fault_text(reterr, format, args);
		va_end(args);
		used = strlen(reterr->text);
		(void)snprintf(reterr->text + used, sizeof(reterr->text) - used, ": %s",
			strerrordesc_np(sys_errno) != NULL ? strerrordesc_np(sys_errno)
							    : "unknown error");
	}
	return err;
}
