/* SPDX-License-Identifier: Apache-2.0 */
/* trash_support_posix.h - a directory of work and a trash beside it, for the tests of the trash */
#ifndef MF_TESTS_UNIT_FS_TRASH_SUPPORT_POSIX_H
#define MF_TESTS_UNIT_FS_TRASH_SUPPORT_POSIX_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/trash.h"
#include "tests/unit/test.h"

struct place {
	char base[256], work[300], trash[300];
	int work_fd;
	struct mf_trash *t;
};

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int open_up(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	return type == FTW_D || type == FTW_DNR ? chmod(path, (st->st_mode & 07777) | 0700) : 0;
}

static inline void remove_all(const char *path)
{
	nftw(path, open_up, 32, FTW_PHYS);
	nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

static inline void place_open_with(struct place *p, struct mf_trash_options o)
{
	struct mf_err err = { 0 };

	o.dir = p->trash;
	if (mf_trash_open(&o, &p->t, &err) < 0)
		fail_msg("%s", err.msg);
}

static inline void place_make(struct place *p)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(p->base, sizeof(p->base), "%s/mf-trash.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(p->base));
	snprintf(p->work, sizeof(p->work), "%s/work", p->base);
	snprintf(p->trash, sizeof(p->trash), "%s/Trash", p->base);
	assert_int_equal(mkdir(p->work, 0755), 0);
	p->work_fd = open(p->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->work_fd >= 0);
	p->t = NULL;
}

static inline void place_done(struct place *p)
{
	mf_trash_close(p->t);
	close(p->work_fd);
	remove_all(p->base);
}

static inline const char *place_path(const struct place *p, const char *name)
{
	static char buf[4][8192];
	static unsigned turn;
	char *ret = buf[turn++ % 4];

	snprintf(ret, sizeof(buf[0]), "%s/%s", p->work, name);
	return ret;
}

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* The text of a small file; "" where there is none. */
static inline const char *read_file(const char *path)
{
	static char buf[4][8192];
	static unsigned turn;
	char *ret = buf[turn++ % 4];
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, ret, sizeof(buf[0]) - 1);

	ret[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return ret;
}

static inline bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Puts work/NAME, which may have directories before it. */
static inline int place_put(struct place *p, const char *name, enum mf_trash_how how,
			    enum mf_trash_op op, const char *session,
			    char token[MF_TRASH_TOKEN_MAX])
{
	struct mf_trash_loss loss = { .how = how, .op = op, .session = session };
	const char *slash = strrchr(name, '/'), *path = place_path(p, name);
	char dir[4096];
	int fd, r;

	snprintf(dir, sizeof(dir), "%.*s", (int)(slash ? slash - name : 0), name);
	fd = open(place_path(p, dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	loss.path = path;
	r = mf_trash_put(p->t, fd, slash ? slash + 1 : name, &loss, token);
	close(fd);
	return r;
}

static inline size_t count_in(const struct place *p, const char *dir)
{
	char path[8192];
	struct dirent *e;
	size_t cnt = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", p->trash, dir);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		cnt += e->d_name[0] != '.';
	closedir(d);
	return cnt;
}

#endif
