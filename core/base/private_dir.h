/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private_dir.h - a directory for secrets: only its owner may look into it, and what others could have put there is refused
 *
 *	mf_private_dir_open("/var/lib/moonfence/ca", true, &d, &err);
 *	mf_private_dir_lock(d, &err);                 // against a second process, until it is closed
 *	mf_private_dir_write(d, "key.new", text, len, &err);
 *	mf_private_dir_rename(d, "key.new", "key", &err);
 *	mf_private_dir_close(d);
 *
 * Linux, macOS: the directory has mode 0700 and files 0600, both belong to the effective user; links are not followed, neither
 * at the directory's last component nor inside. Windows: the access lists name nobody but the owner, the system and the
 * administrators; reparse points are not followed. Names of files are single components.
 *
 * A handle belongs to one thread. Every error is a sentence that names the file.
 */
#ifndef MF_BASE_PRIVATE_DIR_H
#define MF_BASE_PRIVATE_DIR_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

struct mf_private_dir;

/**
 * mf_private_dir_open() - Open @path, and make it when @make, with the directories above it
 * Return: 0; MF_E_NOENT; MF_E_PERM: a link, somebody else's, or open to others; MF_E_IO; MF_E_NOMEM
 */
int mf_private_dir_open(const char *path, bool make, struct mf_private_dir **ret_dir,
			struct mf_err *err);
void mf_private_dir_close(struct mf_private_dir *dir); /* NULL is fine */

/** mf_private_dir_lock() - Wait until no other handle has the lock, then have it until the close; Return: 0, MF_E_IO */
int mf_private_dir_lock(struct mf_private_dir *dir, struct mf_err *err);

/**
 * mf_private_dir_read() - The bytes of the file @name in @buf
 * Return: 0; MF_E_NOENT; MF_E_PERM: no regular file, somebody else's, or open to others; MF_E_LIMIT: more than @size
 * bytes; MF_E_IO
 */
int mf_private_dir_read(const struct mf_private_dir *dir, const char *name, void *buf, size_t size,
			size_t *ret_len, struct mf_err *err);

/** mf_private_dir_write() - A new file @name, on the disk when this returns; what had the name before is removed; MF_E_IO */
int mf_private_dir_write(const struct mf_private_dir *dir, const char *name, const void *data,
			 size_t len, struct mf_err *err);

/** mf_private_dir_rename() - In one step, over a file that is there; Return: 0, MF_E_NOENT, MF_E_IO */
int mf_private_dir_rename(const struct mf_private_dir *dir, const char *from, const char *to,
			  struct mf_err *err);

/** mf_private_dir_remove() - Nothing happens where there is none; Return: 0, MF_E_IO */
int mf_private_dir_remove(const struct mf_private_dir *dir, const char *name, struct mf_err *err);

/** mf_private_dir_access() - How it is kept, for people: "mode 0600"; Return: @buf, "" where nobody can say */
const char *mf_private_dir_access(const struct mf_private_dir *dir, const char *name, char *buf,
				  size_t size);

#endif
