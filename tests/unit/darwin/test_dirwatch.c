/* SPDX-License-Identifier: Apache-2.0 */
/* test_dirwatch.c - dirwatch_darwin.c, compiled in here, over a kqueue of our own (shim/sys/event.h) */
#include <sys/time.h>

#include "core/policy/dirwatch_darwin.c"

#include "tests/unit/test.h"

static char dir[64];
static const char *paths[4];

static void each(void *ctx, void (*add)(void *add_ctx, const char *path), void *add_ctx)
{
	(void)ctx;
	for (size_t i = 0; i < MF_ARRAY_SIZE(paths) && paths[i]; i++)
		add(add_ctx, paths[i]);
}

static const char *in_dir(const char *name)
{
	static char path[4][200];
	static unsigned at;
	char *p = path[at++ % 4];

	snprintf(p, 200, "%s/%s", dir, name);
	return p;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct mf_dirwatch *watch(void)
{
	struct mf_dirwatch *d;
	bool changed;

	assert_int_equal(mf_dirwatch_new(&d, NULL), 0);
	assert_int_equal(mf_dirwatch_renew(d, each, NULL, &changed), 0);
	assert_true(changed); /* nothing was watched before */
	assert_int_equal(mf_dirwatch_wait(d, 0), 0);
	return d;
}

static void what_happens_in_a_directory_is_told_once(void **state)
{
	struct mf_dirwatch *d;
	bool changed;

	(void)state;
	write_file(in_dir("policies/a.lua"), "one");
	d = watch();
	write_file(in_dir("policies/new.lua"), "two");
	assert_int_equal(mf_dirwatch_wait(d, -1), 1);
	assert_int_equal(mf_dirwatch_wait(d, 0), 0);
	write_file(in_dir("policies/a.lua"), "written in place");
	assert_int_equal(mf_dirwatch_wait(d, -1), 1);
	assert_int_equal(rename(in_dir("policies/new.lua"), in_dir("policies/a.lua")), 0);
	assert_int_equal(mf_dirwatch_wait(d, -1), 1);
	/* The file is another now: only a new list sees what is written into that one. */
	assert_int_equal(mf_dirwatch_renew(d, each, NULL, &changed), 0);
	assert_false(changed);
	write_file(in_dir("policies/a.lua"), "again");
	assert_int_equal(mf_dirwatch_wait(d, -1), 1);
	assert_int_equal(unlink(in_dir("policies/a.lua")), 0);
	assert_int_equal(mf_dirwatch_wait(d, -1), 1);
	mf_dirwatch_free(d);
}

static void a_new_list_tells_what_came_before_it(void **state)
{
	struct mf_dirwatch *d = watch();
	bool changed;

	(void)state;
	write_file(in_dir("policies/b.lua"), "x");
	assert_int_equal(mf_dirwatch_renew(d, each, NULL, &changed), 0);
	assert_true(changed);
	assert_int_equal(mf_dirwatch_renew(d, each, NULL, &changed), 0);
	assert_false(changed);
	paths[1] = in_dir("other");
	assert_int_equal(mf_dirwatch_renew(d, each, NULL, &changed), 0);
	assert_true(changed); /* more is watched than before */
	write_file(in_dir("other/c.lua"), "x");
	assert_int_equal(mf_dirwatch_wait(d, -1), 1);
	paths[1] = NULL;
	assert_int_equal(unlink(in_dir("policies/b.lua")), 0);
	assert_int_equal(unlink(in_dir("other/c.lua")), 0);
	mf_dirwatch_free(d);
}

static void links_are_followed_and_their_own_places_watched(void **state)
{
	struct mf_dirwatch *d;
	static char link_path[200];

	(void)state;
	snprintf(link_path, sizeof(link_path), "%s", in_dir("current"));
	assert_int_equal(symlink("other", link_path), 0);
	paths[0] = link_path;
	d = watch();
	write_file(in_dir("other/through.lua"), "x");
	assert_int_equal(mf_dirwatch_wait(d, -1), 1);
	/* The link is swapped for another. */
	assert_int_equal(symlink("policies", in_dir("next")), 0);
	assert_int_equal(rename(in_dir("next"), link_path), 0);
	assert_int_equal(mf_dirwatch_wait(d, -1), 1);
	mf_dirwatch_free(d);
	assert_int_equal(unlink(in_dir("other/through.lua")), 0);
	assert_int_equal(unlink(link_path), 0);
	paths[0] = in_dir("policies");
}

static int descriptors(void)
{
	int cnt = 0;

	for (int fd = 0; fd < 1024; fd++)
		cnt += fcntl(fd, F_GETFD) >= 0;
	return cnt;
}

static void too_many_files_are_not_watched_at_all(void **state)
{
	struct mf_dirwatch *d = watch();
	char name[64];
	bool changed;
	int before;

	(void)state;
	for (int i = 0; i < OPEN_MAX_HERE; i++) {
		snprintf(name, sizeof(name), "policies/f%03d", i);
		write_file(in_dir(name), "x");
	}
	before = descriptors();
	assert_int_equal(mf_dirwatch_renew(d, each, NULL, &changed), MF_E_LIMIT);
	assert_true(changed);
	assert_true(descriptors() < before);
	assert_int_equal(mf_dirwatch_wait(d, 0), 0);
	for (int i = 0; i < OPEN_MAX_HERE; i++) {
		snprintf(name, sizeof(name), "policies/f%03d", i);
		assert_int_equal(unlink(in_dir(name)), 0);
	}
	assert_int_equal(mf_dirwatch_renew(d, each, NULL, &changed), 0);
	write_file(in_dir("policies/a.lua"), "x");
	assert_int_equal(mf_dirwatch_wait(d, -1), 1);
	assert_int_equal(unlink(in_dir("policies/a.lua")), 0);
	before = descriptors();
	mf_dirwatch_free(d);
	assert_true(descriptors() < before);
}

static void what_is_not_there_is_no_failure_and_stop_ends_the_wait(void **state)
{
	struct mf_dirwatch *d;

	(void)state;
	paths[1] = "/nonexistent/policies";
	d = watch();
	mf_dirwatch_stop(d);
	assert_int_equal(mf_dirwatch_wait(d, -1), -1);
	assert_int_equal(mf_dirwatch_wait(d, 0), -1);
	mf_dirwatch_free(d);
	paths[1] = NULL;
}

static int setup(void **state)
{
	static char policies[200];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/moonfence-watch-XXXXXX");
	if (!mkdtemp(dir) || mkdir(in_dir("policies"), 0700) || mkdir(in_dir("other"), 0700))
		return -1;
	snprintf(policies, sizeof(policies), "%s", in_dir("policies"));
	paths[0] = policies;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(in_dir("policies")) | rmdir(in_dir("other")) | rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_happens_in_a_directory_is_told_once),
		cmocka_unit_test(a_new_list_tells_what_came_before_it),
		cmocka_unit_test(links_are_followed_and_their_own_places_watched),
		cmocka_unit_test(too_many_files_are_not_watched_at_all),
		cmocka_unit_test(what_is_not_there_is_no_failure_and_stop_ends_the_wait),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
