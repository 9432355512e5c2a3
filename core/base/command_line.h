/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_line.h - arguments as the one string that Windows starts a program with, and back; environment blocks
 *
 * Windows hands a program one string. Programs split it by the rules of CommandLineToArgvW(), which Microsoft's C runtime
 * shares: 2n backslashes and a quotation mark are n backslashes and the mark's own meaning, 2n+1 are n and a mark as it is,
 * backslashes elsewhere are themselves. The program's name is split by other rules: no backslash means anything there.
 *
 * cmd.exe has rules of its own, which no quoting satisfies in every case: what it is to run is checked, not quoted.
 *
 * Text is UTF-8, any host.
 */
#ifndef MF_BASE_COMMAND_LINE_H
#define MF_BASE_COMMAND_LINE_H

#include <stdbool.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

/* UTF-16 units with the NUL: CreateProcessW()'s bound. */
#define MF_COMMAND_LINE_UNITS_MAX 32767
/* Arguments of one command line that mf_command_line_split() gives at most. */
#define MF_COMMAND_LINE_ARGS_MAX 4096
/* UTF-16 units of an environment block; the bound is ours. */
#define MF_ENVIRONMENT_UNITS_MAX 1048576

/**
 * mf_command_line_join() - The command line that programs split into @argv again
 * @ret: appended to; in UTF-8; its cap should be at least 4 * MF_COMMAND_LINE_UNITS_MAX
 * Return: 0; MF_E_INVAL (no argv[0], an argv[0] with a quotation mark), MF_E_LIMIT, MF_E_SYNTAX (an argument that is not
 * UTF-8), MF_E_NOMEM
 */
int mf_command_line_join(char *const *argv, struct mf_strbuf *ret, struct mf_err *err);

/**
 * mf_command_line_split() - What CommandLineToArgvW() makes of a line
 * Return: the arguments, NULL-terminated, in one block that free() frees, their number in *ret_cnt (may be NULL); NULL when
 * out of memory or over MF_COMMAND_LINE_ARGS_MAX
 */
char **mf_command_line_split(const char *line, size_t *ret_cnt);

/** mf_command_line_is_batch() - Whether Windows would have cmd.exe run that file (.bat, .cmd, any case, trailing dots and
 * spaces as Windows drops them) */
bool mf_command_line_is_batch(const char *path);

/**
 * mf_command_line_check_batch() - Arguments that cmd.exe would read as something else than arguments
 * Return: 0; MF_E_INVAL naming the first one: it has one of " % ! ^ & | < > ( ) or a line's end
 */
int mf_command_line_check_batch(char *const *argv, struct mf_err *err);

/**
 * mf_environment_block() - "KEY=VALUE" strings as CreateProcessW() wants them: UTF-16, sorted by key without regard to
 * case, each with a NUL, one more at the end
 * @envp: NULL-terminated; of a key that comes twice (in any case) the last one counts; entries without '=' are left out
 * @ret:  malloc'ed; @ret_units: with both NULs at the end; may be NULL
 * Return: 0, MF_E_NOMEM, MF_E_LIMIT, MF_E_SYNTAX (not UTF-8; names the key)
 */
int mf_environment_block(char *const *envp, uint16_t **ret, size_t *ret_units, struct mf_err *err);

#endif
