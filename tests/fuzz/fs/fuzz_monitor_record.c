/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_monitor_record.c - any bytes as what fanotify tells: each record lies within them, and the table of directories that
 * follows such records stays a tree within its bounds
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "fs/monitor_dirs.h"
#include "fs/monitor_record_linux.h"

enum { DIRS_MAX = 24 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void within(const uint8_t *data, size_t size, struct mf_span s)
{
	must(!s.len || (s.ptr >= data && s.len <= size && s.ptr <= data + size - s.len));
}

static void check_path(const struct mf_monitor_dir *dir, struct mf_span name)
{
	char full[PATH_MAX], tight[PATH_MAX];
	int n = mf_monitor_dirs_path(dir, name, full, sizeof(full));

	if (n < 0)
		return;
	must((size_t)n < sizeof(full) && !full[n]);
	must(mf_monitor_dirs_path(dir, name, tight, (size_t)n + 1) == n);
	must(memcmp(full, tight, (size_t)n + 1) == 0);
	must(mf_monitor_dirs_path(dir, name, tight, (size_t)n) < 0);
}

/* What a monitor does with the record, without asking anybody. */
static void follow(struct mf_monitor_dirs *dirs, const struct mf_monitor_record *r)
{
	struct mf_monitor_dir *dir = r->dir.len ? mf_monitor_dirs_find(dirs, r->dir) : NULL;
	struct mf_monitor_dir *to = r->new_dir.len ? mf_monitor_dirs_find(dirs, r->new_dir) : dir;
	struct mf_monitor_dir *object =
		r->object.len ? mf_monitor_dirs_find(dirs, r->object) : NULL;
	size_t cnt = mf_monitor_dirs_count(dirs);

	if (!dir)
		dir = mf_monitor_dirs_root(dirs);
	check_path(dir, r->name);
	if (r->mask & FAN_Q_OVERFLOW) {
		mf_monitor_dirs_clear(dirs);
		must(mf_monitor_dirs_count(dirs) == 1);
	} else if (r->mask & FAN_DELETE) {
		if (object && object != mf_monitor_dirs_root(dirs)) {
			mf_monitor_dirs_remove(dirs, object);
			must(mf_monitor_dirs_count(dirs) < cnt &&
			     !mf_monitor_dirs_find(dirs, r->object));
		}
	} else {
		struct mf_monitor_dir *made = mf_monitor_dirs_put(
			dirs, r->object, to ? to : dir, r->new_name.len ? r->new_name : r->name);

		must(!made || mf_monitor_dirs_find(dirs, r->object) == made);
		must(mf_monitor_dirs_count(dirs) == cnt + (made && !object));
		if (made)
			check_path(made, mf_span_of("", 0));
	}
	must(mf_monitor_dirs_count(dirs) <= DIRS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_monitor_dirs *dirs =
		mf_monitor_dirs_new(DIRS_MAX, mf_span_of("\0\0\0\0\0\0\0\0root", 12));
	uint8_t *copy = malloc(size ? size : 1); // nothing may be read behind it
	struct mf_monitor_record r;
	struct mf_span rest;
	int got;

	must(dirs && copy);
	if (size)
		memcpy(copy, data, size);
	rest = mf_span_of(copy, size);
	for (;;) {
		size_t before = rest.len;

		got = mf_monitor_record_next(&rest, &r);
		must(got == 1 || got == 0 || got == MF_E_BAD);
		if (got != 1)
			break;
		must(rest.len + sizeof(struct fanotify_event_metadata) <= before);
		within(copy, size, r.dir);
		within(copy, size, r.name);
		within(copy, size, r.new_dir);
		within(copy, size, r.new_name);
		within(copy, size, r.object);
		must(!memchr(r.name.len ? r.name.ptr : (const uint8_t *)"x", 0,
			     r.name.len ? r.name.len : 1));
		follow(dirs, &r);
	}
	must(got == MF_E_BAD || !rest.len);
	mf_monitor_dirs_free(dirs);
	free(copy);
	return 0;
}
