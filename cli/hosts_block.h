/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts_block.h - names of ours in the system's hosts file
 *
 * Each line of ours ends in the same comment, so that they are found again whoever left them, wherever they are. The file is
 * written anew and takes the place of the old one in one step, with its mode and owner; only where that cannot be (the file is
 * a mount of its own, as in containers) it is written over.
 */
#ifndef MF_CLI_HOSTS_BLOCK_H
#define MF_CLI_HOSTS_BLOCK_H

#include "core/base/err.h"

#define MF_HOSTS_BLOCK_MAX 1024 /* names */

/**
 * mf_hosts_block_write() - Make @names lead to this machine, and no others by lines of ours; none: remove all lines of ours
 * Names that are not canonical are left out. The file is not touched where nothing changes.
 * Return: 0; MF_E_IO; MF_E_LIMIT: too large a file or too many names; MF_E_NOMEM
 */
int mf_hosts_block_write(const char *path, const char *const *names, size_t cnt,
			 struct mf_err *err);

#endif
