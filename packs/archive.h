/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive.h - the archive of a pack: a tar file (POSIX ustar) of which there is exactly one for given files
 *
 * Regular files only, by the bytes of their paths; mode 0644, no owner, no times, nothing compressed; two blocks of zeros at the
 * end and nothing behind them. The reader takes nothing else: each header must be the very bytes that the writer would
 * have written for that path and size. So there are no links, devices, directories, extensions or second readings to be
 * careful about, and whoever has the files can make the archive again and check its signature.
 */
#ifndef MF_PACKS_ARCHIVE_H
#define MF_PACKS_ARCHIVE_H

#include "packs/tree.h"

/** mf_pack_archive_write() - @tree is sealed; *ret_data is free()d by the caller. Return: 0, MF_E_LIMIT, MF_E_NOMEM */
int mf_pack_archive_write(const struct mf_pack_tree *tree, uint8_t **ret_data, size_t *ret_len,
			  struct mf_err *err);

/**
 * mf_pack_archive_read() - The files of an archive, sealed; they point into @data
 * Check its signature before. Return: 0; MF_E_BAD with the offset; MF_E_LIMIT, MF_E_NOMEM
 */
int mf_pack_archive_read(const uint8_t *data, size_t len, struct mf_pack_tree *ret,
			 struct mf_err *err);

#endif
