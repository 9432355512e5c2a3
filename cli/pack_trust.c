/* SPDX-License-Identifier: Apache-2.0 */
/* pack_trust.c - moonfence pack trust: whose signatures of packs count */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/pack.h"
#include "core/policy/files.h"

enum { OPT_STORE = 1, OPT_NAME, OPT_ROLE, OPT_PACK, OPT_EXPIRES, OPT_REASON, OPT_JSON };

static const struct mf_option options[] = {
	{ OPT_STORE, 's', "store", "DIR", MF_PACK_STORE_OPTION_HELP },
	{ OPT_NAME, 'n', "name", "NAME", "add: what the key is called (default: agentsh's label)" },
	{ OPT_ROLE, 'r', "role", "ROLE",
	  "add: packs (the default), mandatory, channel; may be repeated" },
	{ OPT_PACK, 'p', "pack", "PATTERN",
	  "add: it signs packs of this name, 'corp-*'; may be repeated" },
	{ OPT_EXPIRES, 'e', "expires", "TIME",
	  "add: it counts before this day (2027-12-31) or time only" },
	{ OPT_REASON, 0, "reason", "TEXT", "revoke: why" },
	{ OPT_JSON, 'j', "json", NULL, "list: print JSON" },
};

static const struct mf_usage usage = {
	.name = "pack trust",
	.synopsis = "list | add FILE [OPTION]... | revoke KEY --reason TEXT | remove KEY",
	.text = "Say whose signatures of packs count: public keys of minisign (.pub) and agentsh "
		"(.json). KEY is\n"
		"the key's name here, minisign's number or agentsh's id. A revoked key stays "
		"known, and is never\n"
		"taken again; packs that it had signed stay in force until they are removed: 'pack "
		"verify' names\n"
		"them.\n"
		"Exit status: 0 good, 1 refused, 2 wrong usage.\n",
	.example = "  moonfence pack trust add release.pub --name corp-security --role packs "
		   "--role mandatory\n"
		   "  moonfence pack trust revoke corp-security --reason 'laptop stolen'\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct request {
	const char *store, *reason;
	struct mf_trust_key key; /* of add */
	bool json;
};

static int take_option(struct request *q, int opt, const char *value)
{
	enum mf_trust_role role;

	switch (opt) {
	case OPT_STORE:
		q->store = value;
		return 0;
	case OPT_NAME:
		if ((size_t)snprintf(q->key.name, sizeof(q->key.name), "%s", value) >=
		    sizeof(q->key.name))
			return mf_options_wrong(&usage, "--name: at most %d bytes",
						MF_PACK_NAME_MAX);
		return 0;
	case OPT_ROLE:
		role = mf_trust_role_find(value);
		if (role == MF_TRUST_ROLE_NUM)
			return mf_options_wrong(
				&usage, "--role: packs, mandatory or channel, not '%s'", value);
		q->key.roles |= 1u << role;
		return 0;
	case OPT_PACK:
		if (q->key.pack_cnt == MF_TRUST_PATTERNS_MAX ||
		    (size_t)snprintf(q->key.packs[q->key.pack_cnt], sizeof(q->key.packs[0]), "%s",
				     value) >= sizeof(q->key.packs[0]))
			return mf_options_wrong(&usage,
						"--pack: at most %d names of at most %d bytes",
						MF_TRUST_PATTERNS_MAX, MF_PACK_NAME_MAX);
		q->key.pack_cnt++;
		return 0;
	case OPT_EXPIRES:
		if (mf_time_parse(value, &q->key.key.expires_s) < 0)
			return mf_options_wrong(&usage,
						"--expires: '%s' is neither a day such as "
						"2027-12-31 nor a time such as "
						"2027-12-31T12:00:00Z",
						value);
		return 0;
	case OPT_REASON:
		q->reason = value;
		return 0;
	default:
		q->json = true;
		return 0;
	}
}

/* The file may only say that it ends earlier than --expires does. */
static int read_key(const char *path, struct mf_public_key *key, struct mf_err *err)
{
	uint64_t expires_s = key->expires_s;
	int r = mf_pack_read_key(path, key, err);

	if (expires_s && (!key->expires_s || expires_s < key->expires_s))
		key->expires_s = expires_s;
	return r;
}

static int add(struct mf_store *store, struct request *q, const char *path, struct mf_err *err)
{
	int r = read_key(path, &q->key.key, err);

	if (r < 0)
		return r;
	if (!q->key.name[0])
		snprintf(q->key.name, sizeof(q->key.name), "%.*s", MF_PACK_NAME_MAX,
			 q->key.key.label);
	if (!q->key.name[0])
		return mf_err_set(err, MF_E_INVAL, "what is the key called? Give --name NAME");
	if (!q->key.roles)
		q->key.roles = 1u << MF_TRUST_PACKS;
	r = mf_trust_add(mf_store_trust(store), &q->key, err);
	return r < 0 ? r : mf_store_write_trust(store, err);
}

