/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_trash_cuts_linux.c - a process that uses the trash is killed before and after every system call that changes
 * something; then everything is in its place or can be restored, as it was
 *
 * The child is traced: no shim stands between it and the kernel, and no call is missed. Each scenario runs again and again
 * from a fresh directory, one cut further each time, until it comes to its end. A second round models a loss of power:
 * bytes in the trash that were written but not synced are gone (the file is empty), while names, which journals keep in
 * order, are as they were. MF_SLOW=1 makes every cut; otherwise each scenario is cut at a part of its calls.
 *
 * In a third round no call is the last one, but one of them fails (EIO, ENOSPC, EMFILE, ENOMEM): whatever is said of it, nothing is
 * lost, and no descriptor stays open.
 */
#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "tests/unit/fs/trash_support_posix.h"

#define OBJECTS_MAX 64
#define DIRTY_MAX   64
#define CUTS_SOME   2 /* of a scenario and round without MF_SLOW */
#define ERRORS_SOME 2 /* the same of calls that fail */
#define FAILED	    8 /* how the child ends when its operation said no */
#define LEAKED	    7

/* What was there at first, and must be there or come back. */
struct object {
	char path[1024]; /* below work/ */
	struct stat st;
	char text[256];
};

struct snapshot {
	struct object objects[OBJECTS_MAX];
	size_t cnt;
};

struct scenario {
	const char *name;
	void (*set_up)(struct place *p);
	void (*act)(struct place *p); /* by the child, whose trash is open */
	bool purges;		      /* what was in the trash may be gone, but wholly */
	bool across;		      /* trash and work on two file systems */
};

static struct snapshot snapshot;
static struct place *snapshot_place;

static void read_object(const char *path, const struct stat *st, char text[256])
{
	memset(text, 0, 256);
	if (S_ISREG(st->st_mode)) {
		int fd = open(path, O_RDONLY | O_NOFOLLOW);
		ssize_t n = fd < 0 ? -1 : read(fd, text, 255);

		assert_true(n >= 0);
		close(fd);
	} else if (S_ISLNK(st->st_mode)) {
		assert_true(readlink(path, text, 255) >= 0);
	}
}

static int take_object(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct object *o = &snapshot.objects[snapshot.cnt];
	size_t base = strlen(snapshot_place->work);

	(void)type;
	if (ftw->level == 0)
		return 0;
	assert_true(snapshot.cnt < OBJECTS_MAX);
	snprintf(o->path, sizeof(o->path), "%s", path + base + 1);
	o->st = *st;
	read_object(path, st, o->text);
	snapshot.cnt++;
	return 0;
}

static void take_snapshot(struct place *p)
{
	snapshot.cnt = 0;
	snapshot_place = p;
	assert_int_equal(nftw(p->work, take_object, 16, FTW_PHYS), 0);
}

