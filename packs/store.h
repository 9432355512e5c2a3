/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - installed packs: installing, removing and rolling back, each in one step
 *
 *	mf_store_open(path, &options, &store, &err);            // nobody else changes it until it is closed
 *	mf_store_install(store, archives, cnt, &err);           // all of them or none
 *	mf_store_rollback(store, 0, &err);                      // back to what was in force before
 *	mf_store_close(store);
 *
 * The store's directory has packs.state (core/policy/pack_state.h), trust.yaml and NAME/VERSION-HASH16/ for each pack: its
 * files, MANIFEST and SIGNATURE. What is in force changes by the replacement of packs.state alone.
 *
 * An archive comes in when a key of the trust store signed it for its name and tier; when it is no older than the newest
 * that was ever installed of its name and channel, and the same archive when it is as new; when all packs in force then have what they require; and
 * when all of them load together and their own tests pass. Nothing of an archive is read before its signature holds.
 */
#ifndef MF_PACKS_STORE_H
#define MF_PACKS_STORE_H

#include "core/policy/pack_state.h"
#include "packs/manifest.h"
#include "packs/trust.h"

#define MF_STORE_TRUST_FILE   "trust.yaml"
#define MF_STORE_SOURCES_FILE "sources.yaml"
#define MF_STORE_SIGNATURE    "SIGNATURE"
#define MF_STORE_TOGETHER     16 /* archives of one installation */

struct mf_store_options {
	const char *stdlib_dir; /* for loading the packs; NULL: the installed one */
	uint64_t now_s;		/* for expiry; 0: the system's clock */
	bool switch_channel;	/* a pack may come from another channel than the one in force */
	bool read_only; /* only looked at: nothing is locked, made or changed; a store that is not there is empty */
};

struct mf_store;

/** mf_store_open() - @options are copied; Return: 0; MF_E_PERM, MF_E_BAD, MF_E_SYNTAX (state, trust), MF_E_IO, MF_E_NOMEM */
int mf_store_open(const char *path, const struct mf_store_options *options,
		  struct mf_store **ret_store, struct mf_err *err);
void mf_store_close(struct mf_store *store); /* NULL is fine */

/* What is in the store; changes by the functions below only. */
const struct mf_pack_state *mf_store_state(const struct mf_store *store);
struct mf_trust *mf_store_trust(struct mf_store *store); /* to be changed, and written then */

/** mf_store_write_trust() - Return: 0, MF_E_IO, MF_E_NOMEM */
int mf_store_write_trust(struct mf_store *store, struct mf_err *err);

/** mf_store_write_sources() - sources.yaml; Return: 0, MF_E_IO */
int mf_store_write_sources(struct mf_store *store, const char *text, size_t len,
			   struct mf_err *err);

/* An archive and its signature's file, as bytes. */
struct mf_store_archive {
	const char *name; /* for messages */
	const uint8_t *data;
	size_t len;
	const char *sig;
	size_t sig_len;
	/* What it has to be, as an index says; NULL: whatever it is. */
	const char *pack, *version, *channel;
};

/**
 * mf_store_verify() - Whether the trust store lets this archive in by its signature, and what it is
 * @ret_tree: its files, pointing into a->data; NULL if they are not wanted
 * Return: 0; MF_E_PERM, MF_E_BAD, MF_E_NOMEM
 */
int mf_store_verify(const struct mf_trust *trust, uint64_t now_s, const struct mf_store_archive *a,
		    struct mf_pack_manifest *ret_manifest, struct mf_pack_tree *ret_tree,
		    const struct mf_trust_key **ret_key, struct mf_err *err);

/**
 * mf_store_install() - All archives together, as one generation
 * Return: 0; 1: all of them are in force already; MF_E_PERM: signature, trust, an older version; MF_E_BAD: the archive;
 *         MF_E_NOENT: something that a pack requires; those of mf_runtime_load(); MF_E_IO, MF_E_FULL, MF_E_NOMEM
 */
int mf_store_install(struct mf_store *store, const struct mf_store_archive *archives, size_t cnt,
		     struct mf_err *err);

/* What is to be in force: for all sessions, and for some of them first. */
struct mf_store_change {
	const struct mf_store_archive *archives; /* for all */
	size_t cnt;
	const struct mf_store_archive *canary; /* for @percent of the sessions */
	size_t canary_cnt;
	uint32_t percent; /* 1 to 99; 0: as it is */
	/* Packs that a canary of before has no longer, beside those of @archives. */
	const char (*leave)[MF_PACK_NAME_MAX + 1];
	size_t leave_cnt;
	const struct mf_pack_state_source
		*source; /* whose index says so, remembered in the same step; NULL: nobody's */
};

/**
 * mf_store_apply() - All of it together, or nothing
 * A canary's archives are let in as others are; its versions count as installed (and older ones as old) when it is promoted.
 * Where a canary runs, it goes on over what becomes active.
 * Return: 0; 1: so it is already; as mf_store_install()
 */
int mf_store_apply(struct mf_store *store, const struct mf_store_change *change,
		   struct mf_err *err);

/**
 * mf_store_promote() - Put the canary in force for all sessions; or @percent (1 to 99) of them, without making it active
 * Return: 0; MF_E_NOENT: there is none; those of mf_runtime_load(); MF_E_IO ...
 */
int mf_store_promote(struct mf_store *store, uint32_t percent, struct mf_err *err);

/** mf_store_remove() - Without this pack, which no other one may require; Return: 0, MF_E_NOENT, MF_E_IO ... */
int mf_store_remove(struct mf_store *store, const char *name, struct mf_err *err);

/**
 * mf_store_rollback() - Back to a generation that was in force before; a canary ends by that
 * @number: 0: while there is a canary, only that one ends; else the one that the active one came from
 * Return: 0; MF_E_NOENT: there is none; MF_E_IO ...
 */
int mf_store_rollback(struct mf_store *store, uint32_t number, struct mf_err *err);

/**
 * mf_store_check() - Whether an installed pack is still what was signed: its archive is made again from its files
 * Return: 0; MF_E_PERM: changed, or its key counts no more; MF_E_BAD, MF_E_IO, MF_E_NOMEM
 */
int mf_store_check(struct mf_store *store, const struct mf_pack_entry *e, struct mf_err *err);

#endif
