/*
 * rawlog.c - what the disk can do for a log: batches, one after the other, each flushed
 *
 * usage: rawlog FILE BATCH_BYTES SECONDS: writes batches into a prewritten file of 64 MiB, in order, from
 * the start again at its end, with pwrite() and fdatasync(); prints batches per second. This is the bare loop
 * that a journal with group commit cannot beat.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_SIZE = 64 << 20 };

static double
now(void)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Real blocks, not holes: a write of them changes no metadata. */
static int
prewrite(const char *path, const char *zeroes, size_t len)
{
	int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		fail(path);
	for (off_t at = 0; at < FILE_SIZE; at += (off_t)len)
		if (pwrite(fd, zeroes, len, at) != (ssize_t)len)
			fail("pwrite");
	if (fsync(fd) != 0)
		fail("fsync");
	return fd;
}

int
main(int argc, char **argv)
{
	static char bytes[1 << 20];
	size_t batch = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
	double seconds = argc == 4 ? strtod(argv[3], NULL) : 0, began;
	unsigned long count = 0;
	off_t at = 0;
	int fd;

	if (batch == 0 || batch > sizeof(bytes) || seconds <= 0) {
		(void)fprintf(stderr, "usage: rawlog FILE BATCH_BYTES SECONDS\n");
		return 64;
	}
	fd = prewrite(argv[1], bytes, sizeof(bytes));
	memset(bytes, 'x', sizeof(bytes));
	for (began = now(); now() - began < seconds; count++) {
		if (at + (off_t)batch > FILE_SIZE)
			at = 0;
		if (pwrite(fd, bytes, batch, at) != (ssize_t)batch || fdatasync(fd) != 0)
			fail("write");
		at += (off_t)batch;
	}
	printf("%.1f\n", (double)count / (now() - began));
	(void)close(fd);
	(void)unlink(argv[1]);
	return 0;
}
