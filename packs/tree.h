/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - the files of a pack in memory, and which names they may have
 *
 * Names are relative and portable: components of ASCII letters, digits and "._+@=,-" with "/" between them, at most
 * MF_PACK_PATH_MAX bytes and MF_PACK_DEPTH_MAX components; none begins or ends with ".", none is a device of Windows, and no
 * two are the same without regard to case. So a name means one file on every system, and none outside of the pack.
 */
#ifndef MF_PACKS_TREE_H
#define MF_PACKS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define MF_PACK_PATH_MAX  99
#define MF_PACK_DEPTH_MAX 8
#define MF_PACK_FILES_MAX 4096
#define MF_PACK_BYTES_MAX ((size_t)256 << 20) /* of all files together, and of an archive */

struct mf_pack_file {
	char path[MF_PACK_PATH_MAX + 1];
	const uint8_t *data;
	size_t len;
	void *owned; /* what to free() with the tree, or NULL: @data belongs to somebody else */
};

struct mf_pack_tree {
	struct mf_pack_file *files; /* by the bytes of their paths, once it is sealed */
	size_t cnt, bytes;
};

void mf_pack_tree_done(struct mf_pack_tree *tree);

/**
 * mf_pack_tree_add() - One more file
 * @owned: becomes the tree's, also on failure
 * Return: 0; MF_E_BAD: no name for a file of a pack; MF_E_LIMIT; MF_E_NOMEM
 */
int mf_pack_tree_add(struct mf_pack_tree *tree, const char *path, const void *data, size_t len,
		     void *owned, struct mf_err *err);

/**
 * mf_pack_tree_seal() - Sort by path and refuse what some system could not keep apart
 * Return: 0; MF_E_BAD: one path twice, but for case; one is a file and another's directory
 */
int mf_pack_tree_seal(struct mf_pack_tree *tree, struct mf_err *err);

/** mf_pack_tree_read() - All files below @dir but hidden ones, sealed; Return: 0, MF_E_BAD, MF_E_IO, MF_E_PERM, MF_E_LIMIT, MF_E_NOMEM */
int mf_pack_tree_read(const char *dir, struct mf_pack_tree *ret, struct mf_err *err);

/** mf_pack_tree_find() - In a sealed tree; NULL: none */
const struct mf_pack_file *mf_pack_tree_find(const struct mf_pack_tree *tree, const char *path);

#endif
