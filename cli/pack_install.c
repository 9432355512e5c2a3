/* SPDX-License-Identifier: Apache-2.0 */
/* pack_install.c - moonfence pack install, remove, rollback, promote: what changes the packs in force */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/pack.h"

enum { OPT_STORE = 1, OPT_SIGNATURE, OPT_SWITCH, OPT_TO, OPT_CANARY };

/* Close the store; Return: the exit status of what was done there */
static int end(struct mf_store *store, int r, const struct mf_err *err)
{
	int status = r < 0 ? mf_pack_fail(err) : MF_EXIT_GOOD;

	if (r >= 0)
		mf_pack_print_generation(mf_store_state(store));
	mf_store_close(store);
	return status;
}

/* --- install ------------------------------------------------------------------------------------------------------ */

static const struct mf_option install_options[] = {
	{ OPT_STORE, 's', "store", "DIR", MF_PACK_STORE_OPTION_HELP },
	{ OPT_SIGNATURE, 0, "signature", "FILE",
	  "the signature of the one archive (default: ARCHIVE.minisig or ARCHIVE.sig)" },
	{ OPT_SWITCH, 0, "switch-channel", NULL,
	  "the pack may come from another channel than before" },
	{ OPT_CANARY, 'c', "canary", "PERCENT",
	  "first for so many sessions of a hundred only: 10%" },
};

static const struct mf_usage install_usage = {
	.name = "pack install",
	.synopsis = "[OPTION]... ARCHIVE...",
	.text = "Let signed archives in and put them in force, all of them together or none. Each "
		"needs the\n"
		"signature of a key that 'pack trust' knows, may not be older than what was "
		"installed before, and\n"
		"must have what it requires; all packs together must load, and their tests pass. "
		"Programs that\n"
		"use the store go over to it by themselves. With --canary only some sessions load "
		"it, chosen by\n"
		"their names: 'pack promote' puts it in force for all, 'pack rollback' ends it.\n"
		"Exit status: 0 good, 1 refused (nothing has changed), 2 wrong usage.\n",
	.example = "  moonfence pack install corp-egress-1.4.2.mfpack\n"
		   "  moonfence run --policy pack:corp-egress -- curl https://api.example/\n",
	.options = install_options,
	.option_cnt = MF_ARRAY_SIZE(install_options),
};

static int read_inputs(const struct mf_options *o, const char *sig_path, struct mf_pack_input *in,
		       struct mf_store_archive *archives, struct mf_err *err)
{
	int r = 0;

	for (int i = 0; r == 0 && i < o->operand_cnt; i++) {
		r = mf_pack_input_read(o->operands[i], sig_path, &in[i], err);
		archives[i] = in[i].archive;
	}
	return r;
}

int mf_cmd_pack_install(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&install_usage, argc, argv);
	struct mf_pack_input in[MF_STORE_TOGETHER] = { 0 };
	struct mf_store_archive archives[MF_STORE_TOGETHER];
	const char *value, *path = NULL, *sig = NULL;
	struct mf_store *store = NULL;
	struct mf_err err = { 0 };
	struct mf_store_change change = { 0 };
	bool switch_channel = false;
	uint32_t percent = 0;
	int opt, status, r;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_STORE)
			path = value;
		else if (opt == OPT_SIGNATURE)
			sig = value;
		else if (opt == OPT_CANARY) {
			percent = mf_pack_percent(value);
			if (!percent)
				return mf_options_wrong(&install_usage,
							"--canary: 1%% to 99%%, not '%s'", value);
		} else
			switch_channel = true;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt < 1 || o.operand_cnt > MF_STORE_TOGETHER)
		return mf_options_wrong(&install_usage, "which archives? Give 1 to %d",
					MF_STORE_TOGETHER);
	if (sig && o.operand_cnt != 1)
		return mf_options_wrong(&install_usage, "--signature goes with one archive");
	r = read_inputs(&o, sig, in, archives, &err);
	status = r < 0 ? mf_pack_fail(&err)
		       : mf_pack_open(&install_usage, path, switch_channel, &store);
	if (status == 0) {
		change.percent = percent;
		*(percent ? &change.canary : &change.archives) = archives;
		*(percent ? &change.canary_cnt : &change.cnt) = (size_t)o.operand_cnt;
		r = mf_store_apply(store, &change, &err);
		if (r > 0)
			printf("in force already\n");
		status = end(store, r, &err);
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(in); i++)
		mf_pack_input_done(&in[i]);
	return status;
}

/* --- remove ------------------------------------------------------------------------------------------------------- */

