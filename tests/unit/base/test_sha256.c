/* SPDX-License-Identifier: Apache-2.0 */
/* test_sha256.c - the examples that NIST publishes for FIPS 180-4, and every length around a block */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/sha256.h"

static const char *digest(const void *data, size_t len)
{
	static char text[2 * MF_SHA256_LEN + 1];
	uint8_t bytes[MF_SHA256_LEN];

	mf_sha256(data, len, bytes);
	for (int i = 0; i < MF_SHA256_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return text;
}

static void published_examples_are_met(void **state)
{
	static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	char *many = malloc(1000000);

	(void)state;
	assert_non_null(many);
	memset(many, 'a', 1000000);
	assert_string_equal(digest("", 0),
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_string_equal(digest("abc", 3),
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_string_equal(digest(two_blocks, sizeof(two_blocks) - 1),
			    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_string_equal(digest(many, 1000000),
			    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(many);
}

/* The digest of the digests of 0 to 199 bytes of 'a', which `sha256sum` gives as well. */
static void every_length_around_a_block_is_right(void **state)
{
	static uint8_t all[200][MF_SHA256_LEN];
	char data[200];

	(void)state;
	memset(data, 'a', sizeof(data));
	for (size_t n = 0; n < sizeof(data); n++)
		mf_sha256(data, n, all[n]);
	assert_string_equal(digest(all, sizeof(all)),
			    "752c007f38611cfbf5fa42cb1cea3d8e086491c844d0cc4defd632cb81423506");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_examples_are_met),
		cmocka_unit_test(every_length_around_a_block_is_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
