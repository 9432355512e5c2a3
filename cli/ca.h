/* SPDX-License-Identifier: Apache-2.0 */
/* ca.h - what the subcommands of "moonfence ca" share */
#ifndef MF_CLI_CA_H
#define MF_CLI_CA_H

#include "cli/ca_stores.h"
#include "cli/paths.h"
#include "core/base/private_dir.h"

/** mf_ca_path() - @dir, or the default directory where it is NULL; Return: in @buf, or NULL, said on stderr */
const char *mf_ca_path(const char *dir, char buf[MF_PATH_MAX]);

/**
 * mf_ca_load() - The authority in force in @path, whatever its dates
 * @ret_dir: open and locked
 * Return: 0, or an error whose sentence names the file and what to do
 */
int mf_ca_load(const char *path, struct mf_private_dir **ret_dir, struct mf_ca_cert *ret,
	       struct mf_err *err);

/** mf_ca_fail() - Print an error on stderr; Return: MF_EXIT_FAULT */
int mf_ca_fail(const struct mf_err *err);

#endif
