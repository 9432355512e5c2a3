/* SPDX-License-Identifier: Apache-2.0 */
/* base_test.h - the includes that every cmocka test here needs */
#ifndef MF_TESTS_BASE_TEST_H
#define MF_TESTS_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
