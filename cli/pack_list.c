/* SPDX-License-Identifier: Apache-2.0 */
/* pack_list.c - moonfence pack list, verify: what is in force, and whether it can be trusted */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/pack.h"
#include "core/base/clock.h"
#include "core/policy/files.h"

enum { OPT_STORE = 1, OPT_SESSION, OPT_ALL, OPT_JSON, OPT_KEY, OPT_SIGNATURE };

/* --- list --------------------------------------------------------------------------------------------------------- */

static const struct mf_option list_options[] = {
	{ OPT_STORE, 's', "store", "DIR", MF_PACK_STORE_OPTION_HELP },
	{ OPT_ALL, 'a', "all", NULL, "the generations before too" },
	{ OPT_SESSION, 0, "session", "NAME",
	  "what a session of this name loads, where a canary runs" },
	{ OPT_JSON, 'j', "json", NULL, "print JSON" },
};

static const struct mf_usage list_usage = {
	.name = "pack list",
	.synopsis = "[--store DIR] [--all | --session NAME] [--json]",
	.text = "List the packs that are in force: version, channel, and whose signature let them "
		"in. While a\n"
		"canary runs, its packs too: \"~\" and the percentage stand beside its number.\n"
		"Exit status: 0 good, 1 the store cannot be read, 2 wrong usage.\n",
	.example = "  moonfence pack list --all\n",
	.options = list_options,
	.option_cnt = MF_ARRAY_SIZE(list_options),
};

static json_t *json_of(const struct mf_pack_state *s, const struct mf_pack_generation *g)
{
	json_t *packs = json_array();

	for (size_t i = 0; i < g->cnt; i++) {
		const struct mf_pack_entry *e = &g->packs[i];

		(void)json_array_append_new(packs,
					    json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", e->name,
						      "version", e->version, "channel", e->channel,
						      "sha256", e->hash, "key", e->key));
	}
	return json_pack("{s:i, s:i, s:b, s:i, s:o}", "generation", (int)g->number, "parent",
			 (int)g->parent, "active", g->number == s->active, "canary",
			 g->number == s->canary ? (int)s->canary_percent : 0, "packs", packs);
}

static bool is_listed(const struct mf_pack_state *s, const struct mf_pack_generation *g, bool all,
		      const char *session)
{
	if (session)
		return g == mf_pack_state_for(s, session);
	return all || g->number == s->active || g->number == s->canary;
}

static void add_number(struct mf_table *t, const struct mf_pack_state *s,
		       const struct mf_pack_generation *g, bool all)
{
	if (g->number == s->canary)
		mf_table_add(t, "~%u (%u %%)", g->number, s->canary_percent);
	else
		mf_table_add(t, "%s%u", all && g->number == s->active ? "*" : "", g->number);
}

static int list(const struct mf_pack_state *s, bool all, const char *session, bool json)
{
	json_t *out = json ? json_array() : NULL;
	struct mf_table t;

	mf_table_init(&t, "rlllll");
	for (const char *const *h = (const char *const[]){ "GENERATION", "NAME", "VERSION",
							   "CHANNEL", "KEY", "SHA-256", NULL };
	     *h; h++)
		mf_table_add(&t, "%s", *h);
	for (size_t i = 0; i < s->generation_cnt; i++) {
		const struct mf_pack_generation *g = &s->generations[i];

		if (!is_listed(s, g, all, session))
			continue;
		if (json)
			(void)json_array_append_new(out, json_of(s, g));
		for (size_t k = 0; k < g->cnt; k++) {
			const struct mf_pack_entry *e = &g->packs[k];

			add_number(&t, s, g, all);
			mf_table_add(&t, "%s", e->name);
			mf_table_add(&t, "%s", e->version);
			mf_table_add(&t, "%s", e->channel);
			mf_table_add(&t, "%s", e->key);
			mf_table_add(&t, "%.16s", e->hash);
		}
	}
	if (!json)
		mf_table_print(&t, stdout, true);
	mf_table_done(&t);
	return json ? mf_output_json(out) : MF_EXIT_GOOD;
}

int mf_cmd_pack_list(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&list_usage, argc, argv);
	const char *value, *path = NULL, *session = NULL;
	char place[MF_PATH_MAX];
	struct mf_pack_state *state;
	struct mf_err err = { 0 };
	bool all = false, json = false;
	int opt, r, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_STORE)
			path = value;
		else if (opt == OPT_SESSION)
			session = value;
		else if (opt == OPT_ALL)
			all = true;
		else
			json = true;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&list_usage, "'%s' is too much", o.operands[0]);
	path = path ? path : mf_paths_packs(place);
	if (!path)
		return mf_options_wrong(&list_usage,
					"nobody knows where packs are: give --store DIR");
	/* Whoever may read it may list it; nothing is locked or made. */
	r = mf_pack_state_read(path, &state, &err);
	if (r == MF_E_NOENT) {
		fprintf(stderr, "moonfence: no pack is installed in ");
		mf_output_text(stderr, path);
		fputc('\n', stderr);
		return json ? mf_output_json(json_array()) : MF_EXIT_GOOD;
	}
	if (r < 0)
		return mf_pack_fail(&err);
	status = list(state, all, session, json);
	free(state);
	return status;
}

