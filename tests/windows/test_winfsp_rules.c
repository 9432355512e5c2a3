/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_winfsp_rules.c - the double of WinFsp itself: a small front end that breaks one rule at a time, and is caught each time
 *
 * What the double lets pass in front ends with mistakes it would let pass in the product's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <windows.h>

#include "fs/winfsp_win32.h"
#include "winfsp_scene.h"

enum mistake {
	NONE,
	NO_GETATTR,
	NO_RELEASE,
	NO_READDIR,
	NO_WRITE,
	SOME_XATTRS,
	INIT_NULL,
	INIT_WANTS,
	INIT_CHANGES,
	INIT_NO_DELETE,
	NO_ACCESS,
	STAT_NO_TYPE,
	STAT_PIPE,
	STAT_SIZE,
	STAT_NSEC,
	STAT_LINKS,
	STAT_BEHIND,
	STATFS_SIZE,
	STATFS_FREE,
	STATFS_NAMES,
	STATFS_BEHIND,
	READLINK_ROOT,
	READLINK_BEHIND,
	READ_MORE,
	READ_BEHIND,
	READ_SHORT,
	WRITE_MORE,
	WRITE_SHORT,
	OPEN_POSITIVE,
	NAME_SLASH,
	NAME_EMPTY,
	NAME_LONG,
	NAME_BYTES,
	ENTRY_NO_TYPE,
	FILL_FULL,
	FILL_OFFSET,
	FILL_LATER,
	FILL_THREAD,
	CONTEXT_THREAD,
	UNMOUNT_INSIDE,
	ERRNO_UNKNOWN,
	ERRNO_LARGE,
	MADE_OTHER,
	MISTAKE_NUM
};

/* What the double says of each. */
static const char *const said[MISTAKE_NUM] = {
	[NO_GETATTR] = "the table has no getattr",
	[NO_RELEASE] = "the table has no release",
	[NO_READDIR] = "the table has no readdir",
	[NO_WRITE] = "create, but no write",
	[SOME_XATTRS] = "2 of the four calls of extended attributes",
	[INIT_NULL] = "init returned NULL",
	[INIT_WANTS] = "which was not offered",
	[INIT_CHANGES] = "init changed what it is told",
	[INIT_NO_DELETE] = "none could be refused",
	[NO_ACCESS] = "there is no access",
	[STAT_NO_TYPE] = "a mode without a type",
	[STAT_PIPE] = "which Windows has not",
	[STAT_SIZE] = "a size of -1",
	[STAT_NSEC] = "nanoseconds in its mtime",
	[STAT_LINKS] = "no links",
	[STAT_BEHIND] = "getattr wrote",
	[STATFS_SIZE] = "blocks of 0 bytes",
	[STATFS_FREE] = "with 11 free",
	[STATFS_NAMES] = "names of 4096 characters",
	[STATFS_BEHIND] = "statfs wrote",
	[READLINK_ROOT] = "readlink(\"/\") returned 0",
	[READLINK_BEHIND] = "readlink wrote",
	[READ_MORE] = "read returned 11, at most 10",
	[READ_BEHIND] = "read wrote 1 bytes beyond",
	[READ_SHORT] = "but the file goes on",
	[WRITE_MORE] = "write returned 3, at most 2",
	[WRITE_SHORT] = "write of 2 bytes took 1",
	[OPEN_POSITIVE] = "opendir returned 1, at most 0",
	[NAME_SLASH] = "a name \"a/b\"",
	[NAME_EMPTY] = "a name \"\"",
	[NAME_LONG] = "a name of 256 characters",
	[NAME_BYTES] = "no UTF-8",
	[ENTRY_NO_TYPE] = "a stat without a type",
	[FILL_FULL] = "there is no room",
	[FILL_OFFSET] = "told of an offset",
	[FILL_LATER] = "after readdir",
	[FILL_THREAD] = "by another thread",
	[CONTEXT_THREAD] = "from a thread that serves nothing",
	[UNMOUNT_INSIDE] = "unmount from an operation",
	[ERRNO_UNKNOWN] = "programs see as \"access denied\"",
	[ERRNO_LARGE] = "no errno of Microsoft's",
	[MADE_OTHER] = "made as another kind",
};

/* ---- a front end: "/" with a file "f" of ten bytes in it, and "new" once it is made ---- */

