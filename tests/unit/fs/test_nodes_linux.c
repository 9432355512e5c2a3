/* SPDX-License-Identifier: Apache-2.0 */
/* test_nodes_linux.c - the table of inodes: names that come and go in any order, and what is left when the kernel has forgotten all */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/nodes_linux.h"
#include "fs/source_linux.h"

#define DIRS	   8
#define FILES	   6
#define NAMES	   4
#define OPERATIONS 200000

static struct mf_fs_nodes *make_table(const char *path)
{
	struct mf_fs_nodes *ns;
	struct mf_err err;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(mf_fs_nodes_new(fd, "/w", 4, &ns, &err), 0);
	return ns;
}

/* What statx() says of an inode that is not there: the table believes it. */
static struct statx inode(uint64_t ino, unsigned type)
{
	return (struct statx){ .stx_mask = STATX_BASIC_STATS | STATX_BTIME,
			       .stx_mode = (uint16_t)type,
			       .stx_ino = ino,
			       .stx_btime = { .tv_sec = 1 } };
}

static uint64_t left(struct mf_fs_nodes *ns)
{
	struct mf_fs_nodes_stats s;

	mf_fs_nodes_get_stats(ns, &s);
	assert_true(s.links >= s.nodes - 1);
	return s.nodes;
}

/* The last name of a file goes, and takes its directory along, which takes the file's other directory along. */
static void a_file_in_a_directory_and_in_the_one_above(void **state)
{
	struct statx d = inode(2, S_IFDIR), s = inode(3, S_IFDIR), f = inode(4, S_IFREG);

	(void)state;
	for (int order = 0; order < 2; order++) {
		struct mf_fs_nodes *ns = make_table("/");
		struct mf_fs_node *dn = mf_fs_nodes_see(ns, mf_fs_nodes_root(ns), "d", &d);
		struct mf_fs_node *sn = mf_fs_nodes_see(ns, dn, "s", &s), *fn;

		(void)mf_fs_nodes_see(ns, order ? dn : sn, "f", &f);
		fn = mf_fs_nodes_see(ns, order ? sn : dn, "f", &f);
		mf_fs_nodes_forget(ns, dn, 1);
		mf_fs_nodes_forget(ns, sn, 1);
		assert_int_equal(left(ns), 4);
		mf_fs_nodes_forget(ns, fn, 2);
		assert_int_equal(left(ns), 1);
		mf_fs_nodes_free(ns);
	}
}

struct known {
	struct mf_fs_node *node; /* NULL: the kernel does not know it */
	uint64_t lookups;
};

static void see(struct mf_fs_nodes *ns, struct known *dir, const char *name, struct known *child,
		const struct statx *stx)
{
	struct mf_fs_node *n = mf_fs_nodes_see(ns, dir->node, name, stx);

	assert_non_null(n);
	if (child->node)
		assert_ptr_equal(n, child->node);
	child->node = n;
	child->lookups++;
}

static void forget(struct mf_fs_nodes *ns, struct known *k, uint64_t cnt)
{
	struct mf_fs_node *n = k->node;

	if (!n)
		return;
	k->lookups -= cnt;
	if (!k->lookups)
		k->node = NULL;
	mf_fs_nodes_forget(ns, n, cnt);
}