/* --- verify ------------------------------------------------------------------------------------------------------- */

static const struct mf_option verify_options[] = {
	{ OPT_STORE, 's', "store", "DIR", MF_PACK_STORE_OPTION_HELP },
	{ OPT_KEY, 'k', "key", "FILE",
	  "by this public key (minisign's or agentsh's) alone, not by the store's" },
	{ OPT_SIGNATURE, 0, "signature", "FILE",
	  "the signature of the one archive (default: ARCHIVE.minisig or ARCHIVE.sig)" },
};

static const struct mf_usage verify_usage = {
	.name = "pack verify",
	.synopsis = "[--store DIR] [--key FILE] [--signature FILE] [ARCHIVE...]",
	.text = "Find out who signed archives, and whether the store (or --key) trusts that. "
		"Without an archive:\n"
		"whether the installed packs are still what was signed, and by keys that still "
		"count.\n"
		"Exit status: 0 good, 1 one of them cannot be trusted, 2 wrong usage.\n",
	.example = "  moonfence pack verify --key release.pub corp-egress-1.4.2.mfpack\n"
		   "  moonfence pack verify\n",
	.options = verify_options,
	.option_cnt = MF_ARRAY_SIZE(verify_options),
};

static int trust_one(const char *path, struct mf_trust *ret, struct mf_err *err)
{
	struct mf_trust_key key = { .name = "key", .roles = (1u << MF_TRUST_ROLE_NUM) - 1 };
	int r = mf_pack_read_key(path, &key.key, err);

	*ret = (struct mf_trust){ 0 };
	return r < 0 ? r : mf_trust_add(ret, &key, err);
}

static int verify(const struct mf_trust *trust, const char *path, const char *sig_path)
{
	uint64_t now_s = mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;
	const struct mf_trust_key *key;
	struct mf_pack_manifest m;
	struct mf_pack_input in;
	struct mf_err err = { 0 };
	char number[17];
	int r = mf_pack_input_read(path, sig_path, &in, &err);

	if (r == 0) {
		r = mf_store_verify(trust, now_s, &in.archive, &m, NULL, &key, &err);
		mf_pack_input_done(&in);
	}
	if (r < 0)
		return mf_pack_fail(&err);
	mf_public_key_number(&key->key, number);
	mf_output_text(stdout, path);
	printf(": %s %s, channel %s, tier %s, signed by %s\n", m.name, m.version, m.channel,
	       m.mandatory ? "mandatory" : "normal", *number ? number : key->key.id);
	return MF_EXIT_GOOD;
}

static int verify_installed(struct mf_store *store)
{
	const struct mf_pack_generation *g = mf_pack_state_active(mf_store_state(store));
	int status = MF_EXIT_GOOD;

	for (size_t i = 0; g && i < g->cnt; i++) {
		struct mf_err err = { 0 };

		if (mf_store_check(store, &g->packs[i], &err) < 0)
			status = mf_pack_fail(&err);
		else
			printf("%s %s: as signed by %s\n", g->packs[i].name, g->packs[i].version,
			       g->packs[i].key);
	}
	return status;
}

int mf_cmd_pack_verify(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&verify_usage, argc, argv);
	const char *value, *path = NULL, *key = NULL, *sig = NULL;
	struct mf_store *store = NULL;
	struct mf_trust one;
	struct mf_err err = { 0 };
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_STORE)
			path = value;
		else if (opt == OPT_KEY)
			key = value;
		else
			sig = value;
	}
	if (opt < 0)
		return o.status;
	if ((sig && o.operand_cnt != 1) || (key && (path || !o.operand_cnt)))
		return mf_options_wrong(&verify_usage,
					"--signature goes with one archive, --key with "
					"archives and without --store");
	if (key)
		status = trust_one(key, &one, &err) < 0 ? mf_pack_fail(&err) : 0;
	else
		status = mf_pack_open_to_read(&verify_usage, path, &store);
	if (status)
		return status;
	if (!o.operand_cnt)
		status = verify_installed(store);
	for (int i = 0; i < o.operand_cnt; i++) {
		int r = verify(key ? &one : mf_store_trust(store), o.operands[i], sig);

		status = r ? r : status;
	}
	mf_store_close(store);
	return status;
}
