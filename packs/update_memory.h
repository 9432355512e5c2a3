/* SPDX-License-Identifier: Apache-2.0 */
/*
 * update_memory.h - what is kept of a source between two runs: NAME.memory below .sources
 *
 *	moonfence-source 1
 *	address https://packs.example/agents
 *	channel stable
 *	failures 2
 *	not-before 2026-11-22T12:00:00Z
 *	etag "5f2a"
 *	modified Sun, 22 Nov 2026 10:00:00 GMT
 *	index 1234
 *	(as many bytes: the file as it came)
 *
 * A memory that is damaged, or of another address or channel, is none: it saves time and nothing else.
 */
#ifndef MF_PACKS_UPDATE_MEMORY_H
#define MF_PACKS_UPDATE_MEMORY_H

#include "packs/channel.h"
#include "packs/disk.h"
#include "packs/source.h"
#include "packs/source_list.h"

struct mf_update_memory {
	uint32_t failures;
	uint64_t not_before_s; /* 0: at any time */
	struct mf_pack_validators validators;
	char *index; /* or NULL */
	size_t index_len;
};

/** mf_update_memory_read() - Below @dir; Return: 0 (also without one), MF_E_NOMEM */
int mf_update_memory_read(const char *dir, const struct mf_source_entry *source,
			  struct mf_update_memory *ret, struct mf_err *err);
/** mf_update_memory_parse() - Return: whether it is a memory of this source */
bool mf_update_memory_parse(const char *text, size_t len, const struct mf_source_entry *source,
			    struct mf_update_memory *ret);
/** mf_update_memory_write() - Return: 0, MF_E_IO, MF_E_NOMEM */
int mf_update_memory_write(struct mf_pack_disk *disk, const struct mf_source_entry *source,
			   const struct mf_update_memory *m, struct mf_err *err);
void mf_update_memory_done(struct mf_update_memory *m);

#endif
