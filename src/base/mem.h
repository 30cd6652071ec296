/*
 * mem.h - the only place that allocates
 *
 * mem_new() and mem_array() are for small objects whose number we bound ourselves: they never fail
 * but end the process (exit 71, the log is durable, master restarts the role). mem_try() is for
 * sizes that a stranger or the disk chose: it returns NULL, and its caller sheds load.
 *
 * Ownership: what these return is freed with mem_free(), which accepts NULL.
 * Threads:   safe.
 */
#ifndef OSTLER_BASE_MEM_H
#define OSTLER_BASE_MEM_H

#include <stddef.h>

/* Zeroed memory for one object of `size` bytes. Never NULL. */
void *mem_new(size_t size) __attribute__((malloc, returns_nonnull));

/* Zeroed memory for `count` elements of `size` bytes; the product is checked. Never NULL. */
void *mem_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/* Grows or shrinks an array made by mem_array(); new elements are not zeroed. Never NULL. */
void *mem_resize(void *old, size_t count, size_t size) __attribute__((returns_nonnull));

/* Memory that is not zeroed, `size` a multiple of `align`, a power of two. Never NULL. */
void *mem_aligned(size_t align, size_t size) __attribute__((malloc, returns_nonnull));

/* Memory that is not zeroed, or NULL. */
void *mem_try(size_t size) __attribute__((malloc));

/* As realloc(); NULL leaves the old block as it was. */
void *mem_try_resize(void *old, size_t size);

/* A NUL-terminated copy of `len` bytes. Never NULL. */
char *mem_strndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));

void mem_free(void *ptr);

/* Tests: the nth mem_try*() call from now fails (1: the next one); 0 switches it off. */
void mem_fail_nth(unsigned nth);

#define MEM_NEW(type) ((type *)mem_new(sizeof(type)))

#endif
