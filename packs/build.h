/* SPDX-License-Identifier: Apache-2.0 */
/* build.h - from a pack's directory to its archive */
#ifndef MF_PACKS_BUILD_H
#define MF_PACKS_BUILD_H

#include "packs/manifest.h"

/**
 * mf_pack_build() - Make the archive of the pack in @dir
 * Depends on nothing but names and contents of its files (hidden ones, and the two names that packs themselves use, are left out).
 * @ret_data: free()d by the caller
 * Return: 0; MF_E_POLICY, MF_E_SYNTAX ... for pack.lua; MF_E_BAD for a file's name; MF_E_IO, MF_E_LIMIT, MF_E_NOMEM
 */
int mf_pack_build(const char *dir, struct mf_pack_manifest *ret_manifest, uint8_t **ret_data,
		  size_t *ret_len, struct mf_err *err);

#endif