static bool is_as_it_was(struct place *p, const struct object *o)
{
	char path[8192], text[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", p->work, o->path);
	if (lstat(path, &st) < 0 || st.st_mode != o->st.st_mode)
		return false;
	if (S_ISDIR(st.st_mode))
		return true;
	read_object(path, &st, text);
	return memcmp(text, o->text, sizeof(text)) == 0 && st.st_size == o->st.st_size &&
	       (!S_ISREG(st.st_mode) || (st.st_mtim.tv_sec == o->st.st_mtim.tv_sec &&
					 st.st_mtim.tv_nsec == o->st.st_mtim.tv_nsec));
}

/* The oldest entry of the object or of a directory above it. */
struct search {
	char path[8192], token[MF_TRASH_TOKEN_MAX];
};

static int match(void *ctx, const struct mf_trash_entry *e)
{
	struct search *s = ctx;
	size_t len = strlen(e->path);

	if (strncmp(e->path, s->path, len) != 0 || (s->path[len] && s->path[len] != '/'))
		return 0;
	memcpy(s->token, e->token, MF_TRASH_TOKEN_MAX);
	return 1;
}

static int count_entry(void *ctx, const struct mf_trash_entry *e)
{
	(void)e;
	++*(int *)ctx;
	return 0;
}

static void bring_back(struct place *p, const struct object *o, const char *where)
{
	const struct mf_trash_target target = { .replace = true };
	struct mf_trash_filter filter = { 0 };
	struct mf_err err = { 0 };
	struct search s = { 0 };

	snprintf(s.path, sizeof(s.path), "%s/%s", p->work, o->path);
	if (mf_trash_list(p->t, &filter, match, &s, &err) != 1)
		fail_msg("%s: %s is neither in its place nor in the trash", where, o->path);
	if (mf_trash_restore(p->t, s.token, &target, NULL, &err) < 0)
		fail_msg("%s: %s cannot be restored: %s", where, o->path, err.msg);
}

/* Nothing half-made lies about, and other programs see what we see. */
static void check_tidy(struct place *p, const char *where)
{
	char path[8192];
	struct dirent *e;
	int entries = 0;
	DIR *d;

	assert_int_equal(
		mf_trash_list(p->t, &(struct mf_trash_filter){ 0 }, count_entry, &entries, NULL),
		0);
	if (count_in(p, "files") != count_in(p, "info") || entries < (int)count_in(p, "files"))
		fail_msg("%s: %zu files, %zu trashinfos, %d entries", where, count_in(p, "files"),
			 count_in(p, "info"), entries);
	snprintf(path, sizeof(path), "%s/moonfence", p->trash);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		if (strncmp(e->d_name, ".tmp-", 5) == 0 || strncmp(e->d_name, ".purge-", 7) == 0)
			fail_msg("%s: %s was left", where, e->d_name);
	closedir(d);
}

static void check(struct place *p, const struct scenario *s, bool killed, const char *where)
{
	struct mf_trash_repaired repaired;
	struct mf_err err = { 0 };

	place_open_with(p, (struct mf_trash_options){ 0 });
	// Whoever was not killed has said farewell: nobody looks for what a failing call has left until somebody asks.
	if (!killed)
		assert_int_equal(mf_trash_repair(p->t, &repaired, &err), 0);
	// A second repair finds nothing to do: the first was complete.
	assert_int_equal(mf_trash_repair(p->t, &repaired, &err), 0);
	if (repaired.rolled_back + repaired.rebuilt + repaired.swept > 0)
		fail_msg("%s: opening did not repair all", where);
	check_tidy(p, where);
	for (size_t i = 0; i < snapshot.cnt; i++) {
		const struct object *o = &snapshot.objects[i];

		if (is_as_it_was(p, o))
			continue;
		if (s->purges) {
			struct search found = { 0 };

			snprintf(found.path, sizeof(found.path), "%s/%s", p->work, o->path);
			if (mf_trash_list(p->t, &(struct mf_trash_filter){ 0 }, match, &found,
					  NULL) == 0)
				continue; // purged, and check_tidy() found no part of it
		}
		bring_back(p, o, where);
	}
	for (size_t i = 0; i < snapshot.cnt; i++) {
		struct search found = { 0 };

		snprintf(found.path, sizeof(found.path), "%s/%s", p->work,
			 snapshot.objects[i].path);
		if (!is_as_it_was(p, &snapshot.objects[i]) && !(s->purges && !is_there(found.path)))
			fail_msg("%s: %s came back as something else", where,
				 snapshot.objects[i].path);
	}
}

/* Files that the child wrote to and did not sync. */
struct dirty {
	struct {
		dev_t dev;
		ino_t ino;
	} files[DIRTY_MAX];
	size_t cnt;
};

static void mark(struct dirty *d, pid_t pid, long fd, bool synced)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%ld", (int)pid, fd);
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	for (size_t i = 0; i < d->cnt; i++)
		if (d->files[i].dev == st.st_dev && d->files[i].ino == st.st_ino) {
			if (synced)
				d->files[i] = d->files[--d->cnt];
			return;
		}
	if (synced)
		return;
	assert_true(d->cnt < DIRTY_MAX);
	d->files[d->cnt].dev = st.st_dev;
	d->files[d->cnt++].ino = st.st_ino;
}

static struct dirty *losing;

static int lose_bytes(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	for (size_t i = 0; i < losing->cnt; i++)
		if (S_ISREG(st->st_mode) && losing->files[i].dev == st->st_dev &&
		    losing->files[i].ino == st->st_ino)
			assert_int_equal(truncate(path, 0), 0);
	return 0;
}

