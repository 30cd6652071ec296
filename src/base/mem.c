/*
 * mem.c - allocation (see mem.h)
 */
#include "base/mem.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static unsigned mem_fail_count;

static void *
mem_need(void *ptr, size_t size)
{
	if (ptr == NULL)
		die(EX_OSERR, "out of memory (%zu bytes)", size);
	return ptr;
}

static int
mem_must_fail(void)
{
	return mem_fail_count > 0 && --mem_fail_count == 0;
}

void *
mem_new(size_t size)
{
	return mem_need(calloc(1, size > 0 ? size : 1), size);
}

void *
mem_array(size_t count, size_t size)
{
	return mem_need(calloc(count > 0 ? count : 1, size > 0 ? size : 1), size);
}

void *
mem_resize(void *old, size_t count, size_t size)
{
	return mem_need(reallocarray(old, count > 0 ? count : 1, size > 0 ? size : 1), size);
}

void *
mem_aligned(size_t align, size_t size)
{
	return mem_need(aligned_alloc(align, size), size);
}

void *
mem_try(size_t size)
{
	return mem_must_fail() ? NULL : malloc(size > 0 ? size : 1);
}

void *
mem_try_resize(void *old, size_t size)
{
	return mem_must_fail() ? NULL : realloc(old, size > 0 ? size : 1);
}

char *
mem_strndup(const char *text, size_t len)
{
	char *copy = mem_need(malloc(len + 1), len + 1);

	if (len > 0)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

void
mem_free(void *ptr)
{
	free(ptr);
}

void
mem_fail_nth(unsigned nth)
{
	mem_fail_count = nth;
}
