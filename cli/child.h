/* SPDX-License-Identifier: Apache-2.0 */
/* child.h - another program run to its end: an argument vector, no shell, what it printed kept within a bound */
#ifndef MF_CLI_CHILD_H
#define MF_CLI_CHILD_H

#include <stddef.h>

#include "core/base/strbuf.h"

#define MF_CHILD_INPUT_MAX 4096 /* fits into a pipe that nobody reads yet */

/**
 * mf_child_run() - Run @argv, found by PATH and then in /usr/sbin, and wait for it
 * @input: its standard input, at most MF_CHILD_INPUT_MAX bytes; NULL: empty
 * @output: gets its standard output and error, as they came; what is over the buffer's cap is lost
 * Return: exit status, 128 + signal number, or MF_E_NOENT (no such program), MF_E_IO, MF_E_NOMEM
 */
int mf_child_run(const char *const *argv, const char *input, struct mf_strbuf *output);

#endif
