/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_who_linux.c - see monitor_who_linux.h */
#include "fs/monitor_who_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "fs/monitor_record_linux.h"

#define SLOTS	   1024 /* processes remembered; a power of two, by the last bits of their ids */
#define ARGS_MAX   64
#define ARGS_ROOM  4096
#define NESTED_MAX 33 /* user namespaces within each other: the kernel allows 32 */
#define HEAR_ROOM  65536

struct process {
	int32_t pid; /* 0: the slot is empty */
	int64_t parent, uid, gid;
	bool ours, others; /* neither: nobody knows */
	bool looked;	   /* the rest is filled */
	char name[64];
	char start[96]; /* when it began, and where its arguments lie: others after an exec */
	char *exe;
	char *args; /* one after the other, NUL-terminated */
	size_t args_len;
};

struct mf_monitor_who {
	struct process slots[SLOTS];
	bool session;
	dev_t ns_dev;
	ino_t ns_ino;
	int heard; /* marks on the session's mounts; -1: none */
	const struct mf_log *log;
	/* of the process that was asked for last */
	char user[64];
	const char *argv[ARGS_MAX + 1];
};

static size_t slot_of(int32_t pid)
{
	return (uint32_t)pid % SLOTS;
}

static void forget(struct process *p)
{
	free(p->exe);
	free(p->args);
	*p = (struct process){ .parent = -1, .uid = -1, .gid = -1 };
}

static struct process *take_slot(struct mf_monitor_who *w, int32_t pid)
{
	struct process *p = &w->slots[slot_of(pid)];

	if (p->pid != pid) {
		forget(p);
		p->pid = pid;
	}
	return p;
}

/* ---- the session's mounts -------------------------------------------------------------------------------------- */

/* A mount point as mountinfo writes it: \040 and the like; in place. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* Return: how many of them have a mark */
static unsigned mark_mounts(int fd, int64_t pid)
{
	char path[64], *line = NULL, at[PATH_MAX + 64];
	size_t room = 0;
	unsigned cnt = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%lld/mountinfo", (long long)pid);
	file = fopen(path, "re");
	while (file && getline(&line, &room, file) > 0) {
		char *save = NULL, *word = strtok_r(line, " ", &save);

		for (int i = 0; word && i < 4; i++)
			word = strtok_r(NULL, " ", &save);
		if (!word)
			continue;
		unescape(word);
		snprintf(at, sizeof(at), "/proc/%lld/root%s", (long long)pid, word);
		// What cannot be marked (proc, sysfs) holds no programs.
		if (fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN | FAN_OPEN_EXEC,
				  AT_FDCWD, at) == 0)
			cnt++;
	}
	free(line);
	if (file)
		fclose(file);
	return cnt;
}

static void begin_to_hear(struct mf_monitor_who *w, int64_t pid)
{
	w->heard = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID, 0);
	if (w->heard >= 0 && mark_mounts(w->heard, pid) > 0)
		return;
	mf_log_info(
		w->log,
		"the session's mounts cannot be marked: what processes do that end at once is told "
		"of without knowing whose they are");
	if (w->heard >= 0)
		close(w->heard);
	w->heard = -1;
}

static void claim(struct process *p)
{
	p->ours = true;
	p->others = false;
}

void mf_monitor_who_hear(struct mf_monitor_who *w)
{
	_Alignas(8) static _Thread_local uint8_t buf[HEAR_ROOM];
	struct mf_monitor_record r;
	struct mf_span data;
	ssize_t n;

	while (w->heard >= 0 && (n = read(w->heard, buf, sizeof(buf))) > 0) {
		data = mf_span_of(buf, (size_t)n);
		while (mf_monitor_record_next(&data, &r) > 0)
			if (r.pid > 0)
				claim(take_slot(w, r.pid));
	}
}

bool mf_monitor_who_knows_the_dead(const struct mf_monitor_who *w)
{
	return w->heard >= 0;
}

/* ---- one process ----------------------------------------------------------------------------------------------- */

static ssize_t read_at(int dir, const char *name, char *buf, size_t room)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, room - 1);

	if (fd >= 0)
		close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

static bool is_ours(const struct mf_monitor_who *w, int proc)
{
	int ns = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC), up;
	struct stat st;
	bool ours = false;

	for (int i = 0; ns >= 0 && i < NESTED_MAX && !ours; i++) {
		ours = fstat(ns, &st) == 0 && st.st_dev == w->ns_dev && st.st_ino == w->ns_ino;
		up = ours ? -1 : ioctl(ns, NS_GET_PARENT);
		close(ns);
		ns = up;
	}
	if (ns >= 0)
		close(ns);
	return ours;
}

