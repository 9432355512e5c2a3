/* SPDX-License-Identifier: Apache-2.0 */
/* program_win32.h - which file a command's name means */
#ifndef MF_CAPTURE_PROGRAM_WIN32_H
#define MF_CAPTURE_PROGRAM_WIN32_H

#include <wchar.h>

#include "core/base/err.h"

/**
 * mf_program_find() - The file of a command, as an absolute path where PATH has such
 * A name with a folder (or a drive) is taken as it is; one without is looked up in the absolute folders of PATH. Where it
 * has no ending, those of PATHEXT are tried in order, else ".com", ".exe", ".bat", ".cmd".
 * @ret: malloc'ed; Return: 0, MF_E_NOENT, MF_E_NOMEM, MF_E_SYNTAX
 */
int mf_program_find(const char *name, wchar_t **ret, struct mf_err *err);

#endif
