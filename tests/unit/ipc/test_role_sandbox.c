/*
 * test_role_sandbox.c - what each role's sandbox refuses
 *
 * Goal: every forbidden call is refused in every role, what a role needs works. Method: for each role
 * and each call a child of its own, behind the very sandbox that ostlerd enters for that role.
 */
#include "base/sandbox.h"
#include "ipc/role.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static int try_socket(void) { return judge(socket(AF_INET, SOCK_STREAM, 0)); }
static int try_unix(void) { return judge(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int try_raw(void) { return judge(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int try_ptrace(void) { return judge(ptrace(PTRACE_TRACEME, 0, NULL, NULL)); }
static int try_exec(void) { return judge(execl("/bin/true", "true", (char *)NULL)); }
static int try_setuid(void) { return judge(setuid(getuid())); }
static int try_setgroups(void) { return judge(setresgid(getgid(), getgid(), getgid())); }
static int try_unshare(void) { return judge(unshare(0)); }
static int try_mount(void) { return judge(mount("none", "/tmp", "tmpfs", 0, NULL)); }
static int try_chroot(void) { return judge(chroot("/")); }
static int try_bpf(void) { return judge(syscall(SYS_bpf, 0, NULL, 0)); }
static int try_uring(void) { return judge(syscall(SYS_io_uring_setup, 1, NULL)); }
static int try_mknod(void) { return judge(mknod("/tmp/ostler-must-not-be", S_IFIFO | 0600, 0)); }
static int try_open(void) { return judge(open("/usr/bin/env", O_RDONLY)); }
static int try_make(void) { return judge(open("/tmp/ostler-must-not-be", O_CREAT | O_WRONLY, 0600)); }
static int try_etc(void) { return judge(open("/etc/passwd", O_RDONLY)); }

static int
try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return judge(pid);
}

static void *
nothing(void *ctx)
{
	return ctx;
}

static int
try_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, nothing, NULL) != 0)
		return REFUSED;
	(void)pthread_join(thread, NULL);
	return ALLOWED;
}

static int
try_connect(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(1) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	if (fd < 0)
		return judge(fd);
	(void)connect(fd, (struct sockaddr *)&address, sizeof(address));
	return errno == EPERM || errno == EACCES ? REFUSED : ALLOWED;
}

/* Whoever speaks to the network by itself may still not offer anything to it. */
static int
try_listen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return judge(fd < 0 ? fd : listen(fd, 1));
}

static int
run(unsigned flags, int (*attempt)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (sandbox_enter(flags, NULL, 0) != ERR_OK)
			_exit(STRANGE);
		_exit(attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define ALL_ROLES 0x7ffu
#define ROLE_BIT(kind) (1u << (kind))
#define NETWORKING (ROLE_BIT(ROLE_SMTP) | ROLE_BIT(ROLE_RESOLVER) | ROLE_BIT(ROLE_RUNNER))
#define BECOMING (ROLE_BIT(ROLE_AGENT) | ROLE_BIT(ROLE_RUNNER))

static const struct {
	const char *name;
	int (*attempt)(void);
	unsigned allowed; /* roles */
	bool by_landlock;
} calls[] = {
	{ "socket", try_socket, NETWORKING, false },
	{ "unix socket", try_unix, NETWORKING, false },
	{ "netlink socket", try_raw, NETWORKING, false },
	{ "connect", try_connect, NETWORKING, false },
	{ "listen", try_listen, ROLE_BIT(ROLE_RUNNER), false },
	{ "ptrace", try_ptrace, 0, false },
	{ "exec", try_exec, ROLE_BIT(ROLE_RUNNER), false },
	{ "fork", try_fork, BECOMING, false },
	{ "setuid", try_setuid, BECOMING, false },
	{ "setresgid", try_setgroups, BECOMING, false },
	{ "unshare", try_unshare, 0, false },
	{ "mount", try_mount, 0, false },
	{ "chroot", try_chroot, 0, false },
	{ "bpf", try_bpf, 0, false },
	{ "io_uring", try_uring, 0, false },
	{ "mknod", try_mknod, 0, false },
	{ "thread", try_thread, ALL_ROLES, false },
	{ "open elsewhere", try_open, ROLE_BIT(ROLE_RUNNER), true },
	{ "create elsewhere", try_make, ROLE_BIT(ROLE_RUNNER), true },
	{ "read /etc", try_etc,
		ROLE_BIT(ROLE_QMGR) | ROLE_BIT(ROLE_RESOLVER) | ROLE_BIT(ROLE_LOCAL) |
			ROLE_BIT(ROLE_AGENT) | ROLE_BIT(ROLE_RUNNER), true },
};

static void
test_every_role__every_forbidden_call__is_refused(void **state)
{
	bool has_landlock = syscall(444 /* landlock_create_ruleset */, NULL, (size_t)0, 1u) >= 1;

	(void)state;
	for (int kind = ROLE_QMGR; kind < ROLE_KIND_COUNT; kind++)
		for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
			int want = calls[i].allowed & ROLE_BIT(kind) ? ALLOWED : REFUSED;
			int got;

			if (calls[i].by_landlock && !has_landlock)
				continue;
			got = run(role_sandbox((enum role_kind)kind), calls[i].attempt);
			if (got != want)
				fail_msg("%s in %s: %d, wanted %d", calls[i].name,
					role_name((enum role_kind)kind), got, want);
		}
}

int
main(void)
{
#ifdef __SANITIZE_THREAD__
	return 77; /* skipped: that sanitizer's own runtime needs calls which the sandbox refuses */
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_role__every_forbidden_call__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
