/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_owner_linux.c - whose a listening socket is, and which project it works in, out of /proc
 *
 * A socket's inode stands in its owner's /proc/PID/fd. Processes are gone through from the highest PID down, as a new
 * listener's process most often is a new one, and the search ends when all are found. Runs in a thread of its own, where
 * nobody waits for a slow disk.
 *
 * What users have in their directories is read as they could read it themselves: for another user's files the thread takes
 * on that user's rights on files (setfsuid(2): Linux then also drops the capabilities that override permissions). Each file
 * is opened below an open directory, is no link, is a file, and belongs to that user or to root.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/utf8.h"
#include "proxies/dev_linux.h"

#define PIDS_MAX    65536
#define FDS_MAX	    65536 /* descriptors of one process that are looked at */
#define CMDLINE_MAX 4096

/* --- projects ------------------------------------------------------------------------------------------------------- */

/* Return: bytes read, -1: not a file that is believed */
static ssize_t read_file(int dir, const char *name, uint32_t uid, uint8_t *buf, size_t room)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	size_t len = 0;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_uid != uid && st.st_uid != 0)) {
		close(fd);
		return -1;
	}
	while (len < room) {
		ssize_t n = read(fd, buf + len, room - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	return (ssize_t)len;
}

/* Return: whether the directory has anything that makes it a project */
static bool read_project(int dir, uint32_t uid, struct mf_dev_project *ret)
{
	uint8_t *buf = NULL;

	memset(ret, 0, sizeof(*ret));
	for (int f = 0; f < MF_DEV_FILE_NUM; f++) {
		const char *name = mf_dev_file_name(f);
		struct stat st;
		ssize_t len;

		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    (st.st_uid != uid && st.st_uid != 0))
			continue;
		if (!mf_dev_file_is_read(f)) {
			if (S_ISREG(st.st_mode) || (f == MF_DEV_FILE_GIT && S_ISDIR(st.st_mode)))
				mf_dev_project_add(ret, f, mf_span_of("", 0));
			continue;
		}
		if (!buf)
			buf = malloc(MF_DEV_FILE_MAX);
		if (!buf)
			break;
		len = read_file(dir, name, uid, buf, MF_DEV_FILE_MAX);
		if (len >= 0)
			mf_dev_project_add(ret, f, mf_span_of(buf, (size_t)len));
	}
	free(buf);
	return ret->has;
}

/* Directories that hold projects and are none, whatever lies in them: homes, and where everybody writes. */
static bool is_common(const char *path)
{
	static const char *const common[] = { "",     "/",	  "/root",   "/home",
					      "/tmp", "/var/tmp", "/dev/shm" };
	static const char home[] = "/home/";

	for (size_t i = 0; i < MF_ARRAY_SIZE(common); i++)
		if (strcmp(path, common[i]) == 0)
			return true;
	return strncmp(path, home, sizeof(home) - 1) == 0 && !strchr(path + sizeof(home) - 1, '/');
}

void mf_dev_project_find(int dir, const char *cwd, uint32_t uid, struct mf_dev_project *ret,
			 char ret_path[MF_DEV_PATH_ROOM])
{
	char path[MF_DEV_PATH_ROOM];
	int at = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	snprintf(path, sizeof(path), "%s", cwd);
	ret_path[0] = '\0';
	memset(ret, 0, sizeof(*ret));
	for (int level = 0; at >= 0 && level < MF_DEV_LEVELS_MAX && !is_common(path); level++) {
		char *slash = strrchr(path, '/');
		int up;

		if (read_project(at, uid, ret)) {
			memcpy(ret_path, path, sizeof(path));
			break;
		}
		if (!slash)
			break;
		*slash = '\0';
		up = openat(at, "..", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(at);
		at = up;
	}
	if (at >= 0)
		close(at);
}

/* --- processes ------------------------------------------------------------------------------------------------------ */

/* Reads of /proc/PID, relative to it. Return: bytes, 0 on errors; NUL-terminated */
static size_t read_proc(int proc, const char *name, char *buf, size_t room)
{
	int fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, room - 1);

	if (fd >= 0)
		close(fd);
	n = n < 0 ? 0 : n;
	buf[n] = '\0';
	return (size_t)n;
}

/* A link's target; "" when it cannot be read, is too long, or leads to something deleted. */
static void read_link(int proc, const char *name, char *buf, size_t room)
{
	static const char deleted[] = " (deleted)";
	ssize_t n = readlinkat(proc, name, buf, room);

	n = n < 0 || (size_t)n >= room ? 0 : n;
	buf[n] = '\0';
	if ((size_t)n >= sizeof(deleted) - 1 &&
	    strcmp(buf + n - (sizeof(deleted) - 1), deleted) == 0)
		buf[(size_t)n - (sizeof(deleted) - 1)] = '\0';
}

/* What goes into JSON and onto pages must be text. */
static void keep_text(char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t len = strlen(s);
	uint32_t c = 0;

	for (size_t i = 0; i < len && c < MF_UTF8_BAD; i += mf_utf8_decode(p + i, len - i, &c))
		;
	if (c >= MF_UTF8_BAD)
		s[0] = '\0';
}

