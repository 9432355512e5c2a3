/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts_linux.c - what the command must not reach by way of the file system, hidden in the session's mount namespace
 *
 * How it works
 *
 * A Unix socket with a path is reached through the file system, whatever network namespace it belongs to; so each socket
 * of the host is covered by /dev/null, which answers connect() with ECONNREFUSED as a dead socket would. Directories
 * where daemons make sockets anew are covered by an empty one. The namespace belongs to a user namespace in which the
 * command has no privileges: it cannot uncover anything, and in a user namespace that it makes itself these mounts are
 * locked (mount_namespaces(7)). Nothing propagates out: mounts of a less privileged namespace are slaves.
 *
 * User 0 without capabilities is still the owner of most files. What would let it act through the kernel or through a
 * daemon at once (/proc/sys, /sys, disks, cron, systemd's units) is made read-only or covered. What it can do with
 * ordinary files is the business of file policies, not of this fence.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/internal_linux.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* Directories of sockets that may come and go; %u is the user id. */
static const char *const hidden_dirs[] = {
	"/run/dbus",
	"/run/nscd",
	"/run/docker",
	"/run/containerd",
	"/run/podman",
	"/run/crio",
	"/run/avahi-daemon",
	"/run/cups",
	"/run/libvirt",
	"/run/systemd/userdb",
	"/run/user/%u/systemd",
	"/run/user/%u/docker",
	"/run/user/%u/podman",
	"/run/moonfence",
	"/run/user/%u/moonfence",
};

/* Single sockets that exist for a moment only, or in another network namespace, and devices that reach other hosts. */
static const char *const hidden_files[] = {
	"/run/docker.sock",	  "/run/snapd.socket",
	"/run/snapd-snap.socket", "/run/user/%u/bus",
	"/run/systemd/private",	  "/run/systemd/resolve/io.systemd.Resolve",
	"/dev/vhost-vsock",	  "/run/systemd/resolve/io.systemd.Resolve.Monitor",
};

/* Only for user 0: what acts at once, outside. */
static const char *const root_readonly[] = {
	"/proc/sys",
	"/proc/irq",
	"/proc/bus",
	"/proc/fs",
	"/proc/acpi",
	"/proc/scsi",
	"/sys",
	"/etc/cron.d",
	"/etc/crontab",
	"/etc/cron.hourly",
	"/etc/cron.daily",
	"/etc/cron.weekly",
	"/etc/cron.monthly",
	"/var/spool/cron",
	"/etc/anacrontab",
	"/etc/systemd",
	"/run/systemd/system",
	"/usr/lib/systemd",
	"/usr/local/lib/systemd",
	"/etc/udev",
	"/run/udev",
	"/usr/lib/udev",
	"/etc/init.d",
};
static const char *const root_hidden[] = { "/proc/sysrq-trigger", "/proc/kcore", "/dev/mem",
					   "/dev/port", "/dev/kmsg" };

static bool is_allowed(const struct mf_capture_plan *plan, const char *path)
{
	return mf_capture_path_covered(path, plan->options->unix_allow,
				       plan->options->unix_allow_cnt);
}

static const char *expand(const struct mf_capture_plan *plan, const char *path, char *buf,
			  size_t size)
{
	const char *u = strstr(path, "%u");

	if (!u)
		return path;
	snprintf(buf, size, "%.*s%u%s", (int)(u - path), path, (unsigned)plan->uid, u + 2);
	return buf;
}

/* Absent is as good as covered. */
static bool is_absent(int e)
{
	return e == ENOENT || e == ENOTDIR || e == EACCES;
}

static int cover(const char *with, const char *path, struct mf_err *err)
{
	if (mount(with, path, NULL, MS_BIND, NULL) == 0 || is_absent(errno))
		return 0;
	return mf_err_set(err, mf_capture_errno_code(errno), "cannot put %s out of reach: %s", path,
			  strerror(errno));
}

int mf_capture_mounts_mask(const struct mf_capture_plan *plan, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode) || is_allowed(plan, path))
		return 0;
	if (mount("/dev/null", path, NULL, MS_BIND, NULL) < 0)
		return is_absent(errno) ? 0 : MF_E_IO;
	return 1;
}