/* Fields of /proc/PID/stat after the name, which may have anything in it: 3 is the first. */
static void parse_stat(char *text, struct process *p, char start[static 96])
{
	char *open = strchr(text, '('), *close = strrchr(text, ')'), *save = NULL, *word;
	const char *kept[3] = { "", "", "" };

	*start = '\0';
	if (!open || !close || close < open)
		return;
	*close = '\0';
	snprintf(p->name, sizeof(p->name), "%s", open + 1);
	word = strtok_r(close + 1, " ", &save);
	for (int field = 3; word; field++, word = strtok_r(NULL, " ", &save)) {
		if (field == 4)
			p->parent = strtoll(word, NULL, 10);
		else if (field == 22)
			kept[0] = word;
		else if (field == 48)
			kept[1] = word;
		else if (field == 26)
			kept[2] = word;
	}
	snprintf(start, 96, "%.30s %.30s %.30s", kept[0], kept[1], kept[2]);
}

static void read_program(struct process *p, int proc)
{
	char buf[ARGS_ROOM > PATH_MAX ? ARGS_ROOM : PATH_MAX];
	ssize_t n = readlinkat(proc, "exe", buf, sizeof(buf) - 1);

	free(p->exe);
	p->exe = n > 0 ? strndup(buf, (size_t)n) : NULL;
	free(p->args);
	p->args = NULL;
	p->args_len = 0;
	n = read_at(proc, "cmdline", buf, ARGS_ROOM);
	if (n <= 0)
		return;
	p->args = malloc((size_t)n + 1);
	if (!p->args)
		return;
	memcpy(p->args, buf, (size_t)n + 1);
	p->args_len = (size_t)n;
}

void mf_monitor_who_look(struct mf_monitor_who *w, int32_t pid)
{
	char path[32], text[1024], start[96];
	struct process *p;
	struct stat st;
	int proc;

	if (pid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return;
	p = take_slot(w, pid);
	if (read_at(proc, "stat", text, sizeof(text)) > 0) {
		parse_stat(text, p, start);
		if (!p->looked || strcmp(start, p->start) != 0) {
			memcpy(p->start, start, sizeof(p->start));
			read_program(p, proc);
			p->looked = true;
			p->ours = w->session && is_ours(w, proc);
			p->others = w->session && !p->ours;
		}
		if (fstat(proc, &st) == 0) {
			p->uid = st.st_uid;
			p->gid = st.st_gid;
		}
	}
	close(proc);
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

enum mf_monitor_whose mf_monitor_who_is(const struct mf_monitor_who *w, int32_t pid)
{
	const struct process *p = &w->slots[slot_of(pid)];

	if (!w->session)
		return MF_MONITOR_OURS;
	if (p->pid != pid || pid <= 0)
		return MF_MONITOR_UNKNOWN;
	return p->ours ? MF_MONITOR_OURS : p->others ? MF_MONITOR_OTHERS : MF_MONITOR_UNKNOWN;
}

struct mf_fs_caller mf_monitor_who_caller(const struct mf_monitor_who *w, int32_t pid)
{
	const struct process *p = &w->slots[slot_of(pid)];

	if (pid <= 0 || p->pid != pid)
		return (struct mf_fs_caller){ pid > 0 ? pid : -1, -1, -1 };
	return (struct mf_fs_caller){ pid, p->uid, p->gid };
}

int mf_monitor_who_find(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret)
{
	struct mf_monitor_who *w = ctx;
	struct process *p = &w->slots[slot_of((int32_t)caller->pid)];
	struct passwd pw, *got = NULL;
	char buf[1024];
	size_t cnt = 0;

	*ret = (struct mf_process){ 0 };
	if (caller->pid <= 0 || p->pid != caller->pid || !p->looked)
		return MF_E_NOENT;
	for (char *at = p->args; at && at < p->args + p->args_len && cnt < ARGS_MAX;
	     at += strlen(at) + 1)
		w->argv[cnt++] = at;
	w->argv[cnt] = NULL;
	ret->pid = p->pid;
	ret->parent = p->parent;
	ret->name = p->name;
	ret->exe = p->exe;
	ret->args = w->argv;
	if (p->uid >= 0 && getpwuid_r((uid_t)p->uid, &pw, buf, sizeof(buf), &got) == 0 && got) {
		snprintf(w->user, sizeof(w->user), "%s", got->pw_name);
		ret->user = w->user;
	}
	return 0;
}

int mf_monitor_who_new(int64_t session_pid, const struct mf_log *log, struct mf_monitor_who **ret,
		       struct mf_err *err)
{
	struct mf_monitor_who *w = calloc(1, sizeof(*w));
	char path[64];
	struct stat st;

	*ret = NULL;
	if (!w)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	w->log = log;
	w->heard = -1;
	w->session = session_pid > 0;
	snprintf(path, sizeof(path), "/proc/%lld/ns/user", (long long)session_pid);
	if (w->session && stat(path, &st) < 0) {
		mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO, "%s: %s", path,
			   strerror(errno));
		free(w);
		return err->code;
	}
	if (w->session) {
		w->ns_dev = st.st_dev;
		w->ns_ino = st.st_ino;
		begin_to_hear(w, session_pid);
	}
	*ret = w;
	return 0;
}

void mf_monitor_who_free(struct mf_monitor_who *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		forget(&w->slots[i]);
	if (w->heard >= 0)
		close(w->heard);
	free(w);
}
