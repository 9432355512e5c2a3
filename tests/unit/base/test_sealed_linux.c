/* SPDX-License-Identifier: Apache-2.0 */
/* test_sealed_linux.c - sealed bytes stay what they are, and another process finds the right ones only */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/sealed.h"

#define LEN 300000u

static struct mf_err err;
static uint8_t bytes[LEN];
static char title[64];

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	/* Other runs of this test may be under way. */
	snprintf(title, sizeof(title), "moonfence-test-%ld", (long)getpid());
	return 0;
}

static struct mf_sealed *seal(const void *data, size_t len)
{
	struct mf_sealed_builder *b;
	struct mf_sealed *s;

	assert_int_equal(mf_sealed_begin(title, &b, &err), 0);
	assert_int_equal(mf_sealed_add(b, data, len / 3, &err), 0);
	assert_int_equal(mf_sealed_add(b, (const uint8_t *)data + len / 3, len - len / 3, &err), 0);
	assert_int_equal(mf_sealed_end(b, &s, &err), 0);
	assert_int_equal(s->len, len);
	return s;
}

static void nobody_changes_them(void **state)
{
	struct mf_sealed *s = seal(bytes, LEN), *none;

	(void)state;
	assert_memory_equal(s->data, bytes, LEN);
	assert_int_equal(pwrite(s->fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(s->fd, 0), -1);
	assert_int_equal(ftruncate(s->fd, 2 * (off_t)LEN), -1);
	assert_ptr_equal(mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0), MAP_FAILED);
	assert_int_equal(fcntl(s->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fcntl(s->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_memory_equal(s->data, bytes, LEN);
	mf_sealed_free(s);
	none = seal(bytes, 0);
	mf_sealed_free(none);
}

static bool is_bytes(void *ctx, const uint8_t *data, size_t len)
{
	++*(int *)ctx;
	return len == LEN && memcmp(data, bytes, LEN) == 0;
}

/* What a child finds of ours: 'y' or 'n', and how often it looked at bytes. */
static void ask_child(size_t len, char want, int want_looks)
{
	int status, looks = 0;
	struct mf_sealed *found;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int r = mf_sealed_find(title, len, is_bytes, &looks, &found);
		bool good = r == 0 ? want == 'y' && memcmp(found->data, bytes, LEN) == 0
				   : want == 'n' && r == MF_E_NOENT;

		_exit(good && looks == want_looks ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void another_process_finds_the_right_ones_only(void **state)
{
	static uint8_t wrong[LEN];
	struct mf_sealed *bad, *good;
	int looks = 0, fd;

	(void)state;
	ask_child(LEN, 'n', 0);
	/* The right title and bytes, but they could still change. */
	fd = memfd_create(title, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(fd, bytes, LEN), LEN);
	ask_child(LEN, 'n', 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	ask_child(LEN, 'n', 0);
	/* Sealed, but others. */
	bad = seal(wrong, LEN);
	ask_child(LEN, 'n', 1);
	ask_child(LEN - 1, 'n', 0);
	good = seal(bytes, LEN);
	ask_child(LEN, 'y', 2);
	/* A process does not look into itself. */
	assert_int_equal(mf_sealed_find(title, LEN, is_bytes, &looks, &good), MF_E_NOENT);
	mf_sealed_free(bad);
	close(fd);
	ask_child(LEN, 'y', 1);
	mf_sealed_free(good);
	ask_child(LEN, 'n', 0);
}

static void no_more_than_four_are_looked_at(void **state)
{
	static uint8_t wrong[LEN];
	struct mf_sealed *bad[6];

	(void)state;
	for (size_t i = 0; i < 6; i++)
		bad[i] = seal(wrong, LEN);
	ask_child(LEN, 'n', 4);
	for (size_t i = 0; i < 6; i++)
		mf_sealed_free(bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_changes_them),
		cmocka_unit_test(another_process_finds_the_right_ones_only),
		cmocka_unit_test(no_more_than_four_are_looked_at),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
