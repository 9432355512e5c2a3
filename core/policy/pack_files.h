/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack_files.h - which files an installed pack has, by its MANIFEST: what is loaded is compared with what was signed
 *
 * When a pack is installed, its signature covers MANIFEST and MANIFEST each file. The state of the store (pack_state.h) keeps
 * MANIFEST's hash, so that a load needs no signature: state, MANIFEST, file.
 */
#ifndef MF_POLICY_PACK_FILES_H
#define MF_POLICY_PACK_FILES_H

#include "core/policy/data_file.h"

#define MF_PACK_FILES_NAME "MANIFEST"

struct mf_pack_files;

/**
 * mf_pack_files_read() - Read @dir/MANIFEST
 * @hash: its SHA-256 in hexadecimal; "": not known (installed by a version that did not keep it)
 * Return: 0; MF_E_BAD: not with this hash, or none; those of mf_file_read_below()
 */
int mf_pack_files_read(const char *dir, const char *hash, struct mf_pack_files **ret_files,
		       struct mf_err *err);
void mf_pack_files_free(struct mf_pack_files *files); /* NULL is fine */

/** mf_pack_files_find() - What the file @name must be; NULL: the pack has none of that name */
const struct mf_file_seal *mf_pack_files_find(const struct mf_pack_files *files, const char *name);

/** mf_pack_files_check() - Whether these are the bytes of @name; @files NULL: of no installed pack. Return: 0, MF_E_BAD with the path */
int mf_pack_files_check(const struct mf_pack_files *files, const char *dir, const char *name,
			const void *data, size_t len, struct mf_err *err);

#endif
