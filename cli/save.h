/* SPDX-License-Identifier: Apache-2.0 */
/* save.h - a file gets another content in one step: whoever reads it meanwhile has the old one or the new one, never a part */
#ifndef MF_CLI_SAVE_H
#define MF_CLI_SAVE_H

#include <moonfence/moonfence.h>
#include <stddef.h>

/**
 * mf_save_file() - Replace what an existing file holds; its mode stays (POSIX), and links to it lead to the new content
 * Return: 0; MF_E_IO with what and where in @err, the old content is there then; MF_E_NOMEM
 */
int mf_save_file(const char *path, const char *text, size_t len, struct mf_err *err);

#endif
