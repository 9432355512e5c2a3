/* SPDX-License-Identifier: Apache-2.0 */
/* trash_support_win32.h - a directory of work and a trash beside it, for the tests of the trash of Windows */
#ifndef MF_TESTS_UNIT_FS_TRASH_SUPPORT_WIN32_H
#define MF_TESTS_UNIT_FS_TRASH_SUPPORT_WIN32_H

#include <errno.h>
#include <windows.h>

#include "fs/source_win32.h"
#include "fs/trash_win32.h"
#include "tests/os/os.h"
#include "tests/unit/test.h"

struct place {
	char base[512], work[600], trash[600];
	struct mf_wsource *src;
	struct mf_trash *t;
};

/* "C:\base\work" in @place as records have it: "/C:/base/work/NAME". */
static inline const char *record_path(const struct place *p, const char *name)
{
	static char buf[4][1300];
	static unsigned turn;
	char *ret = buf[turn++ % 4];

	snprintf(ret, sizeof(buf[0]), "/%s/%s", mf_wsource_path(p->src), name);
	for (char *c = ret; *c; c++)
		if (*c == '\\')
			*c = '/';
	return ret;
}

static inline void place_trash(struct place *p, struct mf_trash_options o)
{
	struct mf_err err = { 0 };

	o.dir = p->trash;
	o.source = p->work;
	if (mf_trash_open(&o, &p->t, &err) < 0)
		fail_msg("%s", err.msg);
}

/* The directories alone. */
static inline void place_at(struct place *p, const char *base)
{
	struct mf_err err = { 0 };

	memset(p, 0, sizeof(*p));
	snprintf(p->base, sizeof(p->base), "%s", base);
	snprintf(p->work, sizeof(p->work), "%s/work", base);
	snprintf(p->trash, sizeof(p->trash), "%s/trash", base);
	(void)test_make_dir(p->work);
	if (mf_wsource_open(p->work, &p->src, &err) < 0)
		fail_msg("%s", err.msg);
}

static inline void place_make(struct place *p)
{
	char base[512];

	assert_int_equal(test_temp_dir(base, sizeof(base)), 0);
	place_at(p, base);
}

static inline void place_done(struct place *p)
{
	mf_trash_close(p->t);
	mf_wsource_close(p->src);
	test_remove_tree(p->base);
}

static inline const char *host_path(const struct place *p, const char *name)
{
	static char buf[4][1300];
	static unsigned turn;
	char *ret = buf[turn++ % 4];

	snprintf(ret, sizeof(buf[0]), "%s/%s", p->work, name);
	return ret;
}

static inline void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

/* The text of a small file; NULL where there is none. */
static inline const char *read_text(const char *path)
{
	static char buf[4][512];
	static unsigned turn;
	char *ret = buf[turn++ % 4];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		return NULL;
	n = fread(ret, 1, sizeof(buf[0]) - 1, f);
	ret[n] = '\0';
	fclose(f);
	return ret;
}

static inline bool is_there(const char *path)
{
	return GetFileAttributesA(path) != INVALID_FILE_ATTRIBUTES;
}

/* Puts work/NAME ("/a", "/dir/b"), as the mount does. */
static inline int place_put(struct place *p, const char *name, enum mf_trash_how how,
			    enum mf_trash_op op, char token[MF_TRASH_TOKEN_MAX])
{
	struct mf_trash_loss loss = {
		.how = how, .op = op, .session = "s", .path = record_path(p, name + 1)
	};
	void *h;
	int r = mf_wsource_open_at(
		p->src, name, how == MF_TRASH_COPY ? MF_WSOURCE_BOTH : MF_WSOURCE_REMOVE, &h, NULL);

	if (r < 0)
		return r;
	r = mf_trash_put_handle(p->t, h, &loss, token);
	if (r == 0 && how == MF_TRASH_COPY)
		r = mf_wsource_truncate(h, 0);
	if (r == 0 && how == MF_TRASH_NOTE_DIR)
		r = mf_wsource_remove(h);
	mf_wsource_close_handle(h);
	return r;
}

#endif
