/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed.h - bytes in memory that nobody changes, cuts or takes away any more, whatever happens to the file they came from
 *
 *	mf_sealed_begin("moonfence-list-9f86d0...", &b, &err);
 *	mf_sealed_add(b, piece, len, &err);                 // as often as needed
 *	mf_sealed_end(b, &sealed, &err);                    // sealed->data, read-only
 *
 * A file that is mapped can be truncated by whoever may write it, which ends each reader by a signal. So files are copied once.
 * On Linux the copy is a memory file with all seals (memfd_create(2), F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL): the kernel
 * refuses to write, cut or extend it to everybody, this process included; it is mapped with its pages present, so that no
 * reader waits for one. Other processes of the same user, and root's, find it by its title and map the same pages. Elsewhere it is private memory.
 */
#ifndef MF_BASE_SEALED_H
#define MF_BASE_SEALED_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct mf_sealed {
	const uint8_t *data; /* at the beginning of a cache line at least; NULL where len is 0 */
	size_t len;
	int fd; /* of the memory file, kept so that others find it; -1: private memory */
};

struct mf_sealed_builder;

/** mf_sealed_begin() - @title: at most 100 letters, digits and "-"; Return: 0, MF_E_NOMEM */
int mf_sealed_begin(const char *title, struct mf_sealed_builder **ret_b, struct mf_err *err);
/** mf_sealed_add() - Return: 0, MF_E_NOMEM; the builder stays the caller's */
int mf_sealed_add(struct mf_sealed_builder *b, const void *data, size_t len, struct mf_err *err);
/** mf_sealed_end() - Frees the builder, also on failure; Return: 0, MF_E_NOMEM */
int mf_sealed_end(struct mf_sealed_builder *b, struct mf_sealed **ret_s, struct mf_err *err);
void mf_sealed_cancel(struct mf_sealed_builder *b); /* NULL is fine */
void mf_sealed_free(struct mf_sealed *s);	    /* NULL is fine */

/**
 * mf_sealed_find() - What another process has sealed under this title
 * @len:   only with so many bytes
 * @check: whether the bytes are the right ones: a title proves nothing. Called on what cannot change any more.
 * Looks at no more than 20,000 open files of the processes that it may look into, and at four candidates.
 * Return: 0; MF_E_NOENT, also where the system has no such thing
 */
int mf_sealed_find(const char *title, size_t len,
		   bool (*check)(void *ctx, const uint8_t *data, size_t len), void *ctx,
		   struct mf_sealed **ret_s);

#endif