static bool changes_something(uint64_t nr)
{
	static const long list[] = {
		SYS_symlinkat, SYS_openat,    SYS_write,	   SYS_pwrite64,  SYS_renameat2,
		SYS_renameat,  SYS_linkat,    SYS_unlinkat,	   SYS_mkdirat,	  SYS_ftruncate,
		SYS_fsync,     SYS_fdatasync, SYS_copy_file_range, SYS_ioctl,	  SYS_fchmod,
		SYS_fchmodat,  SYS_fchown,    SYS_fchownat,	   SYS_utimensat, SYS_flock,
		SYS_mknodat,   SYS_fsetxattr,
#ifdef SYS_rename
		SYS_rename,    SYS_unlink,    SYS_rmdir,	   SYS_mkdir,
#endif
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(list); i++)
		if (nr == (uint64_t)list[i])
			return true;
	return false;
}

static bool failing; /* an operation may fail, and the scenario ends then */

/* Whether a descriptor leads into the trash although that is closed. */
static bool leaks(const struct place *p)
{
	char path[64], to[4096];

	for (int fd = 0; fd < 256; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, to, sizeof(to) - 1);
		if (n > 0 && (size_t)n >= strlen(p->trash) &&
		    strncmp(to, p->trash, strlen(p->trash)) == 0)
			return true;
	}
	return false;
}

/* In the child, at the end of a scenario or in its middle: never returns. */
static _Noreturn void leave(struct place *p, int status)
{
	if (failing) {
		mf_trash_close(p->t);
		if (leaks(p))
			status = LEAKED;
	}
	_exit(status);
}

static struct place *child_place;

static void child(struct place *p, const struct scenario *s)
{
	struct mf_trash_options o = { .dir = p->trash };

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(3);
	raise(SIGSTOP);
	child_place = p;
	if (mf_trash_open(&o, &p->t, NULL) < 0) {
		p->t = NULL;
		leave(p, failing ? FAILED : 4);
	}
	s->act(p);
	leave(p, 0);
}

/* Runs the child up to its cut number @cut. Return: whether it came to its end before. */
static bool run_to_cut(struct place *p, const struct scenario *s, unsigned cut, struct dirty *dirty)
{
	unsigned at = 0;
	uint64_t nr = 0;
	long fd = -1;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		child(p, s);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status)) {
		assert_int_equal(WEXITSTATUS(status), 3);
		print_message("no process may be traced here\n");
		skip();
	}
	assert_int_equal(
		ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	for (;;) {
		struct __ptrace_syscall_info info;

		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			if (WEXITSTATUS(status) != 0)
				fail_msg("%s: the child failed with %d", s->name,
					 WEXITSTATUS(status));
			return true;
		}
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			fail_msg("%s: the child stopped with signal %d", s->name, WSTOPSIG(status));
		assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
			nr = info.entry.nr;
			fd = (long)info.entry.args[nr == SYS_copy_file_range ? 2 : 0];
		} else if (changes_something(nr) && !info.exit.is_error) {
			if (nr == SYS_write || nr == SYS_pwrite64 || nr == SYS_copy_file_range)
				mark(dirty, pid, fd, false);
			else if (nr == SYS_fsync || nr == SYS_fdatasync)
				mark(dirty, pid, fd, true);
		}
		if (!changes_something(nr) || at++ != cut)
			continue;
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		return false;
	}
}

static void cut_everywhere(const struct scenario *s, bool power)
{
	const char *slow = getenv("MF_SLOW");
	unsigned total = 0, made = 0;

	for (unsigned cut = 0, step = 1;; cut += step) {
		struct place p;
		struct dirty dirty = { 0 };
		char where[256];
		bool ended;

		place_make(&p);
		if (s->across) {
			snprintf(p.trash, sizeof(p.trash), "/dev/shm/mf-trash.%d", (int)getpid());
			remove_all(p.trash);
		}
		s->set_up(&p);
		mf_trash_close(p.t);
		p.t = NULL;
		ended = run_to_cut(&p, s, cut, &dirty);
		if (power && !ended) {
			losing = &dirty;
			nftw(p.trash, lose_bytes, 16, FTW_PHYS);
		}
		snprintf(where, sizeof(where), "%s%s, cut %u", s->name, power ? ", power lost" : "",
			 cut);
		check(&p, s, true, where);
		place_done(&p);
		if (s->across)
			remove_all(p.trash);
		made++;
		total = cut;
		if (ended)
			break;
		if (!(slow && *slow) && made >= CUTS_SOME / 2)
			step = 1 + total / (CUTS_SOME / 2);
	}
	print_message("%s%s: %u cuts\n", s->name, power ? ", power lost" : "", made);
}

