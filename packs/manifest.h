/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h - MANIFEST, the file of a pack that says what the pack is and what belongs to it
 *
 *	moonfence-pack 1
 *	name corp-egress
 *	version 1.4.2
 *	channel stable
 *	tier mandatory
 *	order 10
 *	requires base-rules ^1.2
 *	file 9f86d081884c7d65... 1234 data/trackers.mfset
 *
 * Lines in exactly this order, "requires" and "file" as often as needed and by name; one blank between words, LF at the end of
 * each. Written by mf_pack_manifest_make() from pack.lua; what is read must be what would have been written.
 */
#ifndef MF_PACKS_MANIFEST_H
#define MF_PACKS_MANIFEST_H

#include "core/base/strbuf.h"
#include "core/policy/pack.h"
#include "core/policy/semver.h"
#include "packs/tree.h"

#define MF_PACK_MANIFEST	"MANIFEST"
#define MF_PACK_MANIFEST_MAX	((size_t)1 << 20)
#define MF_PACK_DEFAULT_CHANNEL "stable"
#define MF_PACK_HASH_ROOM	65 /* SHA-256 as 64 hexadecimal digits, and the NUL */

struct mf_pack_manifest {
	char name[MF_PACK_NAME_MAX + 1], version[MF_SEMVER_TEXT_MAX + 1];
	char channel[MF_PACK_NAME_MAX + 1];
	bool mandatory;
	int64_t order;
	struct mf_semver semver;
	struct mf_pack_require requires[MF_PACK_REQUIRES_MAX];
	size_t require_cnt;
};

/** mf_pack_hash() - SHA-256 of @data in lower-case hexadecimal; Return: 0, MF_E_NOMEM */
int mf_pack_hash(const void *data, size_t len, char ret[MF_PACK_HASH_ROOM]);

/**
 * mf_pack_manifest_of() - What pack.lua says, checked as an archive needs it: a name and a version, a channel
 * Return: 0; MF_E_POLICY with the file
 */
int mf_pack_manifest_of(const struct mf_pack *pack, const char *file, struct mf_pack_manifest *ret,
			struct mf_err *err);

/** mf_pack_manifest_write() - The text, with the hashes of @tree's files (but not of a MANIFEST); Return: 0, MF_E_NOMEM, MF_E_LIMIT */
int mf_pack_manifest_write(const struct mf_pack_manifest *m, const struct mf_pack_tree *tree,
			   struct mf_strbuf *out, struct mf_err *err);

/**
 * mf_pack_manifest_read() - Read the MANIFEST of @tree and compare every file with it
 * @file: for messages
 * Return: 0; MF_E_BAD with the line: malformed, a file that is not listed, missing, or another; MF_E_NOMEM
 */
int mf_pack_manifest_read(const struct mf_pack_tree *tree, const char *file,
			  struct mf_pack_manifest *ret, struct mf_err *err);

#endif
