/* SPDX-License-Identifier: Apache-2.0 */
/* trash.h - what the subcommands of 'moonfence trash' and 'moonfence undo' share */
#ifndef MF_CLI_TRASH_H
#define MF_CLI_TRASH_H

#include <jansson.h>

#include "cli/paths.h"
#include "fs/trash.h"

/**
 * mf_cmd_trash_open() - The trash @dir, or the one for what is lost in the working directory; what is wrong goes to stderr
 * @missing: told that there is none yet, which is no fault then; may be NULL
 * Return: NULL where it cannot be opened
 */
struct mf_trash *mf_cmd_trash_open(const char *dir, bool *missing);

/** mf_cmd_trash_path() - @path made absolute, "." and ".." taken out by their text; Return: @buf, or NULL: too long */
const char *mf_cmd_trash_path(const char *path, char buf[MF_PATH_MAX]);

/**
 * mf_cmd_trash_what() - What an operand means: a token, a name in files/, or a path, which is made absolute
 * Return: it, in @buf or not; NULL: too long
 */
const char *mf_cmd_trash_what(struct mf_trash *trash, const char *operand, char buf[MF_PATH_MAX]);

/**
 * mf_cmd_trash_time() - A moment: "2h" (ago; s, m, h, d, w), "2026-11-21", "2026-11-21T22:30:00" in local time or, with Z behind it,
 * as lists have it, "@SECONDS"
 * Return: whether @text is one
 */
bool mf_cmd_trash_time(const char *text, uint64_t *ret_ns);
/** mf_cmd_trash_span() - A length of time, "90s", "12h", "7d", "2w", in seconds; Return: whether @text is one */
bool mf_cmd_trash_span(const char *text, uint64_t *ret_s);
/** mf_cmd_trash_size() - Bytes, "500", "10K", "5M", "2G", by 1024; Return: whether @text is one */
bool mf_cmd_trash_size(const char *text, uint64_t *ret);
bool mf_cmd_trash_count(const char *text, uint64_t *ret);

/** mf_cmd_trash_fail() - Report @err on stderr; Return: MF_EXIT_FAULT */
int mf_cmd_trash_fail(const struct mf_err *err);

/** mf_cmd_trash_line() - @text for one line of a terminal, line ends shown as \x0a, in @buf (cut to its size); Return: @buf */
const char *mf_cmd_trash_line(const char *text, char *buf, size_t size);
/** mf_cmd_trash_when() - UTC, "2026-11-21T22:30:00Z"; "" for 0 */
const char *mf_cmd_trash_when(uint64_t ns, char buf[32]);
json_t *mf_cmd_trash_json(const struct mf_trash_entry *e);

#endif