#ifdef __x86_64__
/* Runs the child with its changing call number @at failing with @error. Return: whether it made no such call. */
static bool run_with_error(struct place *p, const struct scenario *s, unsigned at, int error)
{
	unsigned calls = 0;
	bool hit = false;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		child(p, s);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status)) {
		assert_int_equal(WEXITSTATUS(status), 3);
		print_message("no process may be traced here\n");
		skip();
	}
	assert_int_equal(
		ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	for (;;) {
		struct __ptrace_syscall_info info;
		struct user_regs_struct regs;

		assert_int_equal(ptrace(hit ? PTRACE_CONT : PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status))
			break;
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			fail_msg("%s: the child stopped with signal %d", s->name, WSTOPSIG(status));
		assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY || !changes_something(info.entry.nr) ||
		    calls++ != at)
			continue;
		// The kernel is asked for a call that there is none of, and the answer is another.
		assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
		regs.orig_rax = (unsigned long long)-1;
		assert_int_equal(ptrace(PTRACE_SETREGS, pid, NULL, &regs), 0);
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
		regs.rax = (unsigned long long)-error;
		assert_int_equal(ptrace(PTRACE_SETREGS, pid, NULL, &regs), 0);
		hit = true;
	}
	if (WEXITSTATUS(status) != 0 && !(hit && WEXITSTATUS(status) == FAILED))
		fail_msg("%s: call %u fails with %d: the child ended with %d%s", s->name, at, error,
			 WEXITSTATUS(status),
			 WEXITSTATUS(status) == LEAKED ? ", a descriptor is left open" : "");
	return !hit;
}

static void fail_everywhere(const struct scenario *s)
{
	static const int errors[] = { EIO, ENOSPC, EMFILE, ENOMEM };
	const char *slow = getenv("MF_SLOW");
	unsigned made = 0, which = 0;
	bool all = slow && *slow, ended = false;

	failing = true;
	for (unsigned at = 0, step = 1; !ended; at += step) {
		for (unsigned e = 0; e < (all ? MF_ARRAY_SIZE(errors) : 1) && !ended; e++) {
			int error = errors[all ? e : which++ % MF_ARRAY_SIZE(errors)];
			struct place p;
			char where[256];

			place_make(&p);
			if (s->across) {
				snprintf(p.trash, sizeof(p.trash), "/dev/shm/mf-trash.%d",
					 (int)getpid());
				remove_all(p.trash);
			}
			s->set_up(&p);
			mf_trash_close(p.t);
			p.t = NULL;
			ended = run_with_error(&p, s, at, error);
			snprintf(where, sizeof(where), "%s, call %u fails: %s", s->name, at,
				 strerror(error));
			check(&p, s, false, where);
			place_done(&p);
			if (s->across)
				remove_all(p.trash);
			made++;
		}
		if (!all && made >= ERRORS_SOME / 2)
			step = 1 + at / (ERRORS_SOME / 2);
	}
	failing = false;
	print_message("%s: %u failing calls\n", s->name, made - 1);
}
#endif

/* The scenarios: what is there, and what happens to it. */

static void must(int r)
{
	if (r < 0)
		leave(child_place, failing ? FAILED : 5);
}

static void put(struct place *p, const char *name, enum mf_trash_how how, enum mf_trash_op op)
{
	struct mf_trash_loss loss = { .how = how, .op = op, .session = "s" };
	const char *slash = strrchr(name, '/');
	char token[MF_TRASH_TOKEN_MAX], dir[2048], path[8192];
	int fd = p->work_fd;

	snprintf(path, sizeof(path), "%s/%s", p->work, name);
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash ? slash - name : 0), name);
	if (slash)
		fd = openat(p->work_fd, dir, O_RDONLY | O_DIRECTORY);
	loss.path = path;
	must(fd);
	must(mf_trash_put(p->t, fd, slash ? slash + 1 : name, &loss, token));
	if (slash)
		close(fd);
}

static void make_file(struct place *p)
{
	write_file(place_path(p, "a.txt"), "what a.txt holds");
	assert_int_equal(chmod(place_path(p, "a.txt"), 0640), 0);
	take_snapshot(p);
}

