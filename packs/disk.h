/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - how the store of installed packs changes: one writer at a time, and nothing half done after a crash
 *
 * What a name shows is whole at any moment: files and directories are written beside under names of their own (".new...",
 * which readers leave out), brought to the disk, and then renamed. Links in the store are not followed.
 */
#ifndef MF_PACKS_DISK_H
#define MF_PACKS_DISK_H

#include "packs/tree.h"

struct mf_pack_disk;

/**
 * mf_pack_disk_open() - Open the store @path for changes, made where it is missing, and wait until nobody else changes it
 * Return: 0; MF_E_PERM: it belongs to another user, or others may write to it; MF_E_IO, MF_E_NOMEM
 */
int mf_pack_disk_open(const char *path, struct mf_pack_disk **ret_disk, struct mf_err *err);
void mf_pack_disk_close(struct mf_pack_disk *d); /* NULL is fine */

/** mf_pack_disk_check() - The rights of a store that is only read; Return: 0, MF_E_NOENT, MF_E_PERM, MF_E_IO */
int mf_pack_disk_check(const char *path, struct mf_err *err);

/** mf_pack_disk_write() - Replace the file @name of the store in one step; on the disk when this returns. Return: 0, MF_E_IO */
int mf_pack_disk_write(struct mf_pack_disk *d, const char *name, const void *data, size_t len,
		       struct mf_err *err);

/** mf_pack_disk_unlink() - Remove the file @name of the store; one that is not there, or cannot be removed, is let be */
void mf_pack_disk_unlink(struct mf_pack_disk *d, const char *name);

/** mf_pack_disk_put() - Make the directory @group/@name with these files, on the disk when this returns; what has the name is replaced. Return: 0, MF_E_IO */
int mf_pack_disk_put(struct mf_pack_disk *d, const char *group, const char *name,
		     const struct mf_pack_tree *tree, struct mf_err *err);

/** mf_pack_disk_remove() - The directory @group/@name, and @group when nothing is left in it; what cannot be removed stays */
void mf_pack_disk_remove(struct mf_pack_disk *d, const char *group, const char *name);

#endif
