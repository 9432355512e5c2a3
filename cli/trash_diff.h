/* SPDX-License-Identifier: Apache-2.0 */
/* trash_diff.h - diff(1), or what does the same on Windows, on an open file and a path */
#ifndef MF_CLI_TRASH_DIFF_H
#define MF_CLI_TRASH_DIFF_H

#include "core/base/err.h"

/**
 * mf_trash_diff_run() - Print how @fd, which is closed, and the regular file at @path differ; a link there is not followed
 * Return: diff's exit status; MF_E_NOENT: there is no diff; MF_E_LIMIT: too long; MF_E_NOMEM; MF_E_IO
 */
int mf_trash_diff_run(int fd, const char *path, struct mf_err *err);

#endif