static void make_tree(struct place *p)
{
	assert_int_equal(mkdir(place_path(p, "t"), 0750), 0);
	assert_int_equal(mkdir(place_path(p, "t/u"), 0711), 0);
	// Where there are none (tmpfs before Linux 6.6), the note alone is cut.
	(void)setxattr(place_path(p, "t/u"), "user.note", "x", 1, 0);
	write_file(place_path(p, "t/a"), "t/a");
	write_file(place_path(p, "t/u/b"), "t/u/b");
	assert_int_equal(link(place_path(p, "t/a"), place_path(p, "t/u/c")), 0);
	assert_int_equal(symlink("../a", place_path(p, "t/u/l")), 0);
	take_snapshot(p);
}

static void delete_file(struct place *p)
{
	put(p, "a.txt", MF_TRASH_MOVE, MF_TRASH_DELETE);
}

static void delete_tree(struct place *p)
{
	put(p, "t", MF_TRASH_MOVE, MF_TRASH_DELETE);
}

static void delete_and_make_again(struct place *p)
{
	int fd;

	delete_file(p);
	fd = openat(p->work_fd, "a.txt", O_CREAT | O_EXCL | O_WRONLY, 0600);
	must(fd);
	must(close(fd));
	delete_file(p);
}

static void replace_file(struct place *p)
{
	int fd = openat(p->work_fd, "new", O_CREAT | O_EXCL | O_WRONLY, 0600);

	must(fd);
	must((int)write(fd, "new", 3));
	put(p, "a.txt", MF_TRASH_LINK, MF_TRASH_REPLACE);
	must(renameat(p->work_fd, "new", p->work_fd, "a.txt"));
}

static void truncate_file(struct place *p)
{
	int fd;

	put(p, "a.txt", MF_TRASH_COPY, MF_TRASH_TRUNCATE);
	fd = openat(p->work_fd, "a.txt", O_WRONLY);
	must(fd);
	must(ftruncate(fd, 0));
}

static void overwrite_file(struct place *p)
{
	int fd;

	put(p, "a.txt", MF_TRASH_COPY, MF_TRASH_OVERWRITE);
	fd = openat(p->work_fd, "a.txt", O_WRONLY);
	must(fd);
	must((int)pwrite(fd, "XXXX", 4, 2));
}

static void empty_tree(struct place *p)
{
	static const char *const leaves[] = { "t/u/l", "t/u/c", "t/u/b" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(leaves); i++)
		put(p, leaves[i], MF_TRASH_MOVE, MF_TRASH_DELETE);
	put(p, "t/u", MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR);
	must(unlinkat(p->work_fd, "t/u", AT_REMOVEDIR));
	put(p, "t/a", MF_TRASH_MOVE, MF_TRASH_DELETE);
	put(p, "t", MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR);
	must(unlinkat(p->work_fd, "t", AT_REMOVEDIR));
}

/* A path whose record no link holds. */
static char long_name[1024];

static void make_long(struct place *p)
{
	char part[252];

	memset(part, '\n', 250);
	part[250] = '\0';
	snprintf(long_name, sizeof(long_name), "%s", part);
	for (int i = 0; i < 2; i++) {
		size_t len = strlen(long_name);

		assert_int_equal(mkdir(place_path(p, long_name), 0755), 0);
		snprintf(long_name + len, sizeof(long_name) - len, "/%s", part);
	}
	write_file(place_path(p, long_name), "long");
	take_snapshot(p);
}

static void delete_long(struct place *p)
{
	// Twice three quarters of PATH_MAX in one record: session, process, policy and rule are long as well.
	char word[900], token[MF_TRASH_TOKEN_MAX], path[8192], dir[1024];
	struct mf_trash_loss loss = { .op = MF_TRASH_DELETE };
	int fd;

	memset(word, '\t', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	snprintf(path, sizeof(path), "%s/%s", p->work, long_name);
	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(long_name, '/') - long_name), long_name);
	fd = openat(p->work_fd, dir, O_RDONLY | O_DIRECTORY);
	must(fd);
	loss.path = path;
	loss.session = loss.process = word;
	must(mf_trash_put(p->t, fd, strrchr(long_name, '/') + 1, &loss, token));
}

static void in_trash(struct place *p, void (*make)(struct place *), void (*lose)(struct place *))
{
	make(p);
	place_open_with(p, (struct mf_trash_options){ 0 });
	lose(p);
}

static void file_in_trash(struct place *p)
{
	in_trash(p, make_file, delete_file);
}