static int mask_all(const struct mf_capture_plan *plan, const struct mf_capture_paths *paths,
		    struct mf_err *err)
{
	for (size_t i = 0; i < paths->cnt; i++)
		if (mf_capture_mounts_mask(plan, paths->v[i]) < 0)
			return mf_err_set(err, MF_E_IO,
					  "cannot put the Unix socket %s out of reach: %s",
					  paths->v[i], strerror(errno));
	return 0;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* A file of ours over one of the host's; symbolic links followed, so that /run/systemd/resolve works. */
static int cover_file(const char *with, const char *path, struct mf_err *err)
{
	char real[PATH_MAX];

	if (!realpath(path, real))
		return 0;
	return cover(with, real, err);
}

static int hide_dirs(const struct mf_capture_plan *plan, const char *empty, struct mf_err *err)
{
	char buf[256], real[PATH_MAX];

	for (size_t i = 0; i < MF_ARRAY_SIZE(hidden_dirs); i++) {
		const char *path = expand(plan, hidden_dirs[i], buf, sizeof(buf));
		bool wanted = is_allowed(plan, path);
		struct stat st;

		/* A directory in which something is allowed stays; its other sockets are masked one by one. */
		for (size_t a = 0; !wanted && a < plan->options->unix_allow_cnt; a++)
			wanted = mf_capture_path_covered(plan->options->unix_allow[a], &path, 1);
		if (wanted || stat(path, &st) < 0 || !S_ISDIR(st.st_mode) || !realpath(path, real))
			continue;
		if (cover(empty, real, err) < 0)
			return err->code;
	}
	return 0;
}

static int hide_files(const struct mf_capture_plan *plan, struct mf_err *err)
{
	char buf[256];

	for (size_t i = 0; i < MF_ARRAY_SIZE(hidden_files); i++) {
		const char *path = expand(plan, hidden_files[i], buf, sizeof(buf));
		struct stat st;

		if (is_allowed(plan, path) || lstat(path, &st) < 0 || S_ISLNK(st.st_mode))
			continue;
		if (cover("/dev/null", path, err) < 0)
			return err->code;
	}
	return 0;
}

struct mount_attr_v0 {
	uint64_t attr_set, attr_clr, propagation, userns_fd;
};

static int make_readonly(const char *path, struct mf_err *err)
{
	struct mount_attr_v0 attr = { .attr_set = 1 /* MOUNT_ATTR_RDONLY */ };

	if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0) {
		if (is_absent(errno))
			return 0;
	} else if (syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof(attr)) ==
		   0) {
		return 0;
	}
	return mf_err_set(err, mf_capture_errno_code(errno), "cannot make %s read-only: %s", path,
			  strerror(errno));
}

/* Disks, which user 0 could write below every file system. */
static int hide_block_devices(struct mf_err *err)
{
	DIR *d = opendir("/dev");
	struct dirent *e;
	int r = 0;

	while (r == 0 && d && (e = readdir(d))) {
		char path[300];

		if (e->d_type != DT_BLK)
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		r = cover("/dev/null", path, err);
	}
	if (d)
		closedir(d);
	return r;
}

static int lock_root(struct mf_err *err)
{
	int r = hide_block_devices(err);

	for (size_t i = 0; r == 0 && i < MF_ARRAY_SIZE(root_readonly); i++)
		r = make_readonly(root_readonly[i], err);
	for (size_t i = 0; r == 0 && i < MF_ARRAY_SIZE(root_hidden); i++)
		r = cover("/dev/null", root_hidden[i], err);
	return r;
}

#define CALLERS_DIRS 3 /* that are to be empty */
#define OURS_FLAGS   (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* @fd: the caller's directory that is to be empty, opened before /tmp was covered, in which it may be; -1: none */
static int hide_callers_dir(int fd, const char *empty, struct mf_err *err)
{
	char target[40];

	if (fd < 0)
		return 0;
	snprintf(target, sizeof(target), "/proc/self/fd/%d", fd);
	return cover(empty, target, err);
}

static int fill_ours(struct mf_capture_plan *plan, const int *hidden, struct mf_err *err)
{
	int r;

	if (mkdir("/tmp/empty", 0555) < 0 || write_file("/tmp/resolv.conf", plan->resolv) < 0 ||
	    (plan->has_nsswitch && write_file("/tmp/nsswitch.conf", plan->nsswitch) < 0))
		return mf_err_set(err, MF_E_IO, "cannot write the session's resolv.conf: %s",
				  strerror(errno));
	r = cover_file("/tmp/resolv.conf", "/etc/resolv.conf", err);
	if (r == 0 && plan->has_nsswitch)
		r = cover_file("/tmp/nsswitch.conf", "/etc/nsswitch.conf", err);
	if (r == 0)
		r = hide_dirs(plan, "/tmp/empty", err);
	for (size_t i = 0; r == 0 && i < CALLERS_DIRS; i++)
		r = hide_callers_dir(hidden[i], "/tmp/empty", err);
	if (r == 0)
		r = mf_capture_trust_place(plan, "/tmp", err);
	/* The files belong to the command's user, who could change their modes and then themselves. */
	if (r == 0 && mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_RDONLY | OURS_FLAGS, NULL) < 0)
		r = mf_err_set(err, MF_E_IO, "cannot make the session's files read-only: %s",
			       strerror(errno));
	return r;
}

