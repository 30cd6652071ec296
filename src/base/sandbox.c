/* sandbox.c - see sandbox.h */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* --- system calls ----------------------------------------------------------------------------- */

/* No role ever needs these. */
static const int never[] = {
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp),
	SCMP_SYS(pidfd_getfd), SCMP_SYS(setreuid), SCMP_SYS(setregid),
	SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(mount), SCMP_SYS(umount2),
	SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key),
	SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff),
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
	SCMP_SYS(mknod), SCMP_SYS(mknodat),
};

/* Only for the runner, whose commands may serve others and take locks as they like. */
static const int executing[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(vfork), SCMP_SYS(listen),
};

/* Only for those that speak to the network by themselves. */
static const int networking[] = {
	SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind),
};

/* Only for the agent; a fork by clone() is told from a thread by its flags. */
static const int becoming[] = {
	SCMP_SYS(fork), SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setresuid),
	SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(capset),
};

static int
deny(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int error = 0;

	for (size_t i = 0; i < count && error == 0; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
	return error;
}

/* clone3() hides its flags behind a pointer: the C library falls back to clone(). */
static int
deny_fork(scmp_filter_ctx filter)
{
	int error = deny(filter, becoming, sizeof(becoming) / sizeof(becoming[0]));

	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	return error;
}

static enum err
filter_calls(unsigned flags)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int error;

	if (filter == NULL)
		return ERR_IO;
	error = deny(filter, never, sizeof(never) / sizeof(never[0]));
	if (error == 0 && !(flags & SANDBOX_EXECUTE))
		error = deny(filter, executing, sizeof(executing) / sizeof(executing[0]));
	if (error == 0 && !(flags & SANDBOX_SOCKETS))
		error = deny(filter, networking, sizeof(networking) / sizeof(networking[0]));
	if (error == 0 && !(flags & SANDBOX_BECOME))
		error = deny_fork(filter);
	if (error == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error == 0 ? ERR_OK : ERR_IO;
}

/* --- files ------------------------------------------------------------------------------------ */

#define READ_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ALL_RIGHTS \
	(READ_RIGHTS | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
		LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
		LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | \
		LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | \
		LANDLOCK_ACCESS_FS_MAKE_SYM)
#define USE_RIGHTS \
	(READ_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
		LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
		LANDLOCK_ACCESS_FS_MAKE_REG)
#ifdef LANDLOCK_ACCESS_FS_REFER
#define REFER_RIGHT LANDLOCK_ACCESS_FS_REFER
#else
#define REFER_RIGHT 0
#endif

static int
add_rule(int ruleset, int directory, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = rights,
		.parent_fd = directory,
	};

	return (int)syscall(
		SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static int
allow(int ruleset, unsigned flags, const int *directories, size_t count, uint64_t refer)
{
	int error = 0, etc;

	for (size_t i = 0; i < count && error == 0; i++)
		error = add_rule(ruleset, directories[i], USE_RIGHTS | refer);
	if (error != 0 || !(flags & SANDBOX_READ_ETC))
		return error;
	etc = open("/etc", O_PATH | O_CLOEXEC);
	if (etc < 0)
		return 0;
	error = add_rule(ruleset, etc, READ_RIGHTS);
	(void)close(etc);
	return error;
}

/* A kernel without Landlock leaves this to the rights of the user that the role runs as. */
static enum err
filter_files(unsigned flags, const int *directories, size_t count)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t refer = abi >= 2 ? REFER_RIGHT : 0;
	struct landlock_ruleset_attr attr = { .handled_access_fs = ALL_RIGHTS | refer };
	int ruleset, error;

	if (abi < 1)
		return ERR_OK;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return ERR_IO;
	error = allow(ruleset, flags, directories, count, refer);
	if (error == 0)
		error = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
	(void)close(ruleset);
	return error == 0 ? ERR_OK : ERR_IO;
}

enum err
sandbox_enter(unsigned flags, const int *directories, size_t count)
{
	struct rlimit none = { 0, 0 };
	enum err err;

	tzset(); /* reads its file while it may */
	(void)setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return ERR_IO;
	err = flags & SANDBOX_EXECUTE ? ERR_OK : filter_files(flags, directories, count);
	return err == ERR_OK ? filter_calls(flags) : err;
}