static int revoke(struct mf_store *store, const char *word, const char *reason, struct mf_err *err)
{
	struct mf_trust_key *k = mf_trust_find(mf_store_trust(store), word);

	if (!k)
		return mf_err_set(err, MF_E_NOENT, "no key \"%s\" is known here", word);
	if ((size_t)snprintf(k->revoked_why, sizeof(k->revoked_why), "%s", reason) >=
	    sizeof(k->revoked_why))
		return mf_err_set(err, MF_E_INVAL, "--reason: at most %zu bytes",
				  sizeof(k->revoked_why) - 1);
	k->revoked = true;
	return mf_store_write_trust(store, err);
}

static int take_out(struct mf_store *store, const char *word, struct mf_err *err)
{
	struct mf_trust *t = mf_store_trust(store);
	struct mf_trust_key *k = mf_trust_find(t, word);

	if (!k)
		return mf_err_set(err, MF_E_NOENT, "no key \"%s\" is known here", word);
	if (k->revoked)
		return mf_err_set(err, MF_E_PERM,
				  "\"%s\" is revoked: forgotten, it could be added again", k->name);
	memmove(k, k + 1, (size_t)(&t->keys[--t->cnt] - k) * sizeof(*k));
	return mf_store_write_trust(store, err);
}

static void join_roles(const struct mf_trust_key *k, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned role = 0; role < MF_TRUST_ROLE_NUM; role++)
		if (k->roles >> role & 1)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "," : "",
					      mf_trust_role_name((enum mf_trust_role)role));
}

static int list_json(const struct mf_trust *t)
{
	json_t *out = json_array();

	for (size_t i = 0; i < t->cnt; i++) {
		const struct mf_trust_key *k = &t->keys[i];
		json_t *packs = json_array();
		char number[17], when[32] = "", roles[64];

		for (size_t p = 0; p < k->pack_cnt; p++)
			(void)json_array_append_new(packs, mf_output_json_text(k->packs[p]));
		mf_public_key_number(&k->key, number);
		if (k->key.expires_s)
			mf_time_text(k->key.expires_s, when);
		join_roles(k, roles, sizeof(roles));
		(void)json_array_append_new(
			out, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "name", k->name,
				       "minisign", number, "id", k->key.id, "roles", roles, "packs",
				       packs, "expires", mf_output_json_text(*when ? when : NULL),
				       "revoked",
				       mf_output_json_text(k->revoked ? k->revoked_why : NULL)));
	}
	return mf_output_json(out);
}

static int list(const struct mf_trust *t)
{
	static const char *const heads[] = { "NAME", "KEY", "ROLES", "EXPIRES", "REVOKED" };
	struct mf_table table;

	mf_table_init(&table, "lllll");
	for (size_t i = 0; i < MF_ARRAY_SIZE(heads); i++)
		mf_table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < t->cnt; i++) {
		const struct mf_trust_key *k = &t->keys[i];
		char number[17], when[32] = "never", roles[64];

		mf_public_key_number(&k->key, number);
		if (k->key.expires_s)
			mf_time_text(k->key.expires_s, when);
		join_roles(k, roles, sizeof(roles));
		mf_table_add(&table, "%s", k->name);
		mf_table_add(&table, "%.16s", *number ? number : k->key.id);
		mf_table_add(&table, "%s", roles);
		mf_table_add(&table, "%s", when);
		mf_table_add(&table, "%s", k->revoked ? k->revoked_why : "no");
	}
	mf_table_print(&table, stdout, true);
	mf_table_done(&table);
	return MF_EXIT_GOOD;
}

int mf_cmd_pack_trust(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct request q = { 0 };
	struct mf_store *store;
	struct mf_err err = { 0 };
	const char *value, *word, *what;
	int opt, status, r;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(&q, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	word = o.operand_cnt ? o.operands[0] : "list";
	what = o.operand_cnt == 2 ? o.operands[1] : NULL;
	if (o.operand_cnt > 2 || (strcmp(word, "list") == 0) != !what ||
	    (strcmp(word, "list") != 0 && strcmp(word, "add") != 0 && strcmp(word, "revoke") != 0 &&
	     strcmp(word, "remove") != 0))
		return mf_options_wrong(&usage, "list, add FILE, revoke KEY or remove KEY?");
	if ((strcmp(word, "revoke") == 0) != !!q.reason)
		return mf_options_wrong(&usage,
					"--reason goes with revoke, and revoke with --reason");
	status = what ? mf_pack_open(&usage, q.store, false, &store)
		      : mf_pack_open_to_read(&usage, q.store, &store);
	if (status)
		return status;
	r = 0;
	if (strcmp(word, "add") == 0)
		r = add(store, &q, what, &err);
	else if (strcmp(word, "revoke") == 0)
		r = revoke(store, what, q.reason, &err);
	else if (strcmp(word, "remove") == 0)
		r = take_out(store, what, &err);
	else
		status = q.json ? list_json(mf_store_trust(store)) : list(mf_store_trust(store));
	if (r < 0)
		status = mf_pack_fail(&err);
	mf_store_close(store);
	return status;
}
