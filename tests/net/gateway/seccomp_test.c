/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_test.c - the gateway's filter of system calls does filter: each call is made in a process of its own that has confined itself
 *
 * That all that a gateway does gets through is what the other tests here show, which run with the filter.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/gateway_command.h"

enum { DIES = -1, BEFORE = 120 };

static long do_execve(void)
{
	char *const none[] = { NULL };

	return syscall(SYS_execve, "/bin/true", none, none);
}

static long do_fork(void)
{
	long pid = syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long do_ptrace(void)
{
	return syscall(SYS_ptrace, 0L, 0L, 0L, 0L);
}

static long do_packets(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static long do_hidden_family(void)
{
	return syscall(SYS_socket, (1L << 32) | AF_PACKET, (long)SOCK_RAW, 0L);
}

static long do_mount(void)
{
	return syscall(SYS_mount, "none", "/tmp", "tmpfs", 0L, NULL);
}

static long do_namespace(void)
{
	return syscall(SYS_unshare, 0x10000000L); /* CLONE_NEWUSER */
}

static long do_ring(void)
{
	return syscall(SYS_io_uring_setup, 1L, NULL);
}

static long do_bpf(void)
{
	return syscall(SYS_bpf, 0L, NULL, 0L);
}

static long do_kill(void)
{
	return syscall(SYS_kill, (long)getppid(), 0L);
}

static long do_terminal(void)
{
	char c = 'x';

	return ioctl(0, TIOCSTI, &c);
}

static long do_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0L);
}

static long do_more_files(void)
{
	return socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 &&
			       socket(AF_UNIX, SOCK_DGRAM, 0) >= 0
		       ? 0
		       : -1;
}

static void *run_nothing(void *arg)
{
	return arg;
}

static long do_thread(void)
{
	pthread_t t;

	errno = pthread_create(&t, NULL, run_nothing, NULL);
	return errno ? -1 : pthread_join(t, NULL);
}

static long do_no_new_rights(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	int good = 0;

	while (f && fgets(line, sizeof(line), f)) {
		int n;

		good += sscanf(line, "NoNewPrivs: %d", &n) == 1 && n == 1;
		good += sscanf(line, "Seccomp: %d", &n) == 1 && n == 2;
	}
	if (f)
		fclose(f);
	return good == 2 ? 0 : -1;
}

/* The filter is laid over threads that were there before. */
static atomic_int go, saw;

static void *run_other(void *arg)
{
	while (!atomic_load(&go))
		sched_yield();
	atomic_store(&saw, socket(AF_PACKET, SOCK_RAW, 0) < 0 ? errno : -1);
	return arg;
}

static pthread_t other;

static long do_other_thread(void)
{
	atomic_store(&go, 1);
	pthread_join(other, NULL);
	errno = atomic_load(&saw);
	return -1;
}

static const struct {
	const char *name;
	long (*fn)(void);
	int want; /* 0: it works; errno; or DIES */
	bool in_sanitizers;
} calls[] = {
	{ "execve", do_execve, DIES, true },
	{ "fork", do_fork, EPERM, false },
	{ "ptrace", do_ptrace, DIES, false },
	{ "socket of packets", do_packets, EPERM, true },
	{ "socket of packets with more bits", do_hidden_family, EPERM, true },
	{ "mount", do_mount, EPERM, true },
	{ "unshare", do_namespace, EPERM, true },
	{ "io_uring_setup", do_ring, EPERM, true },
	{ "bpf", do_bpf, EPERM, true },
	{ "kill", do_kill, EPERM, false },
	{ "ioctl TIOCSTI", do_terminal, EPERM, true },
	{ "clone3", do_clone3, ENOSYS, true },
	{ "sockets of ours", do_more_files, 0, true },
	{ "a thread", do_thread, 0, true },
	{ "no new rights", do_no_new_rights, 0, true },
	{ "a thread from before", do_other_thread, EPERM, true },
};

static int run_one(size_t i)
{
	struct mf_err err = { 0 };
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		long r;

		if (pthread_create(&other, NULL, run_other, NULL) != 0)
			_exit(BEFORE);
		if (mf_gateway_confine(&err) != 1) {
			printf("%s\n", err.msg);
			fflush(stdout);
			_exit(BEFORE);
		}
		errno = 0;
		r = calls[i].fn();
		_exit(r >= 0 ? 0 : errno);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 1;
	if (calls[i].want == DIES ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS
				  : WIFEXITED(status) && WEXITSTATUS(status) == calls[i].want)
		return 0;
	printf("%s: wanted %d, status %#x\n", calls[i].name, calls[i].want, (unsigned)status);
	return 1;
}

int main(void)
{
	int failed = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(calls); i++) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
		if (!calls[i].in_sanitizers)
			continue;
#endif
		failed += run_one(i);
	}
	return failed != 0;
}