static const struct mf_option remove_options[] = {
	{ OPT_STORE, 's', "store", "DIR", MF_PACK_STORE_OPTION_HELP },
};

static const struct mf_usage remove_usage = {
	.name = "pack remove",
	.synopsis = "[--store DIR] NAME",
	.text = "Take a pack out of force. 'pack rollback' brings it back; an older version of it "
		"is still\n"
		"refused later.\n"
		"Exit status: 0 good, 1 refused: there is none, or another pack requires it, 2 "
		"wrong usage.\n",
	.example = "  moonfence pack remove corp-egress\n",
	.options = remove_options,
	.option_cnt = MF_ARRAY_SIZE(remove_options),
};

int mf_cmd_pack_remove(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&remove_usage, argc, argv);
	const char *value, *path = NULL;
	struct mf_store *store;
	struct mf_err err = { 0 };
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0)
		path = value;
	if (opt < 0)
		return o.status;
	if (o.operand_cnt != 1)
		return mf_options_wrong(&remove_usage, "which pack? Give one NAME");
	status = mf_pack_open(&remove_usage, path, false, &store);
	return status ? status : end(store, mf_store_remove(store, o.operands[0], &err), &err);
}

/* --- rollback ----------------------------------------------------------------------------------------------------- */

static const struct mf_option rollback_options[] = {
	{ OPT_STORE, 's', "store", "DIR", MF_PACK_STORE_OPTION_HELP },
	{ OPT_TO, 't', "to", "NUMBER", "that generation ('pack list --all'), forwards too" },
};

static const struct mf_usage rollback_usage = {
	.name = "pack rollback",
	.synopsis = "[--store DIR] [--to NUMBER]",
	.text = "Put in force what was in force before the last 'install' or 'remove': all packs "
		"of that moment,\n"
		"in one step. Once more goes one more back. They must still load, and their tests "
		"pass.\n"
		"While a canary runs, 'rollback' ends that and nothing else.\n"
		"Exit status: 0 good, 1 there is nothing to go back to, 2 wrong usage.\n",
	.example = "  moonfence pack rollback\n",
	.options = rollback_options,
	.option_cnt = MF_ARRAY_SIZE(rollback_options),
};

int mf_cmd_pack_rollback(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&rollback_usage, argc, argv);
	const char *value, *path = NULL;
	struct mf_store *store;
	struct mf_err err = { 0 };
	uint32_t number = 0;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		size_t len = opt == OPT_TO ? strspn(value, "0123456789") : 0;

		if (opt == OPT_STORE) {
			path = value;
			continue;
		}
		number = len && len <= 9 && !value[len] ? (uint32_t)strtoul(value, NULL, 10) : 0;
		if (!number)
			return mf_options_wrong(&rollback_usage,
						"--to: '%s' is no generation's number", value);
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&rollback_usage,
					"'%s' is too much: all packs are rolled back together",
					o.operands[0]);
	status = mf_pack_open(&rollback_usage, path, false, &store);
	return status ? status : end(store, mf_store_rollback(store, number, &err), &err);
}

/* --- promote ------------------------------------------------------------------------------------------------------ */

static const struct mf_option promote_options[] = {
	{ OPT_STORE, 's', "store", "DIR", MF_PACK_STORE_OPTION_HELP },
	{ OPT_CANARY, 'c', "canary", "PERCENT", "it stays a canary, of so many sessions" },
};

static const struct mf_usage promote_usage = {
	.name = "pack promote",
	.synopsis = "[--store DIR] [--canary PERCENT]",
	.text = "Put the canary in force for all sessions, in one step; or, with --canary, for "
		"another part of\n"
		"them: those that load it at 10% do so at 50%.\n"
		"Exit status: 0 good, 1 there is no canary, or it does not load any more, 2 wrong "
		"usage.\n",
	.example = "  moonfence pack promote --canary 50%\n  moonfence pack promote\n",
	.options = promote_options,
	.option_cnt = MF_ARRAY_SIZE(promote_options),
};

int mf_cmd_pack_promote(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&promote_usage, argc, argv);
	const char *value, *path = NULL;
	struct mf_store *store;
	struct mf_err err = { 0 };
	uint32_t percent = 0;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_STORE) {
			path = value;
			continue;
		}
		percent = mf_pack_percent(value);
		if (!percent)
			return mf_options_wrong(&promote_usage, "--canary: 1%% to 99%%, not '%s'",
						value);
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&promote_usage,
					"'%s' is too much: all packs of the canary are promoted "
					"together",
					o.operands[0]);
	status = mf_pack_open(&promote_usage, path, false, &store);
	return status ? status : end(store, mf_store_promote(store, percent, &err), &err);
}
