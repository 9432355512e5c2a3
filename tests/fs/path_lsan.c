/* SPDX-License-Identifier: Apache-2.0 */
/* path_lsan.c - of a directory that is open when the mount ends libfuse 3.14 leaks what is its own */

#define SEEN __attribute__((visibility("default")))

/* Asked by the leak sanitizer, where there is one. */
SEEN const char *__lsan_default_suppressions(void);
SEEN const char *__lsan_default_options(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libfuse3.so";
}

const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}