static void tree_in_trash(struct place *p)
{
	in_trash(p, make_tree, delete_tree);
}

static void emptied_tree_in_trash(struct place *p)
{
	in_trash(p, make_tree, empty_tree);
}

static void truncated_in_trash(struct place *p)
{
	in_trash(p, make_file, truncate_file);
}

static void restore_path(struct place *p, const char *name, bool replace)
{
	const struct mf_trash_target target = { .replace = replace };
	char path[8192];

	snprintf(path, sizeof(path), "%s/%s", p->work, name);
	must(mf_trash_restore(p->t, path, &target, NULL, NULL));
}

static void restore_file(struct place *p)
{
	restore_path(p, "a.txt", false);
}

static void restore_over(struct place *p)
{
	restore_path(p, "a.txt", true);
}

static void restore_tree(struct place *p)
{
	restore_path(p, "t", false);
}

static void undo_all(struct place *p)
{
	struct mf_trash_undone undone;

	must(mf_trash_undo(p->t, &(struct mf_trash_undo){ .session = "s" }, &undone, NULL));
	if (undone.failed)
		leave(p, failing ? FAILED : 6);
}

static void purge_all(struct place *p)
{
	struct mf_trash_purged purged;

	must(mf_trash_purge(p->t, &(struct mf_trash_purge){ .all = true }, &purged, NULL));
}

static void tick(struct place *p)
{
	mf_trash_tick(p->t);
}

static const struct scenario scenarios[] = {
	{ "delete a file", make_file, delete_file, false, false },
	{ "delete a tree", make_tree, delete_tree, false, false },
	{ "delete, make, delete", make_file, delete_and_make_again, false, false },
	{ "delete what has a long record", make_long, delete_long, false, false },
	{ "replace a file", make_file, replace_file, false, false },
	{ "truncate a file", make_file, truncate_file, false, false },
	{ "overwrite a file", make_file, overwrite_file, false, false },
	{ "empty a tree", make_tree, empty_tree, false, false },
	{ "restore a file", file_in_trash, restore_file, false, false },
	{ "restore a tree", tree_in_trash, restore_tree, false, false },
	{ "restore over a truncated file", truncated_in_trash, restore_over, false, false },
	{ "undo an emptied tree", emptied_tree_in_trash, undo_all, false, false },
	{ "purge a file", file_in_trash, purge_all, true, false },
	{ "purge a tree", tree_in_trash, purge_all, true, false },
	{ "purge an emptied tree", emptied_tree_in_trash, purge_all, true, false },
	{ "directorysizes", tree_in_trash, tick, false, false },
	{ "delete a file across", make_file, delete_file, false, true },
	{ "delete a tree across", make_tree, delete_tree, false, true },
	{ "replace a file across", make_file, replace_file, false, true },
	{ "truncate a file across", make_file, truncate_file, false, true },
	{ "restore a file across", file_in_trash, restore_file, false, true },
	{ "restore a tree across", tree_in_trash, restore_tree, false, true },
	{ "restore over across", truncated_in_trash, restore_over, false, true },
};

static bool is_possible(const struct scenario *s)
{
	const char *dir = getenv("TMPDIR");
	struct stat tmp, shm;

	assert_int_equal(stat(dir ? dir : "/tmp", &tmp), 0);
	if (!s->across || (stat("/dev/shm", &shm) == 0 && shm.st_dev != tmp.st_dev &&
			   access("/dev/shm", W_OK) == 0))
		return true;
	print_message("%s: there is no second file system\n", s->name);
	return false;
}

static void test_a_kill_at_any_call_loses_nothing(void **state)
{
	(void)state;
	failing = false;
	for (size_t i = 0; i < MF_ARRAY_SIZE(scenarios); i++)
		for (int power = 0; power < 2 && is_possible(&scenarios[i]); power++)
			cut_everywhere(&scenarios[i], power);
}

static void test_a_failing_call_loses_nothing(void **state)
{
	(void)state;
#ifdef __x86_64__
	for (size_t i = 0; i < MF_ARRAY_SIZE(scenarios); i++)
		if (is_possible(&scenarios[i]))
			fail_everywhere(&scenarios[i]);
#else
	print_message("calls are made to fail on x86-64 only\n");
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_failing_call_loses_nothing),
		cmocka_unit_test(test_a_kill_at_any_call_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
