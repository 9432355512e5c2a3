/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockdown_linux.c - what the command loses between clone and exec: descriptors that lead out, privileges, system calls
 *
 * How it works
 *
 * Descriptors. A socket that was inherited lives in the namespace where it was made and would carry traffic past the
 * fence, so sockets and other means of the kernel (io_uring, tun, namespaces) are closed; files, pipes and terminals
 * stay. A directory opened outside shows the file system without our mounts, so it is opened again by its name.
 *
 * Capabilities. All sets are emptied and the securebits locked, so that not even user 0 gets any back by exec; with
 * no_new_privs neither does a setuid program. CAP_NET_RAW stays in the bounding set, where it is no capability: without
 * it ping, whose file asks for it, could not even be executed, and would not be told that its packets are refused. A user namespace that the command makes gives it capabilities over that
 * one and what is made inside it only: never over our network or mount namespace, whose owner is one level up. Hence
 * unshare() and clone() need not be refused, and tools that sandbox themselves go on working.
 *
 * ptrace, /proc/PID/mem and pidfd_getfd() need no filter either: against processes of an outer user namespace, and
 * against the opener with its capabilities, the kernel refuses them, although the user id is the same.
 *
 * System calls (seccomp). Refused calls are reported to the caller, who answers with the errno that the filter means.
 *   - sockets of families that do not go through our rules (VSOCK reaches the hypervisor, others modems and the like)
 *   - io_uring, whose socket operations pass seccomp
 *   - keys: request_key() may start a program outside, which looks up DNS names for anybody who asks
 *   - TIOCSTI, TIOCLINUX: typing into the terminal as if it were the user
 *   - 32-bit socketcall(SYS_SOCKET), whose arguments a filter cannot see; x32 calls altogether
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "capture/internal_linux.h"

/* ---------------------------------------------------------------------------------------------------------------- */
/* Descriptors                                                                                                      */

static bool is_in(int fd, const int *list, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (list[i] == fd)
			return true;
	return false;
}

/* A connected Unix stream leads to whoever holds its other end and to nobody else; it cannot be connected anew. */
static bool is_fixed_stream(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int type = 0, domain = 0;
	socklen_t type_len = sizeof(type), domain_len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) < 0 || domain != AF_UNIX)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 || type == SOCK_DGRAM)
		return false;
	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

/* Anonymous kernel objects that can do nothing but wake their reader. */
static bool is_harmless_anon(const char *link)
{
	static const char *const harmless[] = { "anon_inode:[eventfd]",	  "anon_inode:[timerfd]",
						"anon_inode:[signalfd]",  "anon_inode:inotify",
						"anon_inode:[eventpoll]", "anon_inode:[pidfd]" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(harmless); i++)
		if (strcmp(link, harmless[i]) == 0)
			return true;
	return false;
}

static bool leads_out(int fd, const struct stat *st, const char *link)
{
	if (S_ISSOCK(st->st_mode))
		return true;
	if (strncmp(link, "anon_inode:", 11) == 0)
		return !is_harmless_anon(link);
	if (strncmp(link, "net:[", 5) == 0 || strncmp(link, "user:[", 6) == 0 ||
	    strncmp(link, "mnt:[", 5) == 0)
		return true;
	/* 10:200 is /dev/net/tun, 238 vhost-net, 241 vhost-vsock (admin-guide/devices.txt) */
	if (S_ISCHR(st->st_mode) && major(st->st_rdev) == 10)
		return minor(st->st_rdev) == 200 || minor(st->st_rdev) == 238 ||
		       minor(st->st_rdev) == 241;
	(void)fd;
	return false;
}

/* The same directory through the session's mounts. Return: false if it is not to be seen there */
static bool reopen_dir(int fd, const struct stat *st, const char *path)
{
	int flags = fcntl(fd, F_GETFL), again;
	struct stat now;
	bool same;

	again = open(path, (flags & O_PATH) | O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (again < 0)
		return false;
	same = fstat(again, &now) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino;
	if (same)
		same = dup2(again, fd) == fd;
	close(again);
	return same;
}

static void note_closed(const struct mf_capture_plan *plan, int fd, const char *link)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_NOTE };

	snprintf(m.text, sizeof(m.text), "descriptor %d (%.600s) is not passed to the command", fd,
		 link);
	(void)mf_capture_msg_send(plan->command_sock, &m, NULL, 0);
}

