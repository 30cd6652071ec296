/*
 * test_sandbox.c - unit tests of base/sandbox: files (system calls: tests/unit/ipc/test_role_sandbox.c)
 *
 * Goal: only what lies below the granted directories can be opened or made. Method: each attempt in a
 * child of its own, behind the sandbox.
 */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ALLOWED = 0, REFUSED = 1, STRANGE = 2 };

static int
judge(long result)
{
	if (result >= 0)
		return ALLOWED;
	return errno == EPERM || errno == EACCES ? REFUSED : STRANGE;
}

static int try_open_root(int dir) { (void)dir; return judge(open("/etc/passwd", O_RDONLY)); }
static int try_make_elsewhere(int dir)
{
	(void)dir;
	return judge(open("/tmp/ostler-sandbox-must-not-be", O_WRONLY | O_CREAT, 0600));
}
static int try_make_here(int dir) { return judge(openat(dir, "file", O_RDWR | O_CREAT, 0600)); }

static int
run(unsigned flags, int (*attempt)(int dir))
{
	char path[] = "/tmp/ostler-sandbox-XXXXXX";
	int status = 0, dir;
	pid_t pid;

	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		if (sandbox_enter(flags, &dir, 1) != ERR_OK)
			_exit(STRANGE);
		_exit(attempt(dir));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	(void)unlinkat(dir, "file", 0);
	(void)close(dir);
	(void)rmdir(path);
	return WEXITSTATUS(status);
}

static void
test_files__only_below_its_directories(void **state)
{
	(void)state;
	assert_int_equal(run(0, try_make_here), ALLOWED);
	if (syscall(444 /* landlock_create_ruleset */, NULL, (size_t)0, 1u) < 1)
		skip();
	assert_int_equal(run(0, try_open_root), REFUSED);
	assert_int_equal(run(0, try_make_elsewhere), REFUSED);
	assert_int_equal(run(SANDBOX_READ_ETC, try_open_root), ALLOWED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files__only_below_its_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
