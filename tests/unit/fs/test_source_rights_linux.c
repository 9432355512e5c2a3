/* SPDX-License-Identifier: Apache-2.0 */
/* test_source_rights_linux.c - for whom the kernel takes a thread that serves others, also one that was made meanwhile */
#include "tests/unit/test.h"

#include <linux/capability.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/err.h"
#include "fs/source_linux.h"

#define SOMEBODY 12345

static bool may_set_bits(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	assert_int_equal(syscall(SYS_capget, &h, caps), 0);
	return caps[0].effective & 1u << CAP_FSETID;
}

static void assert_is(uid_t uid, gid_t gid)
{
	assert_int_equal(setfsuid((uid_t)-1), uid);
	assert_int_equal(setfsgid((gid_t)-1), gid);
}

static void need_root(void)
{
	if (geteuid() != 0 || !may_set_bits())
		skip();
}

static void *serves_root(void *unused)
{
	assert_is(SOMEBODY, SOMEBODY); // as the one that made it
	assert_false(may_set_bits());
	mf_fs_source_keep_bits(true);
	assert_true(may_set_bits());
	assert_int_equal(mf_fs_source_become(0, 0, 022), 0);
	assert_is(0, 0);
	return unused;
}

static void *serves_itself(void *unused)
{
	assert_int_equal(mf_fs_source_become_self(), 0);
	assert_is(0, getegid());
	assert_true(may_set_bits());
	return unused;
}

static void *serves_somebody(void *unused)
{
	mode_t before;

	assert_int_equal(mf_fs_source_become(SOMEBODY + 1, SOMEBODY + 1, 077), 0);
	assert_is(SOMEBODY + 1, SOMEBODY + 1);
	assert_true(may_set_bits());
	before = umask(0);
	umask(before);
	assert_int_equal(before, 077);
	return unused;
}

/* Whatever its maker was about to do, a new thread does for whom it is told to. */
static void a_thread_begins_as_its_maker_was(void **state)
{
	static void *(*const threads[])(void *) = { serves_root, serves_itself, serves_somebody };

	(void)state;
	need_root();
	for (size_t i = 0; i < MF_ARRAY_SIZE(threads); i++) {
		pthread_t t;

		assert_int_equal(mf_fs_source_become(SOMEBODY, SOMEBODY, 027), 0);
		mf_fs_source_keep_bits(false);
		assert_int_equal(pthread_create(&t, NULL, threads[i], NULL), 0);
		assert_int_equal(pthread_join(t, NULL), 0);
		assert_is(SOMEBODY, SOMEBODY); // what others became is their own matter
		assert_false(may_set_bits());
	}
	assert_int_equal(mf_fs_source_become_self(), 0);
	assert_is(0, getegid());
	assert_true(may_set_bits());
}

/* Somebody else's files, made with rights over files and by nobody else's name. */
static void rights_come_back_with_whom_it_serves(void **state)
{
	(void)state;
	need_root();
	mf_fs_source_keep_bits(false);
	mf_fs_source_keep_bits(false);
	assert_false(may_set_bits());
	assert_int_equal(mf_fs_source_become(SOMEBODY, SOMEBODY, 022), 0);
	assert_true(may_set_bits());
	mf_fs_source_keep_bits(false);
	assert_false(may_set_bits());
	mf_fs_source_keep_bits(true);
	assert_true(may_set_bits());
	assert_int_equal(mf_fs_source_become_self(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rights_come_back_with_whom_it_serves),
		cmocka_unit_test(a_thread_begins_as_its_maker_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