static enum mistake mistake;
static struct mf_winfsp_library lib;
static struct mf_winfsp_fuse *fuse;
static char private_data[] = "private data";
static bool made;
static void *old_buf;
static mf_winfsp_fill_fn old_fill;

static void *ask_context(void *arg)
{
	(void)arg;
	(void)lib.calls.get_context(&lib.env);
	return NULL;
}

static void on_thread(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, run, arg), 0);
	pthread_join(thread, NULL);
}

static void *do_init(struct mf_winfsp_conn_info *conn, struct mf_winfsp_config *config)
{
	(void)config;
	conn->want |= MF_WINFSP_CAP_DELETE_ACCESS | MF_WINFSP_CAP_READDIR_PLUS;
	if (mistake == INIT_WANTS)
		conn->want |= 1u << 30;
	if (mistake == INIT_CHANGES)
		conn->capable |= 1;
	if (mistake == INIT_NO_DELETE)
		conn->want &= ~MF_WINFSP_CAP_DELETE_ACCESS;
	return mistake == INIT_NULL ? NULL : private_data;
}

static int do_getattr(const char *path, struct mf_winfsp_stat *st, struct mf_winfsp_file_info *fi)
{
	bool file = !strcmp(path, "/f") || !strcmp(path, "/new");

	(void)fi;
	if (!file && strcmp(path, "/") != 0 && strcmp(path, "/.") != 0)
		return -ENOENT;
	if (!strcmp(path, "/new") && !made)
		return mistake == ERRNO_UNKNOWN ? -129 : mistake == ERRNO_LARGE ? -5000 : -ENOENT;
	st->mode = file ? 0100666 : 0040777;
	st->nlink = 1;
	st->size = file ? 10 : 0;
	if (mistake == MADE_OTHER && !strcmp(path, "/new"))
		st->mode = 0040777;
	if (!file)
		return 0;
	if (mistake == STAT_NO_TYPE)
		st->mode = 0666;
	if (mistake == STAT_PIPE)
		st->mode = 0010666;
	if (mistake == STAT_SIZE)
		st->size = -1;
	if (mistake == STAT_NSEC)
		st->mtime.nsec = 1000000000;
	if (mistake == STAT_LINKS)
		st->nlink = 0;
	if (mistake == STAT_BEHIND)
		((struct mf_winfsp_stat_ex *)st)->flags = 1;
	return 0;
}

static int do_statfs(const char *path, struct mf_winfsp_statvfs *vfs)
{
	(void)path;
	*vfs = (struct mf_winfsp_statvfs){ .bsize = 512,
					   .frsize = mistake == STATFS_SIZE ? 0 : 512,
					   .blocks = 10,
					   .bfree = mistake == STATFS_FREE ? 11 : 5,
					   .namemax = mistake == STATFS_NAMES ? 4096 : 255 };
	if (mistake == STATFS_BEHIND)
		memset(vfs + 1, 0, 4);
	return 0;
}

static int do_readlink(const char *path, char *buf, size_t size)
{
	(void)path;
	if (mistake == READLINK_BEHIND)
		buf[size] = '\0';
	return mistake == READLINK_ROOT ? 0 : -EINVAL;
}

static int do_access(const char *path, int mask)
{
	(void)path;
	(void)mask;
	return 0;
}

static int do_open(const char *path, struct mf_winfsp_file_info *fi)
{
	(void)path;
	fi->fh = 1;
	if (mistake == CONTEXT_THREAD)
		on_thread(ask_context, NULL);
	if (mistake == UNMOUNT_INSIDE)
		lib.calls.unmount(&lib.env, fuse);
	return mistake == OPEN_POSITIVE;
}

static int do_create(const char *path, uint32_t mode, struct mf_winfsp_file_info *fi)
{
	(void)path;
	(void)mode;
	made = true;
	fi->fh = 2;
	return 0;
}

static int do_read(const char *path, char *buf, size_t size, int64_t off,
		   struct mf_winfsp_file_info *fi)
{
	int n = off >= 10 ? 0 : size > (size_t)(10 - off) ? (int)(10 - off) : (int)size;

	(void)path;
	(void)fi;
	memset(buf, 'x', (size_t)n);
	if (mistake == READ_BEHIND)
		buf[size] = 'x';
	return mistake == READ_MORE ? (int)size + 1 : mistake == READ_SHORT ? 1 : n;
}

