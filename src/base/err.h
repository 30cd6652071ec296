/*
 * err.h - the one error vocabulary of Ostler
 *
 * ERR_OK is 0, every failure is negative, so `if (err < 0)` and `switch (err)` both read well. Data
 * travel in ret_ parameters (written on success only), explanations in an optional struct fault
 * (written on failure only). The outcome of a delivery is not an error but data.
 *
 * Threads: all functions are pure; a struct fault belongs to its caller.
 */
#ifndef OSTLER_BASE_ERR_H
#define OSTLER_BASE_ERR_H

enum err {
	ERR_OK = 0,
#define ERR(name, value, meaning) ERR_##name = value,
#include "base/err.def"
#undef ERR
};

#define MUST_USE __attribute__((warn_unused_result))
#define FORMAT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum { FAULT_TEXT_SIZE = 320 };

/* What went wrong, for a human: filled where the error is first seen, logged once where it ends. */
struct fault {
	enum err err;
	int sys_errno;              /* 0: no system call was involved */
	char text[FAULT_TEXT_SIZE]; /* NUL-terminated, without a final dot or newline */
};

/* The name and the meaning of an error ("ERR_LIMIT", "a documented cap was reached"). */
const char *err_name(enum err err);
const char *err_meaning(enum err err);

/* Fills *reterr (which may be NULL) and returns err, so that `return fault_set(...)` reads well. */
enum err fault_set(struct fault *reterr, enum err err, const char *format, ...) FORMAT_PRINTF(3, 4);

/* As fault_set() with ERR_IO (ERR_NOSPACE for ENOSPC and EDQUOT) and ": strerror" appended. */
enum err fault_errno(struct fault *reterr, int sys_errno, const char *format, ...)
	FORMAT_PRINTF(3, 4);

#endif
