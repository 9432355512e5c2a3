/* SPDX-License-Identifier: Apache-2.0 */
/* test_winfsp_abi.c - the table of operations has every one at the place where WinFsp looks for it; on every system */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/winfsp_abi.h"

#define AT(index, op)                                            \
	{                                                        \
#op, (index), offsetof(struct mf_winfsp_ops, op) \
	}

static void test_places(void **state)
{
	static const struct {
		const char *name;
		size_t index, offset;
	} rows[] = {
		AT(0, getattr),	   AT(1, readlink),    AT(2, mknod),	    AT(3, mkdir),
		AT(4, unlink),	   AT(5, rmdir),       AT(6, symlink),	    AT(7, rename),
		AT(8, link),	   AT(9, chmod),       AT(10, chown),	    AT(11, truncate),
		AT(12, open),	   AT(13, read),       AT(14, write),	    AT(15, statfs),
		AT(16, flush),	   AT(17, release),    AT(18, fsync),	    AT(19, setxattr),
		AT(20, getxattr),  AT(21, listxattr),  AT(22, removexattr), AT(23, opendir),
		AT(24, readdir),   AT(25, releasedir), AT(26, fsyncdir),    AT(27, init),
		AT(28, destroy),   AT(29, access),     AT(30, create),	    AT(31, lock),
		AT(32, utimens),   AT(33, bmap),       AT(34, ioctl),	    AT(35, poll),
		AT(36, write_buf), AT(37, read_buf),   AT(38, flock),	    AT(39, fallocate),
	};
	(void)state;

	assert_int_equal(sizeof(rows) / sizeof(rows[0]),
			 sizeof(struct mf_winfsp_ops) / sizeof(void *));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].offset != rows[i].index * sizeof(void *))
			fail_msg("%s is at %zu", rows[i].name, rows[i].offset);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_places) };

	return cmocka_run_group_tests_name("winfsp_abi", tests, NULL, NULL);
}