/* @fds: an O_PATH descriptor of each directory that the caller wants hidden; -1: there is none */
static int open_callers_dirs(const struct mf_capture_options *o, int *fds, struct mf_err *err)
{
	const char *const paths[CALLERS_DIRS] = { o->hidden_dir, o->hidden_trash, o->hidden_run };

	for (size_t i = 0; i < CALLERS_DIRS; i++) {
		fds[i] = paths[i] ? open(paths[i], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
		if (paths[i] && fds[i] < 0 && !is_absent(errno))
			return mf_err_set(err, MF_E_IO, "cannot put %s out of reach: %s", paths[i],
					  strerror(errno));
	}
	return 0;
}

/* Our few files live in a small tmpfs that is attached at /tmp for a moment: nobody but us is in the namespace yet. */
static int cover_with_ours(struct mf_capture_plan *plan, struct mf_err *err)
{
	int hidden[CALLERS_DIRS] = { -1, -1, -1 };
	char options[64];
	size_t room;
	int r = mf_capture_trust_open(plan, &room, err);

	if (r < 0)
		return r;
	snprintf(options, sizeof(options), "size=%zuk,mode=755", 64 + room / 1024);
	r = open_callers_dirs(plan->options, hidden, err);
	if (r == 0 && mount("moonfence", "/tmp", "tmpfs", OURS_FLAGS, options) < 0)
		r = mf_err_set(err, mf_capture_errno_code(errno), "cannot mount a tmpfs: %s",
			       strerror(errno));
	if (r < 0)
		goto out;
	r = fill_ours(plan, hidden, err);
	if (umount2("/tmp", MNT_DETACH) < 0 && r == 0)
		r = mf_err_set(err, MF_E_IO, "cannot uncover /tmp: %s", strerror(errno));
out:
	for (size_t i = 0; i < CALLERS_DIRS; i++)
		if (hidden[i] >= 0)
			close(hidden[i]);
	return r;
}

/* What fails here is a discomfort, not a hole. */
static void set_sysctl(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		errno = 0;
	close(fd);
}

static void set_sysctls(const struct mf_capture_plan *plan)
{
	char range[32] = "0 2147483647";

	if (*plan->port_start)
		set_sysctl("/proc/sys/net/ipv4/ip_unprivileged_port_start", plan->port_start);
	/* ping may ask without privileges: our rules refuse it with a reason, and an event. */
	if (plan->uid != 0)
		snprintf(range, sizeof(range), "%u %u", (unsigned)plan->gid, (unsigned)plan->gid);
	set_sysctl("/proc/sys/net/ipv4/ping_group_range", range);
}

/* Reached by the path of the mount point alone: its files, and those of the namespace it was made in, are the same to the kernel. */
int mf_capture_mounts_workspace(struct mf_capture_plan *plan, struct mf_err *err)
{
	const char *at = plan->options->workspace;
	char options[160];
	int fd;

	if (!at)
		return 0;
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return mf_err_set(
			err, MF_E_UNSUPPORTED,
			"a workspace wants FUSE, and /dev/fuse cannot be opened (%s): load it with "
			"'modprobe fuse', 'chmod 666 /dev/fuse', in a container --device /dev/fuse",
			strerror(errno));
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,allow_other", fd,
		 (unsigned)plan->uid, (unsigned)plan->gid);
	if (mount("moonfence", at, "fuse.moonfence", MS_NOSUID | MS_NODEV, options) < 0) {
		int e = errno;

		close(fd);
		return mf_err_set(err, mf_capture_errno_code(e),
				  "cannot mount on the workspace %s: %s", at, strerror(e));
	}
	plan->workspace_fd = fd;
	return 0;
}

int mf_capture_mounts_build(struct mf_capture_plan *plan, struct mf_err *err)
{
	int r = cover_with_ours(plan, err);

	if (r == 0)
		r = hide_files(plan, err);
	if (r == 0)
		r = mask_all(plan, &plan->sockets, err);
	set_sysctls(plan);
	if (r == 0 && plan->uid == 0)
		r = lock_root(err);
	return r;
}
