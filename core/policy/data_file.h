/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data_file.h - data files of policies: text in memory, compiled lists of names sealed, checked and shared
 *
 * A compiled list (domain_set.h, images) of millions of names is one block of some hundred megabytes at most. It is read once, in pieces, into
 * sealed memory (base/sealed.h) and hashed on the way: what is searched later are the very bytes that were compared. The hash is
 * its name from then on. Whoever wants a file with that hash, another VM, a later generation, another runtime of the process
 * or another process, gets the same pages, and the file is not read again. What is done to the file meanwhile has no effect.
 *
 * Threads: all functions may be called by any thread.
 */
#ifndef MF_POLICY_DATA_FILE_H
#define MF_POLICY_DATA_FILE_H

#include "core/base/err.h"
#include "core/base/sha256.h"

#define MF_DATA_TEXT_MAX ((size_t)64 << 20) /* bytes of a file that is text */
#define MF_DATA_LIST_MAX \
	((size_t)256 << 20) /* of a compiled list: as much as an archive can have */

/* What a file must be. */
struct mf_file_seal {
	uint8_t digest[MF_SHA256_LEN];
	uint64_t len;
};

struct mf_data_file {
	const char *text; /* NUL-terminated after len bytes, unless it is a compiled list */
	size_t len;
};

/**
 * mf_data_file_read() - The file @name below @dir
 * @want: what it must be; NULL: anything
 * Cost: reading and hashing (7 ns a byte); for a list that somebody has already, and @want, a look into /proc at most
 * Return: 0; MF_E_BAD: not what @want says; those of mf_file_read_below()
 */
int mf_data_file_read(const char *dir, const char *name, const struct mf_file_seal *want,
		      struct mf_data_file **ret_file, struct mf_err *err);
void mf_data_file_unref(struct mf_data_file *file); /* NULL is fine */

/** mf_data_file_not_sealed() - Fill @err: DIR/NAME is not what MANIFEST says; Return: MF_E_BAD */
int mf_data_file_not_sealed(const char *dir, const char *name, struct mf_err *err);

#endif
