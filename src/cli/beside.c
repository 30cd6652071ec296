/*
 * beside.c - commands that are programs of their own (see beside.h)
 */
#include "cli/beside.h"

#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

/* The path of a program in the directory of this one. */
static bool
beside_path(const char *program, char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t slash = len > 0 ? slice_rfind(slice_make(self, (size_t)len), '/') : 0;

	return len > 0
	       && snprintf(path, PATH_MAX, "%.*s/%s", (int)slash, self, program) < PATH_MAX;
}

int
beside_run(struct cli *cli, const char *program, int argc, char **argv)
{
	const char **words =
		mem_array(2 * cli->override_count + (size_t)argc + 4, sizeof(*words));
	char path[PATH_MAX];
	size_t count = 0;

	words[count++] = program;
	if (cli->directory != NULL) {
		words[count++] = "-c";
		words[count++] = cli->directory;
	}
	for (size_t i = 0; i < cli->override_count; i++) {
		words[count++] = "-o";
		words[count++] = cli->overrides[i];
	}
	for (int i = 0; i < argc; i++)
		words[count++] = argv[i];
	words[count] = NULL;
	if (beside_path(program, path))
		(void)execv(path, (char *const *)(uintptr_t)words);
	mem_free(words);
	return cli_complain(cli, EX_UNAVAILABLE, "%s: %s", program, strerrordesc_np(errno));
}