static int do_write(const char *path, const char *buf, size_t size, int64_t off,
		    struct mf_winfsp_file_info *fi)
{
	(void)path;
	(void)buf;
	(void)off;
	(void)fi;
	return (int)size + (mistake == WRITE_MORE) - (mistake == WRITE_SHORT);
}

static void *fill_late(void *arg)
{
	(void)arg;
	(void)old_fill(old_buf, "late", NULL, 0, 0);
	return NULL;
}

static int do_readdir(const char *path, void *buf, mf_winfsp_fill_fn fill, int64_t off,
		      struct mf_winfsp_file_info *fi, int flags)
{
	struct mf_winfsp_stat file = { .mode = mistake == ENTRY_NO_TYPE ? 0666 : 0100666 };
	char name[300] = "f";

	(void)path;
	(void)off;
	(void)fi;
	(void)flags;
	if (mistake == NAME_SLASH)
		strcpy(name, "a/b");
	if (mistake == NAME_EMPTY)
		name[0] = '\0';
	if (mistake == NAME_LONG)
		memset(name, 'n', 256);
	if (mistake == NAME_BYTES)
		strcpy(name, "\xff");
	old_buf = buf;
	old_fill = fill;
	if (mistake == FILL_THREAD)
		on_thread(fill_late, NULL);
	for (int i = 0; i < 4; i++)
		if (fill(buf, name, &file, mistake == FILL_OFFSET, MF_WINFSP_FILL_DIR_PLUS) &&
		    mistake != FILL_FULL)
			break;
	return 0;
}

static int do_end(const char *path, struct mf_winfsp_file_info *fi)
{
	(void)path;
	(void)fi;
	if (mistake == FILL_LATER && old_fill)
		fill_late(NULL);
	return 0;
}

static int do_getxattr(const char *path, const char *name, char *value, size_t size)
{
	(void)path;
	(void)name;
	(void)value;
	(void)size;
	return -ENOSYS;
}

static int do_removexattr(const char *path, const char *name)
{
	(void)path;
	(void)name;
	return -ENOSYS;
}

static struct mf_winfsp_ops table(void)
{
	struct mf_winfsp_ops ops = { .init = do_init,
				     .getattr = do_getattr,
				     .statfs = do_statfs,
				     .readlink = do_readlink,
				     .access = do_access,
				     .open = do_open,
				     .create = do_create,
				     .read = do_read,
				     .write = do_write,
				     .release = do_end,
				     .opendir = do_open,
				     .readdir = do_readdir,
				     .releasedir = do_end };

	if (mistake == NO_GETATTR)
		ops.getattr = NULL;
	if (mistake == NO_RELEASE)
		ops.release = NULL;
	if (mistake == NO_READDIR)
		ops.readdir = NULL;
	if (mistake == NO_WRITE)
		ops.write = NULL;
	if (mistake == NO_ACCESS)
		ops.access = NULL;
	if (mistake == SOME_XATTRS) {
		ops.getxattr = do_getxattr;
		ops.removexattr = do_removexattr;
	}
	return ops;
}

/* ---- a mount of it ---- */

static struct wfd_calls d;

