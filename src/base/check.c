/*
 * check.c - what happens when an assertion fails (see check.h)
 */
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static check_report_fn *check_report;

void
check_report_set(check_report_fn *report)
{
	check_report = report;
}

static void
check_say(const char *text)
{
	if (check_report != NULL)
		check_report(text);
	else
		(void)fprintf(stderr, "%s\n", text);
}

/* Weak: a unit test replaces it by one that turns the failure into a test event. */
__attribute__((weak)) void
check_failed(const char *expr, const char *file, int line)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "panic: check failed: %s (%s:%d)", expr, file, line);
	check_say(text);
	abort();
}

#ifdef OSTLER_CHECK_SLOW
void
check_poison(const char *where, const void *bytes, size_t len)
{
	const char *poison = getenv("OSTLER_POISON");
	size_t name = strlen(where);

	if (poison == NULL || strncmp(poison, where, name) != 0 || poison[name] != ':' || len == 0)
		return;
	poison += name + 1;
	if (memmem(bytes, len, poison, strlen(poison)) == NULL)
		return;
	check_say("panic: this message was to kill the process");
	abort();
}
#endif

void
die(int exit_code, const char *format, ...)
{
	char text[768] = "fatal: ";
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text + 7, sizeof(text) - 7, format, args);
	va_end(args);
	check_say(text);
	_exit(exit_code);
}
