/*
 * replay.c - runs a fuzz target over the files of its corpus, without a fuzzer
 *
 * usage: fuzz_NAME DIR: every regular file of DIR is one input; there must be at least one.
 */
#include "base/buf.h"
#include "base/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
replay_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	struct buf buf;

	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	buf_init(&buf, 0);
	CHECK(buf_reserve(&buf, (size_t)st.st_size + 1) == ERR_OK);
	CHECK(read(fd, buf.ptr, (size_t)st.st_size) == st.st_size);
	(void)LLVMFuzzerTestOneInput(buf.ptr, (size_t)st.st_size);
	buf_done(&buf);
	(void)close(fd);
}

int
main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	unsigned count = 0;

	if (dir == NULL) {
		(void)fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
		return 64;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		replay_file(dirfd(dir), entry->d_name);
		count++;
	}
	(void)closedir(dir);
	printf("%u inputs\n", count);
	return count > 0 ? 0 : 1;
}
