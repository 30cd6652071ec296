/*
 * check.h - assertions that stay on in every build
 *
 * A failed CHECK is our bug, never a peer's: input from outside is answered with an enum err. die()
 * is for a broken environment: it says why and exits, and master starts the role anew with growing
 * delay.
 */
#ifndef OSTLER_BASE_CHECK_H
#define OSTLER_BASE_CHECK_H

#include <stddef.h>

/* Logs and aborts. Not declared noreturn: unit tests link one that jumps back to the test. */
void check_failed(const char *expr, const char *file, int line);

#define CHECK(expr) ((expr) ? (void)0 : check_failed(#expr, __FILE__, __LINE__))
#define UNREACHED() check_failed("unreached", __FILE__, __LINE__)

/* Costly checks: simulation, sanitizer and debug builds only. */
#ifdef OSTLER_CHECK_SLOW
#define CHECK_SLOW(expr) CHECK(expr)
#else
#define CHECK_SLOW(expr) ((void)sizeof(expr))
#endif

/*
 * For tests of deaths, in such builds only: aborts when OSTLER_POISON in the environment is
 * "WHERE:TEXT" and the bytes hold TEXT.
 */
#ifdef OSTLER_CHECK_SLOW
void check_poison(const char *where, const void *bytes, size_t len);
#else
#define check_poison(where, bytes, len) ((void)0)
#endif

/* Where the text of a failed check or die() goes besides stderr: set once by the log. */
typedef void check_report_fn(const char *text);
void check_report_set(check_report_fn *report);

/* Ends the process with an exit code of sysexits.h after one line that says why. */
_Noreturn void die(int exit_code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