static int lock_fd(const struct mf_capture_plan *plan, int fd, struct mf_err *err)
{
	char name[32], link[PATH_MAX];
	struct stat st;
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, link, sizeof(link) - 1);
	if (n < 0 || fstat(fd, &st) < 0)
		return 0;
	link[n] = '\0';
	if (S_ISDIR(st.st_mode) && plan->options->workspace &&
	    mf_capture_path_covered(link, &plan->options->workspace, 1)) {
		// The way around the filesystem that lies over it, which nobody answers for yet.
	} else if (S_ISDIR(st.st_mode)) {
		if (reopen_dir(fd, &st, link))
			return 0;
	} else if (!leads_out(fd, &st, link)) {
		return 0;
	}
	if (fd <= 2 && is_fixed_stream(fd))
		return 0;
	if (fd <= 2)
		return mf_err_set(
			err, MF_E_PERM,
			"descriptor %d of the command (%s) leads out of the session: redirect "
			"it, or allow it by name",
			fd, link);
	note_closed(plan, fd, link);
	close(fd);
	return 0;
}

int mf_capture_lock_fds(const struct mf_capture_plan *plan, const int *keep, size_t keep_cnt,
			struct mf_err *err)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int r = 0;

	if (!d)
		return mf_err_set(err, MF_E_IO, "cannot list descriptors: %s", strerror(errno));
	while (r == 0 && (e = readdir(d))) {
		char *end;
		long fd = strtol(e->d_name, &end, 10);

		if (*end || end == e->d_name || fd == dirfd(d) || is_in((int)fd, keep, keep_cnt) ||
		    is_in((int)fd, plan->options->keep_fds, plan->options->keep_fd_cnt))
			continue;
		/* exec closes those itself */
		if (fcntl((int)fd, F_GETFD) & FD_CLOEXEC)
			continue;
		r = lock_fd(plan, (int)fd, err);
	}
	closedir(d);
	return r;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Privileges                                                                                                       */

int mf_capture_lock_privileges(struct mf_err *err)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } }, now[2];

	for (int cap = 0; cap < 64; cap++)
		if (cap != CAP_NET_RAW && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
		    errno != EINVAL)
			return mf_err_set(err, MF_E_IO, "cannot drop capability %d: %s", cap,
					  strerror(errno));
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
					     SECBIT_NO_SETUID_FIXUP_LOCKED |
					     SECBIT_NO_CAP_AMBIENT_RAISE |
					     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED) < 0 ||
	    syscall(SYS_capset, &h, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return mf_err_set(err, MF_E_IO, "cannot give up privileges: %s", strerror(errno));
	if (syscall(SYS_capget, &h, now) < 0 || memcmp(now, none, sizeof(now)) != 0)
		return mf_err_set(err, MF_E_BUG, "the command still has capabilities");
	return 0;
}

/* Landlock's system call by number: its header is younger than the oldest C library that we build with. */
#define LANDLOCK_CREATE_RULESET 444
#define LANDLOCK_RESTRICT_SELF	446
#define LANDLOCK_VERSION	1u
#define LANDLOCK_SCOPES		3u /* abstract Unix sockets, signals: ABI 6 */

int mf_capture_lock_scope(void)
{
	struct {
		uint64_t handled_fs, handled_net, scoped;
	} attr = { 0, 0, LANDLOCK_SCOPES };
	int fd, r;

	if (syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION) < 6)
		return 0;
	fd = (int)syscall(LANDLOCK_CREATE_RULESET, &attr, sizeof(attr), 0);
	if (fd < 0)
		return 0;
	r = (int)syscall(LANDLOCK_RESTRICT_SELF, fd, 0);
	close(fd);
	return r == 0;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* System calls                                                                                                     */

#define KEEP_LOW 0xffffffffu
/* All fields, unlike libseccomp's macros. @b is the value after a mask, else 0 */
#define ARG(number, how, a, b) ((struct scmp_arg_cmp){ (number), (how), (a), (b) })

struct filter {
	scmp_filter_ctx ctx;
	bool notify;
	int r; /* of the first rule that failed */
};

static uint32_t refuse(const struct filter *f, int e)
{
	return f->notify ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO((uint16_t)e);
}

static void add_rule(struct filter *f, int e, int nr, unsigned cnt, const struct scmp_arg_cmp *args)
{
	/* A call that an architecture does not have is no error. */
	if (f->r == 0)
		f->r = seccomp_rule_add_array(f->ctx, refuse(f, e), nr, cnt, args);
	if (f->r == -EDOM)
		f->r = 0;
}