static void any_order(void **state)
{
	struct mf_fs_nodes *ns = make_table("/");
	struct known known[DIRS + FILES] = { { mf_fs_nodes_root(ns), 1 } };
	struct statx stx[DIRS + FILES];
	uint64_t x = 88172645463325252u;
	char path[MF_FS_PATH_ROOM], name[MF_FS_NAME_ROOM], other[] = "n0";

	(void)state;
	for (unsigned i = 0; i < DIRS + FILES; i++)
		stx[i] = inode(100 + i, i < DIRS ? S_IFDIR : S_IFREG);
	for (int i = 0; i < OPERATIONS; i++) {
		struct known *dir, *dir2, *child;
		unsigned what;
		char at[] = "n0";

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		dir = &known[(x >> 8) % DIRS];
		dir2 = &known[(x >> 16) % DIRS];
		what = 1 + (unsigned)(x >> 24) % (DIRS + FILES - 1);
		child = &known[what];
		at[1] = (char)('0' + (x >> 32) % NAMES);
		other[1] = (char)('0' + (x >> 36) % NAMES);
		if (!dir->node || !dir2->node)
			continue;
		switch ((x >> 40) % 8) {
		case 0:
		case 1:
		case 2: /* names may well form circles, as they do when others move directories */
			if (child != dir)
				see(ns, dir, at, child, &stx[what]);
			break;
		case 3:
			forget(ns, child, 1);
			break;
		case 4:
			forget(ns, child, child->lookups);
			break;
		case 5:
			mf_fs_nodes_gone(ns, dir->node, at);
			break;
		case 6:
			mf_fs_nodes_moving(ns, true);
			mf_fs_nodes_moved(ns, dir->node, at, dir2->node, other, (x >> 44) % 2);
			mf_fs_nodes_moving(ns, false);
			break;
		default: {
			struct mf_fs_node *up;
			struct mf_fs_dirfd *fd;

			(void)mf_fs_nodes_child_path(ns, dir->node, at, path);
			if (child->node && mf_fs_nodes_name(ns, child->node, 0, &up, name) == 0)
				mf_fs_nodes_drop(ns, up);
			/* None of them is there. */
			if (dir->node != mf_fs_nodes_root(ns))
				assert_true(mf_fs_nodes_pin(ns, dir->node, &fd) < 0);
		}
		}
	}
	for (unsigned i = 1; i < DIRS + FILES; i++)
		forget(ns, &known[i], known[i].lookups);
	(void)left(ns);
	mf_fs_nodes_free(ns);
}

/* A descriptor is that of the directory that the table means, and none once it is elsewhere. */
static void descriptors_follow_the_way(void **state)
{
	char base[] = "/tmp/mf-nodes-XXXXXX", path[64], moved[64], full[MF_FS_PATH_ROOM];
	struct mf_fs_node *d, *deep;
	struct mf_fs_nodes *ns;
	struct mf_fs_dirfd *fd;
	struct statx stx;

	(void)state;
	assert_non_null(mkdtemp(base));
	ns = make_table(base);
	snprintf(path, sizeof(path), "%s/d", base);
	snprintf(moved, sizeof(moved), "%s/e", base);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(mf_fs_source_stat(AT_FDCWD, path, &stx), 0);
	d = mf_fs_nodes_see(ns, mf_fs_nodes_root(ns), "d", &stx);
	assert_int_equal(mf_fs_nodes_pin(ns, d, &fd), 0);
	assert_int_equal(mkdirat(fd->fd, "deep", 0700), 0);
	assert_int_equal(mf_fs_source_stat(fd->fd, "deep", &stx), 0);
	mf_fs_nodes_unpin(ns, fd);
	deep = mf_fs_nodes_see(ns, d, "deep", &stx);
	/* Not where the table has it, and it has no descriptor yet. */
	assert_int_equal(rename(path, moved), 0);
	while (mf_fs_nodes_pin(ns, deep, &fd) == 0)
		mf_fs_nodes_unpin(ns, fd);
	assert_int_equal(mf_fs_nodes_pin(ns, deep, &fd), -ESTALE);
	mf_fs_nodes_moved(ns, mf_fs_nodes_root(ns), "d", mf_fs_nodes_root(ns), "e", false);
	assert_int_equal(mf_fs_nodes_pin(ns, deep, &fd), 0);
	mf_fs_nodes_unpin(ns, fd);
	assert_int_equal(mf_fs_nodes_child_path(ns, deep, "x", full), 11);
	assert_string_equal(full, "/w/e/deep/x");
	mf_fs_nodes_free(ns);
	snprintf(path, sizeof(path), "%s/e/deep", base);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(moved), 0);
	assert_int_equal(rmdir(base), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_in_a_directory_and_in_the_one_above),
		cmocka_unit_test(any_order),
		cmocka_unit_test(descriptors_follow_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
