// SPDX-License-Identifier: Apache-2.0
// Which project a directory belongs to: the nearest upwards, within limits, and only by files that are believed.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxies/dev_linux.h"
#include "tests/os/os.h"
#include "tests/unit/test.h"

static char top[256];

static void put(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", top, path);
	f = fopen(full, "wb");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make_dir(const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", top, path);
	assert_int_equal(test_make_dir(full), 0);
}

/* The project of @path below the top, as path below the top; NULL when there is none. */
static const char *project_of(const char *path, uint32_t uid, struct mf_dev_project *p)
{
	static char found[MF_DEV_PATH_ROOM];
	char cwd[MF_DEV_PATH_ROOM];
	int dir;

	snprintf(cwd, sizeof(cwd), "%s/%s", top, path);
	dir = open(cwd, O_PATH | O_DIRECTORY);
	assert_true(dir >= 0);
	mf_dev_project_find(dir, cwd, uid, p, found);
	close(dir);
	if (!found[0])
		return NULL;
	assert_int_equal(strncmp(found, top, strlen(top)), 0);
	return found + strlen(top) + 1;
}

static int set_up(void **state)
{
	(void)state;
	return test_temp_dir(top, sizeof(top));
}

static int tear_down(void **state)
{
	(void)state;
	return test_remove_tree(top);
}

static void the_nearest_upwards_counts(void **state)
{
	struct mf_dev_project p;

	(void)state;
	make_dir("a");
	make_dir("a/src");
	make_dir("a/src/deep");
	make_dir("a/api");
	put("a/package.json", "{\"name\": \"outer\"}");
	put("a/api/go.mod", "module x\n");
	assert_string_equal(project_of("a/src/deep", geteuid(), &p), "a");
	assert_string_equal(p.name, "outer");
	assert_string_equal(project_of("a/api", geteuid(), &p), "a/api");
	assert_string_equal(p.name, "");
	assert_int_equal(p.has, 1u << MF_DEV_FILE_GO_MOD);
	/* nothing is looked for above a repository */
	make_dir("a/src/.git");
	assert_string_equal(project_of("a/src/deep", geteuid(), &p), "a/src");
}

static void it_is_not_looked_for_without_end(void **state)
{
	char path[256] = "d";
	struct mf_dev_project p;

	(void)state;
	make_dir("d");
	put("d/go.mod", "");
	for (int level = 1; level < MF_DEV_LEVELS_MAX; level++) {
		strcat(path, "/d");
		make_dir(path);
		assert_string_equal(project_of(path, geteuid(), &p), "d");
	}
	strcat(path, "/d");
	make_dir(path);
	assert_null(project_of(path, geteuid(), &p));
}

static void links_and_other_things_are_no_files(void **state)
{
	char target[300], path[300];
	struct mf_dev_project p;

	(void)state;
	make_dir("l");
	put("l-secret", "{\"name\": \"leaked\"}");
	snprintf(target, sizeof(target), "%s/l-secret", top);
	snprintf(path, sizeof(path), "%s/l/package.json", top);
	assert_int_equal(test_link(target, path), 0);
	assert_null(project_of("l", geteuid(), &p));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(test_fifo(path), 0); /* that nobody writes to: reading would wait */
	assert_null(project_of("l", geteuid(), &p));
	assert_int_equal(unlink(path), 0);
	make_dir("l/package.json");
	assert_null(project_of("l", geteuid(), &p));
	/* a go.mod is not read, but must be a file as well */
	snprintf(path, sizeof(path), "%s/l/go.mod", top);
	assert_int_equal(test_link(target, path), 0);
	assert_null(project_of("l", geteuid(), &p));
}

static void other_users_files_are_not_believed(void **state)
{
	struct mf_dev_project p;

	(void)state;
	make_dir("u");
	put("u/package.json", "{\"name\": \"theirs\"}");
	put("u/manage.py", "");
	if (geteuid() != 0) {
		assert_null(project_of("u", geteuid() + 1, &p));
		return;
	}
	/* root's are, everybody's own are, a third one's are not */
	assert_string_equal(project_of("u", 12345, &p), "u");
	for (int i = 0; i < 2; i++) {
		char path[300];

		snprintf(path, sizeof(path), "%s/u/%s", top, i ? "manage.py" : "package.json");
		if (chown(path, 12345, 12345) < 0)
			skip(); /* root in a namespace that has no such user */
	}
	assert_string_equal(project_of("u", 12345, &p), "u");
	assert_null(project_of("u", 12346, &p));
}

static void long_files_are_read_in_part(void **state)
{
	static char big[2 * MF_DEV_FILE_MAX];
	struct mf_dev_project p;

	(void)state;
	make_dir("b");
	memset(big, ' ', sizeof(big) - 1);
	memcpy(big, "flask\n", 6);
	memcpy(big + sizeof(big) - 8, "django\n", 7);
	put("b/requirements.txt", big);
	assert_string_equal(project_of("b", geteuid(), &p), "b");
	assert_true(mf_dev_project_uses(&p, MF_DEV_FLASK));
	assert_false(mf_dev_project_uses(&p, MF_DEV_DJANGO));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_upwards_counts),
		cmocka_unit_test(it_is_not_looked_for_without_end),
		cmocka_unit_test(links_and_other_things_are_no_files),
		cmocka_unit_test(other_users_files_are_not_believed),
		cmocka_unit_test(long_files_are_read_in_part),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