/* AF_UNIX, AF_INET, AF_INET6, AF_NETLINK pass. A value over 32 bits, which the kernel would cut, is above 16 as well. */
static void add_socket_rules(struct filter *f)
{
	static const uint8_t netlink_refused[] = { 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };

	for (unsigned family = 3; family < AF_NETLINK; family++)
		if (family != AF_INET6)
			add_rule(f, EAFNOSUPPORT, SCMP_SYS(socket), 1,
				 &ARG(0, SCMP_CMP_EQ, family, 0));
	add_rule(f, EAFNOSUPPORT, SCMP_SYS(socket), 1, &ARG(0, SCMP_CMP_GT, AF_NETLINK, 0));
	/* NETLINK_ROUTE, NETLINK_SOCK_DIAG (ss) and NETLINK_KOBJECT_UEVENT (libudev) pass. */
	for (size_t i = 0; i < MF_ARRAY_SIZE(netlink_refused); i++) {
		struct scmp_arg_cmp args[] = { ARG(0, SCMP_CMP_EQ, AF_NETLINK, 0),
					       ARG(2, SCMP_CMP_EQ, netlink_refused[i], 0) };

		add_rule(f, EPROTONOSUPPORT, SCMP_SYS(socket), 2, args);
	}
	add_rule(f, EPROTONOSUPPORT, SCMP_SYS(socket), 2,
		 (struct scmp_arg_cmp[]){ ARG(0, SCMP_CMP_EQ, AF_NETLINK, 0),
					  ARG(2, SCMP_CMP_GT, 15, 0) });
}

static void add_other_rules(struct filter *f)
{
	static const unsigned ioctls[] = { 0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */ };

	/* The kernel looks at 32 bits of the request. */
	for (size_t i = 0; i < MF_ARRAY_SIZE(ioctls); i++)
		add_rule(f, EPERM, SCMP_SYS(ioctl), 1,
			 &ARG(1, SCMP_CMP_MASKED_EQ, KEEP_LOW, ioctls[i]));
	add_rule(f, ENOSYS, SCMP_SYS(io_uring_setup), 0, NULL);
	add_rule(f, ENOSYS, SCMP_SYS(io_uring_enter), 0, NULL);
	add_rule(f, ENOSYS, SCMP_SYS(io_uring_register), 0, NULL);
	add_rule(f, ENOSYS, SCMP_SYS(add_key), 0, NULL);
	add_rule(f, ENOSYS, SCMP_SYS(request_key), 0, NULL);
	add_rule(f, ENOSYS, SCMP_SYS(keyctl), 0, NULL);
}

#if defined(__x86_64__)
/* A filter of its own for i386, so that the rule for the multiplexer does not meet the one for socket(). */
static int add_i386(struct filter *f)
{
	struct filter i = { .ctx = seccomp_init(SCMP_ACT_ALLOW), .notify = f->notify };

	if (!i.ctx)
		return -ENOMEM;
	i.r = seccomp_arch_remove(i.ctx, SCMP_ARCH_NATIVE);
	if (i.r == 0)
		i.r = seccomp_arch_add(i.ctx, SCMP_ARCH_X86);
	if (i.r == 0)
		i.r = seccomp_attr_set(i.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	add_other_rules(&i);
	/* Number 359; and socketcall(1, ...): families cannot be told apart there, so none passes. */
	add_rule(&i, EAFNOSUPPORT, SCMP_SYS(socket), 0, NULL);
	if (i.r == 0)
		i.r = seccomp_merge(f->ctx, i.ctx);
	if (i.r)
		seccomp_release(i.ctx);
	return i.r;
}
#else
static int add_i386(struct filter *f)
{
	(void)f;
	return 0;
}
#endif

static int build_and_load(bool notify, int *ret_fd)
{
	struct filter f = { .ctx = seccomp_init(SCMP_ACT_ALLOW), .notify = notify };

	if (!f.ctx)
		return -ENOMEM;
	f.r = seccomp_attr_set(f.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	add_socket_rules(&f);
	add_other_rules(&f);
	if (f.r == 0)
		f.r = add_i386(&f);
	if (f.r == 0)
		f.r = seccomp_load(f.ctx);
	if (f.r == 0)
		*ret_fd = notify ? seccomp_notify_fd(f.ctx) : -1;
	seccomp_release(f.ctx);
	return f.r;
}

int mf_capture_lock_syscalls(int *ret_notify_fd, struct mf_err *err)
{
	int r = build_and_load(true, ret_notify_fd);

	/* Somebody above us has such a descriptor already, or the kernel has none: then calls are refused unheard. */
	if (r < 0)
		r = build_and_load(false, ret_notify_fd);
	if (r < 0)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "cannot install the system call filter: %s", strerror(-r));
	return 0;
}
