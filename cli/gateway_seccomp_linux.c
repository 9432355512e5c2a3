/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_seccomp_linux.c - the system calls that a gateway may make once it serves
 *
 * A list of what is allowed: sockets of the families that it speaks, files (policies and certificates are read again, events are written),
 * memory, time, and threads of its own. All else fails with EPERM, and the kernel's audit log says so. What no library tries for a good
 * reason, other programs and other processes above all, ends the process. It stands beside what the unit of systemd forbids, and holds
 * without systemd as well.
 *
 * Builds with a sanitizer allow what its runtime does when it stops the others' threads to look for leaks.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>

#include "cli/gateway_command.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

static const char *const allowed[] = {
	/* bytes and descriptors */
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "lseek",
	"_llseek", "close", "close_range", "dup", "dup2", "dup3", "fcntl", "fcntl64", "pipe",
	"pipe2", "splice", "tee", "sendfile", "sendfile64", "copy_file_range", "eventfd2",
	/* waiting */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_wait", "epoll_pwait",
	"epoll_pwait2", "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6",
	"pselect6_time64", "timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd4",
	/* sockets; which of them, says add_socket() */
	"bind", "listen", "connect", "accept", "accept4", "getsockname", "getpeername",
	"getsockopt", "setsockopt", "shutdown", "send", "recv", "sendto", "recvfrom", "sendmsg",
	"recvmsg", "sendmmsg", "recvmmsg", "recvmmsg_time64",
	/* files: policies, their directories, certificates, events and their rotation */
	"open", "openat", "openat2", "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64",
	"newfstatat", "fstatat64", "statx", "statfs", "statfs64", "fstatfs", "fstatfs64", "access",
	"faccessat", "faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd",
	"mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "ftruncate",
	"ftruncate64", "fallocate", "fsync", "fdatasync", "fchmod", "umask", "utimensat", "flock",
	"inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "memfd_create",
	/* memory */
	"mmap", "mmap2", "munmap", "mprotect", "mremap", "madvise", "brk", "membarrier", "msync",
	/* threads, signals of our own, ends */
	"futex", "futex_time64", "futex_waitv", "set_robust_list", "get_robust_list",
	"set_tid_address", "rseq", "sched_yield", "sched_getaffinity", "sched_getparam",
	"sched_getscheduler", "getcpu", "setpriority", "getpriority", "arch_prctl", "gettid",
	"tgkill", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "rt_sigtimedwait",
	"rt_sigtimedwait_time64", "sigaltstack", "restart_syscall", "exit", "exit_group",
	/* time, chance, who and what we are */
	"nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "clock_gettime",
	"clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday", "time",
	"getrandom", "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getuid32",
	"geteuid32", "getgid32", "getegid32", "getgroups", "uname", "sysinfo", "getrusage",
	"getrlimit", "ugetrlimit", "times", "capget"
};

static const char *const of_sanitizers[] = {
	"clone", "ptrace", "wait4", "kill", "prctl", "personality", "process_vm_readv", "prlimit64"
};

/* Whoever makes one of these has been taken over. */
static const char *const deadly[] = {
	"execve",      "execveat",     "ptrace",     "process_vm_readv", "process_vm_writev",
	"init_module", "finit_module", "kexec_load", "kexec_file_load",	 "fork",
	"vfork"
};

struct filter {
	scmp_filter_ctx ctx;
	int r; /* of the first rule that failed */
};

static bool sanitizers_need(const char *name)
{
	for (size_t i = 0; SANITIZED && i < MF_ARRAY_SIZE(of_sanitizers); i++)
		if (strcmp(name, of_sanitizers[i]) == 0)
			return true;
	return false;
}

static void add(struct filter *f, uint32_t action, const char *name, unsigned cnt,
		const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name);

	/* a call that this architecture, or this libseccomp, does not have is no error */
	if (nr == __NR_SCMP_ERROR || f->r)
		return;
	f->r = seccomp_rule_add_array(f->ctx, action, nr, cnt, args);
	if (f->r == -EDOM)
		f->r = 0;
}

/* @name with one value of its argument @number, in the bits of @mask */
static void allow_with(struct filter *f, const char *name, unsigned number, uint64_t mask,
		       uint64_t value)
{
	const struct scmp_arg_cmp arg = { number, SCMP_CMP_MASKED_EQ, mask, value };

	add(f, SCMP_ACT_ALLOW, name, 1, &arg);
}

static void add_some_of(struct filter *f)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
	static const unsigned long requests[] = { FIONREAD, FIONBIO, FIOCLEX, TCGETS,
						  TCSETS,   TCSETSW, TCSETSF, TIOCGWINSZ };
	static const uint64_t options[] = { PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_DUMPABLE };
	const struct scmp_arg_cmp reads_limit = { 2, SCMP_CMP_EQ, 0, 0 };

	for (size_t i = 0; i < MF_ARRAY_SIZE(families); i++) {
		allow_with(f, "socket", 0, UINT64_MAX, (uint64_t)families[i]);
		allow_with(f, "socketpair", 0, UINT64_MAX, (uint64_t)families[i]);
	}
	/* the kernel looks at 32 bits, and libc leaves what it likes above them */
	for (size_t i = 0; i < MF_ARRAY_SIZE(requests); i++)
		allow_with(f, "ioctl", 1, UINT32_MAX, requests[i]);
	if (!SANITIZED) {
		for (size_t i = 0; i < MF_ARRAY_SIZE(options); i++)
			allow_with(f, "prctl", 0, UINT32_MAX, options[i]);
		/* threads of this process; flags of clone3 lie in memory, so libc has to do without it */
		allow_with(f, "clone", 0, CLONE_THREAD, CLONE_THREAD);
		add(f, SCMP_ACT_ALLOW, "prlimit64", 1, &reads_limit);
	}
	add(f, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
}

static int build(struct filter *f)
{
	f->r = seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (f->r == 0)
		(void)seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_LOG, 1);
	for (size_t i = 0; i < MF_ARRAY_SIZE(allowed); i++)
		add(f, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
	for (size_t i = 0; SANITIZED && i < MF_ARRAY_SIZE(of_sanitizers); i++)
		add(f, SCMP_ACT_ALLOW, of_sanitizers[i], 0, NULL);
	for (size_t i = 0; i < MF_ARRAY_SIZE(deadly); i++)
		if (!sanitizers_need(deadly[i]))
			add(f, SCMP_ACT_KILL_PROCESS, deadly[i], 0, NULL);
	add_some_of(f);
	return f->r;
}

int mf_gateway_confine(struct mf_err *err)
{
	struct filter f = { .ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM)) };
	int r = f.ctx ? build(&f) : -ENOMEM;

	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = seccomp_load(f.ctx);
	if (f.ctx)
		seccomp_release(f.ctx);
	if (r < 0)
		return mf_err_set(err, MF_E_IO,
				  "cannot filter system calls (--no-seccomp does without): %s",
				  strerror(-r));
	return 1;
}
