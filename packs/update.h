/* SPDX-License-Identifier: Apache-2.0 */
/*
 * update.h - what a source's channel says, carried out
 *
 * How it works
 *
 * The store is read, the source is asked without holding up anybody who changes the store, and what it gave is applied in one step
 * (mf_store_apply()), which looks at everything again. What is kept of a source between two runs is a file of its own below
 * ".sources" in the store: validators and index (so that "nothing is new" costs a few hundred bytes), how often it failed and when it is asked
 * again; and the beginning of an archive that did not come to its end. None of it is believed: an index is checked from its signature on each time.
 *
 * A source that cannot be had is left alone for a time: as long as it says (Retry-After, a day at most), or else a minute, twice as long
 * after each further failure, up to six hours; of that a random part of a half, so that a thousand machines do not come back at once.
 */
#ifndef MF_PACKS_UPDATE_H
#define MF_PACKS_UPDATE_H

#include "packs/channel.h"
#include "packs/source.h"
#include "packs/source_list.h"
#include "packs/store.h"

#define MF_UPDATE_DIR	      ".sources"
#define MF_UPDATE_BYTES_MAX   ((size_t)512 << 20) /* of all archives of one update */
#define MF_UPDATE_WAIT_S      60
#define MF_UPDATE_WAIT_MAX_S  (6 * 3600)
#define MF_UPDATE_RETRY_MAX_S (24 * 3600)

struct mf_update_options {
	bool check; /* only find out what is new; the index is fetched, nothing is installed */
	bool force; /* ask a source that is to be left alone, and carry out an index again */
	uint32_t
		percent; /* what is new comes as a canary for so many sessions of a hundred; 0: as the index says */
	uint32_t timeout_s; /* that one file may take; 0: MF_PACK_SOURCE_TIMEOUT_S */
};

struct mf_update_item {
	char name[MF_PACK_NAME_MAX + 1], version[MF_SEMVER_TEXT_MAX + 1];
	uint32_t percent; /* of a canary; 0: for all */
};

struct mf_update_result {
	uint32_t number; /* of the index; 0: the source is one archive */
	bool changed;	 /* or, with `check`, would have changed */
	struct mf_update_item items[2 * MF_CHANNEL_PACKS_MAX];
	size_t item_cnt;
};

/** mf_update_wait() - Seconds until a source is asked again; @failures: 1 for the first; @random: any number */
uint64_t mf_update_wait(unsigned failures, uint64_t retry_after_s, uint32_t random);

/**
 * mf_update() - Ask one source of the store at @path and do what its channel says
 * Return: 0; MF_E_AGAIN: it failed, and is to be left alone until later; those of mf_pack_source_fetch(), mf_channel_open(),
 *         mf_store_apply(), each with the source's name
 */
int mf_update(const char *path, const struct mf_store_options *store_options,
	      const struct mf_source_entry *source, const struct mf_update_options *options,
	      struct mf_update_result *ret, struct mf_err *err);

#endif
