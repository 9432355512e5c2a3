/* SPDX-License-Identifier: Apache-2.0 */
/* pack.h - what the subcommands of 'moonfence pack' share: the store's place, reading and writing files */
#ifndef MF_CLI_PACK_H
#define MF_CLI_PACK_H

#include "cli/options.h"
#include "cli/paths.h"
#include "packs/store.h"

#define MF_PACK_STORE_OPTION_HELP \
	"the store of installed packs (default: this user's, root's for root)"

/* An archive and its signature, as read from files. */
struct mf_pack_input {
	struct mf_store_archive archive;
	char *data, *sig;
};

/**
 * mf_pack_input_read() - Read FILE and the signature beside it: @sig_path, or else FILE.minisig or FILE.sig
 * Return: 0; MF_E_NOENT: one of them is not there; MF_E_IO, MF_E_LIMIT, MF_E_NOMEM; MF_E_UNSUPPORTED: no file, but an address
 */
int mf_pack_input_read(const char *path, const char *sig_path, struct mf_pack_input *ret,
		       struct mf_err *err);
void mf_pack_input_done(struct mf_pack_input *in);

/** mf_pack_read_key() - A public key's file, minisign's or agentsh's; Return: 0; as mf_file_read(), mf_public_key_parse() */
int mf_pack_read_key(const char *path, struct mf_public_key *ret, struct mf_err *err);

/** mf_pack_read_secret() - A secret key's file; mf_secret_key_done() forgets it. Return: 0; as mf_file_read(), mf_secret_key_parse() */
int mf_pack_read_secret(const char *path, struct mf_secret_key *ret, struct mf_err *err);

/** mf_pack_percent() - "10%" or "10", 1 to 99; 0 for anything else */
uint32_t mf_pack_percent(const char *text);

/** mf_pack_output() - Write a file, whole or not at all; Return: 0, MF_E_IO, MF_E_LIMIT */
int mf_pack_output(const char *path, const void *data, size_t len, struct mf_err *err);

/**
 * mf_pack_open() - Open the store at @path, or the default one where that is NULL
 * Return: 0; else an exit status, after it was told
 */
int mf_pack_open(const struct mf_usage *usage, const char *path, bool switch_channel,
		 struct mf_store **ret_store);

/** mf_pack_open_to_read() - The same where nothing is changed: no lock, no right to write; a store that is not there is empty */
int mf_pack_open_to_read(const struct mf_usage *usage, const char *path,
			 struct mf_store **ret_store);

/** mf_pack_store_options() - How the store is opened here; @stdlib has MF_PATH_MAX bytes */
struct mf_store_options mf_pack_store_options(bool switch_channel, char *stdlib);

/** mf_pack_place() - @path, or the default store's in @buf (MF_PATH_MAX bytes); NULL after it was told that nobody knows */
const char *mf_pack_place(const struct mf_usage *usage, const char *path, char *buf);

/** mf_pack_print_generation() - "generation 3: NAME VERSION, ...", and the canary's */
void mf_pack_print_generation(const struct mf_pack_state *state);

/** mf_pack_fail() - Tell @err; Return: the exit status: wrong usage for MF_E_INVAL, else a fault */
int mf_pack_fail(const struct mf_err *err);

#endif