static void copy_program(const char *exe, const char *comm, char ret[MF_DEV_PROCESS_ROOM])
{
	const char *slash = strrchr(exe, '/');
	const char *name = slash && slash[1] ? slash + 1 : comm;
	size_t len = strcspn(name, "\n");

	len = len < MF_DEV_PROCESS_ROOM ? len : MF_DEV_PROCESS_ROOM - 1;
	memcpy(ret, name, len);
	ret[len] = '\0';
	keep_text(ret);
}

/* The rights on files of @uid for this thread; root only, others keep their own. */
static void take_rights(uint32_t uid, uint32_t gid)
{
	if (geteuid() != 0)
		return;
	setfsgid(gid);
	setfsuid(uid);
}

static void drop_rights(void)
{
	if (geteuid() != 0)
		return;
	setfsuid(geteuid());
	setfsgid(getegid());
}

static void find_label(struct mf_dev_facts *f, const struct mf_dev_project *p)
{
	const char *dir = f->project[0] ? f->project : f->cwd;
	const char *slash = strrchr(dir, '/');

	if (mf_dev_label(p->name, strlen(p->name), f->label) > 0 || is_common(dir) || !slash)
		return;
	(void)mf_dev_label(slash + 1, strlen(slash + 1), f->label);
}

/* Everything about the process, into @f. @proc: /proc/PID */
static void describe(struct mf_dev_facts *f, int proc, uint32_t pid, gid_t gid)
{
	char comm[64], exe[MF_DEV_PATH_ROOM], line[CMDLINE_MAX];
	struct mf_dev_project project = { 0 };
	size_t line_len;
	int dir;

	f->pid = pid;
	read_proc(proc, "comm", comm, sizeof(comm));
	read_link(proc, "exe", exe, sizeof(exe));
	copy_program(exe, comm, f->process);
	line_len = read_proc(proc, "cmdline", line, sizeof(line));
	read_link(proc, "cwd", f->cwd, sizeof(f->cwd));
	keep_text(f->cwd);
	dir = f->cwd[0] == '/' ? openat(proc, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (dir >= 0) {
		take_rights(f->uid, gid);
		mf_dev_project_find(dir, f->cwd, f->uid, &project, f->project);
		drop_rights();
		close(dir);
	}
	f->kind = mf_dev_kind_of(f->process, mf_span_of(line, line_len), &project);
	find_label(f, &project);
}

/* --- owners --------------------------------------------------------------------------------------------------------- */

struct search {
	struct mf_dev_facts *facts;
	size_t cnt, left;
	int proc; /* "/proc" */
};

/* Whether a socket of @uid may belong to a process of @owner: its own, or one that may not be looked into, root's to us. */
static bool is_wanted_from(const struct search *s, uid_t owner)
{
	for (size_t i = 0; i < s->cnt; i++)
		if (s->facts[i].pid == 0 && (s->facts[i].uid == owner || owner == 0))
			return true;
	return false;
}

static uint64_t inode_of(const char *target)
{
	static const char prefix[] = "socket:[";
	char *end;
	unsigned long long n;

	if (strncmp(target, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	n = strtoull(target + sizeof(prefix) - 1, &end, 10);
	return *end == ']' ? n : 0;
}

static void look_into(struct search *s, uint32_t pid)
{
	char name[16], target[64];
	struct dirent *e;
	struct stat st;
	int proc, fds;
	DIR *dir = NULL;

	snprintf(name, sizeof(name), "%u", pid);
	proc = openat(s->proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return;
	if (fstat(proc, &st) == 0 && is_wanted_from(s, st.st_uid)) {
		fds = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		dir = fds < 0 ? NULL : fdopendir(fds);
		if (fds >= 0 && !dir)
			close(fds);
	}
	for (int n = 0; dir && s->left && n < FDS_MAX && (e = readdir(dir)); n++) {
		ssize_t len = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		uint64_t inode;

		if (len <= 0)
			continue;
		target[len] = '\0';
		inode = inode_of(target);
		for (size_t i = 0; inode && i < s->cnt; i++) {
			if (s->facts[i].inode != inode || s->facts[i].pid)
				continue;
			describe(&s->facts[i], proc, pid, st.st_gid);
			s->left--;
		}
	}
	if (dir)
		closedir(dir);
	close(proc);
}

static int by_pid_down(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x < y) - (x > y);
}

/* Return: how many; the caller frees */
static size_t list_pids(uint32_t **ret)
{
	size_t cnt = 0, room = 1024;
	uint32_t *pids = malloc(room * sizeof(*pids));
	DIR *dir = pids ? opendir("/proc") : NULL;
	struct dirent *e;

	while (dir && cnt < PIDS_MAX && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (cnt == room) {
			uint32_t *more = realloc(pids, 2 * room * sizeof(*pids));

			if (!more)
				break;
			pids = more;
			room *= 2;
		}
		pids[cnt++] = (uint32_t)strtoul(e->d_name, NULL, 10);
	}
	if (dir)
		closedir(dir);
	if (cnt)
		qsort(pids, cnt, sizeof(*pids), by_pid_down);
	*ret = pids;
	return cnt;
}

void mf_dev_owners_look_up(struct mf_dev_facts *facts, size_t cnt)
{
	struct search s = { .facts = facts, .cnt = cnt, .left = cnt };
	uint32_t *pids;
	size_t pid_cnt = list_pids(&pids);

	s.proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; s.proc >= 0 && i < pid_cnt && s.left; i++)
		look_into(&s, pids[i]);
	if (s.proc >= 0)
		close(s.proc);
	free(pids);
}