static void load(void)
{
	struct mf_err err = { 0 };

	assert_true(scene_install(MF_WINFSP_FOLDER "\\"));
	if (mf_winfsp_load(&lib, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(scene_reach(&d));
}

static struct mf_winfsp_fuse *make_with(const char *options)
{
	char text[128], program[] = "test", o[] = "-o";
	char *argv[] = { program, o, text, NULL };
	struct mf_winfsp_args args = { .argc = 3, .argv = argv };
	struct mf_winfsp_ops ops = table();

	snprintf(text, sizeof(text), "%s", options);
	return lib.calls.make(&lib.env, &args, &ops, sizeof(ops), private_data);
}

static struct mf_winfsp_fuse *make(void)
{
	return make_with("uid=-1,gid=-1,volname=test");
}

static void *serve(void *arg)
{
	(void)arg;
	(void)lib.calls.loop_mt(&lib.env, fuse, NULL);
	return NULL;
}

static void nobody(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
}

/* What programs do here: a look, a listing that has room for two names, a read, a write, a new file. */
static void use(void)
{
	struct wfd_file *f;
	char buf[10];
	size_t n;

	if (d.create("/", WFD_OPEN, WFD_READ, 7, &f) == WFD_OK) {
		(void)d.list(f, nobody, NULL);
		d.room(2);
		(void)d.list(f, nobody, NULL);
		d.room(0);
		(void)d.close(f);
	}
	if (d.create("/f", WFD_OPEN, WFD_READ | WFD_WRITE | WFD_DELETE, 7, &f) == WFD_OK) {
		(void)d.read(f, buf, sizeof(buf), 0, &n);
		(void)d.write(f, "12", 2, 0);
		(void)d.set_delete(f);
		(void)d.close(f);
	}
	if (d.create("/new", WFD_CREATE_NEW, WFD_READ | WFD_WRITE, 7, &f) == WFD_OK)
		(void)d.close(f);
}

static void run_with(enum mistake m)
{
	pthread_t server;

	mistake = m;
	made = false;
	old_fill = NULL;
	load();
	fuse = make();
	assert_non_null(fuse);
	assert_int_equal(lib.calls.mount(&lib.env, fuse, "X:"), 0);
	assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
	if (d.ready(60000))
		use();
	lib.calls.exit(&lib.env, fuse);
	pthread_join(server, NULL);
	lib.calls.unmount(&lib.env, fuse);
	lib.calls.destroy(&lib.env, fuse);
	if (m == NONE && d.violation())
		fail_msg("nothing is wrong, but the double says: %s", d.violation());
	if (m != NONE && (!d.violation() || !strstr(d.violation(), said[m])))
		fail_msg("of mistake %d (%s) the double says: %s", (int)m, said[m],
			 d.violation() ? d.violation() : "nothing");
	d.reset();
	mf_winfsp_unload(&lib);
}

static void test_good(void **state)
{
	(void)state;
	run_with(NONE);
}

static void test_mistakes(void **state)
{
	(void)state;
	for (int m = NONE + 1; m < MISTAKE_NUM; m++) {
		assert_non_null(said[m]);
		run_with((enum mistake)m);
	}
}

/* ---- the order of calls, and what they are given ---- */

static void expect(const char *sentence)
{
	if (!d.violation() || !strstr(d.violation(), sentence))
		fail_msg("\"%s\" does not say \"%s\"", d.violation() ? d.violation() : "",
			 sentence);
	d.reset();
}

static void test_order(void **state)
{
	struct mf_winfsp_env cygwin;
	(void)state;

	mistake = NONE;
	load();
	fuse = make();
	lib.calls.exit(&lib.env, fuse);
	expect("exit before the mount");
	assert_true(lib.calls.loop_mt(&lib.env, fuse, NULL) < 0);
	expect("loop without a mount");
	lib.calls.unmount(&lib.env, fuse);
	expect("unmount of what is not mounted");
	lib.calls.destroy(&lib.env, fuse);
	d.reset();
	fuse = make();
	assert_int_equal(lib.calls.mount(&lib.env, fuse, "X:"), 0);
	(void)lib.calls.mount(&lib.env, fuse, "Y:");
	expect("mounted twice");
	lib.calls.unmount(&lib.env, fuse);
	lib.calls.exit(&lib.env, fuse);
	expect("after the unmount");
	lib.calls.destroy(&lib.env, fuse);
	fuse = make();
	assert_int_equal(lib.calls.mount(&lib.env, fuse, "X:"), 0);
	lib.calls.destroy(&lib.env, fuse);
	expect("destroyed before it was unmounted");
	(void)lib.calls.get_context(&lib.env);
	expect("serves nothing");
	cygwin = lib.env;
	cygwin.flavour = 'C';
	(void)lib.calls.get_context(&cygwin);
	expect("not that of Windows programs");
	mf_winfsp_unload(&lib);
}

static void test_options(void **state)
{
	char folder[] = MF_WINFSP_FOLDER; /* it is there: no mount point */
	(void)state;

	mistake = NONE;
	load();
	assert_null(make_with("uid=-1,gid=-1,allow_other"));
	assert_null(make_with("uid=-1,gid=-1,big_writes"));
	fuse = make_with("volname=x");
	expect("without uid=-1,gid=-1");
	lib.calls.destroy(&lib.env, fuse);
	fuse = make();
	assert_int_equal(lib.calls.mount(&lib.env, fuse, folder), -1);
	d.reset();
	lib.calls.destroy(&lib.env, fuse);
	mf_winfsp_unload(&lib);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_options),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("winfsp_rules", tests, NULL, NULL);
}
