/* SPDX-License-Identifier: Apache-2.0 */
/* test.h - cmocka with what it wants before it, and a random source that gives the same numbers in every run */
#ifndef MF_TESTS_UNIT_TEST_H
#define MF_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* xorshift64*: @state must not be 0. */
static inline uint64_t test_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static inline uint32_t test_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((test_random(state) >> 32) * n >> 32);
}

#endif
