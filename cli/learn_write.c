/* SPDX-License-Identifier: Apache-2.0 */
/*
 * learn_write.c - see learn.h: rules become text
 *
 * Names, paths and commands are whatever somebody let be recorded. In strings and comments alike, what is no plain character is
 * written as an escape: nothing ends a string or a comment early, and nothing reaches the terminal of whoever reads the policy.
 */
#include <inttypes.h>
#include <string.h>

#include "cli/learn.h"
#include "core/base/utf8.h"
#include "core/policy/rules.h"

enum dialect { LUA, YAML };

/* --- text ------------------------------------------------------------------------------------------------------------------ */

/* Controls, and what has no width of its own or turns the direction of writing. */
static bool is_plain(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa1) || c == 0xad || c >= MF_UTF8_BAD)
		return false;
	return !(c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
		 (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
		 (c >= 0xe000 && c <= 0xf8ff) || c == 0xfeff || (c >= 0xfff0 && c <= 0xffff) ||
		 c >= 0xe0000);
}

/* Within quotes of either language, or (@quoted false) within a comment. */
static void put_text(struct mf_strbuf *out, const char *text, enum dialect d, bool quoted)
{
	size_t len = strlen(text), used;
	uint32_t c;

	for (; len; text += used, len -= used) {
		used = mf_utf8_decode((const uint8_t *)text, len, &c);
		if (quoted && (c == '"' || c == '\\'))
			mf_strbuf_addf(out, "\\%c", (int)c);
		else if (is_plain(c))
			mf_strbuf_add(out, text, used);
		else if (c >= MF_UTF8_BAD) /* events are JSON: does not happen */
			mf_strbuf_adds(out, "?");
		else if (d == LUA)
			mf_strbuf_addf(out, "\\u{%" PRIx32 "}", c);
		else
			mf_strbuf_addf(out, c > 0xffff ? "\\U%08" PRIX32 : "\\u%04" PRIX32, c);
	}
}

static void put_string(struct mf_strbuf *out, const char *text, enum dialect d)
{
	mf_strbuf_addc(out, '"');
	put_text(out, text, d, true);
	mf_strbuf_addc(out, '"');
}

/* A path as the glob that matches it alone (by classes: what a backslash means in agentsh's globs depends on what is beside it); with entry->glob the files of that directory, or a glob as it is. */
static void put_path(struct mf_strbuf *out, const struct mf_learn_entry *entry, enum dialect d)
{
	struct mf_strbuf glob = MF_STRBUF_INIT(1 << 20);

	for (const char *p = entry->text; *p && entry->e.cnt; p++) {
		if (*p == '\\')
			mf_strbuf_adds(&glob, "[\\\\]");
		else
			mf_strbuf_addf(&glob, strchr("*?[{", *p) ? "[%c]" : "%c", *p);
	}
	if (!entry->e.cnt)
		mf_strbuf_adds(&glob, entry->text);
	else if (entry->glob)
		mf_strbuf_adds(&glob, "/*");
	out->failed = out->failed || glob.failed;
	put_string(out, glob.str ? glob.str : "", d);
	mf_strbuf_done(&glob);
}

/* --- evidence -------------------------------------------------------------------------------------------------------------- */

static void put_who(const struct mf_learn *l, const struct mf_learn_evidence *e,
		    struct mf_strbuf *out, enum dialect d)
{
	for (unsigned i = 0; i < e->who_cnt; i++) {
		const char *id = l->sessions[e->who[i].session].id;
		bool same = i > 0 && e->who[i].session == e->who[i - 1].session;

		if (e->who[i].pid > 0)
			mf_strbuf_addf(out, "%s %" PRId64,
				       same ? ","
				       : i  ? ", pid"
					    : "; pid",
				       e->who[i].pid);
		else if (!same && *id)
			mf_strbuf_adds(out, i ? "," : ";");
		if (*id && (i + 1 == e->who_cnt || e->who[i + 1].session != e->who[i].session)) {
			mf_strbuf_adds(out, e->who[i].pid > 0 ? " of " : " ");
			put_text(out, id, d, false);
		}
	}
	if (e->more)
		mf_strbuf_adds(out, " and others");
}

/* "3 times, 2026-01-29T10:23:45Z to 2026-01-29T10:25:01Z; pid 12, 15 of s1" */
static void put_evidence(const struct mf_learn *l, const struct mf_learn_evidence *e,
			 struct mf_strbuf *out, enum dialect d)
{
	if (e->cnt == 1)
		mf_strbuf_adds(out, "once");
	else
		mf_strbuf_addf(out, "%" PRIu64 " times", e->cnt);
	if (e->first[0]) {
		mf_strbuf_addf(out, ", %s", e->first);
		if (strcmp(e->first, e->last) != 0)
			mf_strbuf_addf(out, " to %s", e->last);
	}
	put_who(l, e, out, d);
	mf_strbuf_addc(out, '\n');
}

static void put_head(const struct mf_learn *l, struct mf_strbuf *out, enum dialect d)
{
	const char *sign = d == LUA ? "--" : "#";

	mf_strbuf_addf(
		out,
		"%s Learned by 'moonfence policy learn' from %" PRIu64
		" requests. Each line says what speaks for it; what no line\n"
		"%s names is denied. Read it as what a program did, not as what it should be "
		"allowed to do.\n",
		sign, l->learned, sign);
	if (l->denied)
		mf_strbuf_addf(out, "%s Left out: %" PRIu64 " requests that were denied.\n", sign,
			       l->denied);
	if (l->redirected)
		mf_strbuf_addf(out,
			       "%s Left out: %" PRIu64
			       " requests that a policy answered or sent elsewhere: keep it before "
			       "this one.\n",
			       sign, l->redirected);
	if (l->unread)
		mf_strbuf_addf(out,
			       "%s Left out: %" PRIu64 " lines that tell of no whole request.\n",
			       sign, l->unread);
	if (l->dropped)
		mf_strbuf_addf(out,
			       "%s Events are missing: there was no room for them when they were "
			       "recorded.\n",
			       sign);
}

static int compare_sessions(const struct mf_learn *l, uint32_t a, uint32_t b)
{
	return strcmp(l->sessions[a].id, l->sessions[b].id);
}

/* What ran, in the order of the sessions' names. */
static void put_sessions(const struct mf_learn *l, struct mf_strbuf *out, enum dialect d)
{
	uint32_t order[MF_LEARN_SESSIONS_MAX], cnt = 0;

	for (uint32_t i = 1; i < l->session_cnt; i++) {
		uint32_t at = cnt++;

		for (; at > 0 && compare_sessions(l, order[at - 1], i) > 0; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	for (uint32_t i = 0; i < cnt; i++) {
		if (!l->sessions[order[i]].command)
			continue;
		mf_strbuf_addf(out, "%s ", d == LUA ? "--" : "#");
		put_text(out, l->sessions[order[i]].id, d, false);
		mf_strbuf_adds(out, ": ");
		put_text(out, l->sessions[order[i]].command, d, false);
		mf_strbuf_addc(out, '\n');
	}
}

/* --- words ----------------------------------------------------------------------------------------------------------------- */

/* The word that agentsh judges an operation by, where it has none for it (docs/agentsh.md). */
static const char *agentsh_word(const char *word)
{
	static const char *const others[][2] = {
		{ "truncate", "write" },    { "fallocate", "write" }, { "setxattr", "chmod" },
		{ "removexattr", "chmod" }, { "utimens", "chmod" },   { "getxattr", "stat" },
		{ "listxattr", "stat" },    { "exec", "open" },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(others[i][0], word) == 0)
			return others[i][1];
	return word;
}

static void put_ops(struct mf_strbuf *out, uint32_t ops, enum dialect d)
{
	const char *done[32];
	size_t cnt = 0;

	for (int i = 0; mf_rules_op_words[i]; i++) {
		const char *word = mf_rules_op_words[i];
		bool again = false;

		if (!(ops & UINT32_C(1) << i))
			continue;
		word = d == YAML ? agentsh_word(word) : word;
		for (size_t k = 0; k < cnt; k++)
			again = again || strcmp(done[k], word) == 0;
		if (again)
			continue;
		done[cnt++] = word;
		mf_strbuf_adds(out, cnt > 1 ? ", " : "");
		if (d == LUA)
			put_string(out, word, d);
		else
			mf_strbuf_adds(out, word);
	}
}

static void put_ports(struct mf_strbuf *out, const struct mf_learn_rule *rule)
{
	for (size_t i = 0; i < rule->port_cnt; i++)
		mf_strbuf_addf(out, "%s%u", i ? ", " : "", rule->ports[i]);
}

/* What mf_addr_is_private() says, but for networks where nobody has a server. */
static const char *const private_nets[] = {
	"0.0.0.0/8",	  "10.0.0.0/8",	   "100.64.0.0/10",  "127.0.0.0/8",
	"169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "::/128",
	"::1/128",	  "fc00::/7",	   "fe80::/10",
};

static void put_nets(struct mf_strbuf *out, const struct mf_learn_rule *rule, enum dialect d)
{
	if (rule->ip)
		put_string(out, rule->ip, d);
	for (size_t i = 0; !rule->ip && i < sizeof(private_nets) / sizeof(private_nets[0]); i++) {
		mf_strbuf_adds(out, i ? ", " : "");
		put_string(out, private_nets[i], d);
	}
}

/* --- Lua ------------------------------------------------------------------------------------------------------------------- */

static void put_entries_lua(const struct mf_learn *l, const struct mf_learn_rule *rule,
			    const char *key, struct mf_strbuf *out)
{
	mf_strbuf_addf(out, "      %s = {\n", key);
	for (size_t i = 0; i < rule->entry_cnt; i++) {
		mf_strbuf_adds(out, "        ");
		if (rule->file)
			put_path(out, &rule->entries[i], LUA);
		else
			put_string(out, rule->entries[i].text, LUA);
		mf_strbuf_addc(out, ',');
		if (rule->entries[i].e.cnt) {
			mf_strbuf_adds(out, " -- ");
			put_evidence(l, &rule->entries[i].e, out, LUA);
		} else {
			mf_strbuf_addc(out, '\n');
		}
	}
	mf_strbuf_adds(out, "      },\n");
}

static void put_rule_lua(const struct mf_learn *l, const struct mf_learn_rule *rule,
			 struct mf_strbuf *out)
{
	if (rule->about)
		mf_strbuf_addf(out, "    -- %s\n", rule->about);
	mf_strbuf_adds(out, "    {\n      name = ");
	put_string(out, rule->name, LUA);
	mf_strbuf_adds(out, ",\n");
	put_entries_lua(l, rule,
			rule->file	   ? "paths"
			: rule->by_address ? "cidrs"
					   : "domains",
			out);
	if (rule->ip || rule->private_only) {
		mf_strbuf_adds(out, "      cidrs = { ");
		put_nets(out, rule, LUA);
		mf_strbuf_adds(out, " },\n");
	}
	if (rule->port_cnt) {
		mf_strbuf_adds(out, "      ports = { ");
		put_ports(out, rule);
		mf_strbuf_adds(out, " },\n");
	}
	if (rule->ops) {
		mf_strbuf_adds(out, "      operations = { ");
		put_ops(out, rule->ops, LUA);
		mf_strbuf_adds(out, " },\n");
	}
	mf_strbuf_addf(out, "      decision = \"%s\",\n    },\n", rule->decision);
}

static void put_family_lua(const struct mf_learn *l, const struct mf_learn_rules *rules, bool file,
			   struct mf_strbuf *out)
{
	bool any = false;

	for (size_t i = 0; i < rules->cnt; i++) {
		if (rules->items[i].file != file)
			continue;
		if (!any)
			mf_strbuf_addf(out, "\n  %s = {\n", file ? "file_rules" : "network_rules");
		any = true;
		put_rule_lua(l, &rules->items[i], out);
	}
	if (any)
		mf_strbuf_adds(out, "  },\n");
}

static void put_resolved_lua(const struct mf_learn *l, const struct mf_learn_rule *resolved,
			     struct mf_strbuf *out)
{
	mf_strbuf_adds(out, "-- Names that were asked for, and nobody connected to.\n"
			    "local resolved = domains {\n");
	for (size_t i = 0; i < resolved->entry_cnt; i++) {
		const char *text = resolved->entries[i].text;
		bool below = strncmp(text, "**.", 3) == 0;

		mf_strbuf_adds(out, below ? "  \"*." : "  \"=");
		put_text(out, below ? text + 3 : text, LUA, true);
		mf_strbuf_adds(out, "\", -- ");
		put_evidence(l, &resolved->entries[i].e, out, LUA);
	}
	mf_strbuf_adds(out, "}\n\n");
}

void mf_learn_write_lua(const struct mf_learn *l, const struct mf_learn_options *options,
			const struct mf_learn_rules *rules, struct mf_strbuf *out)
{
	put_head(l, out, LUA);
	put_sessions(l, out, LUA);
	if (rules->resolved.entry_cnt)
		put_resolved_lua(l, &rules->resolved, out);
	mf_strbuf_adds(out, "return {\n  name = ");
	put_string(out, options->name, LUA);
	mf_strbuf_adds(out, ",\n  network_default = \"deny\",\n  file_default = \"deny\",\n");
	put_family_lua(l, rules, false, out);
	put_family_lua(l, rules, true, out);
	if (rules->resolved.entry_cnt)
		mf_strbuf_adds(out, "\n  dns = function(q)\n"
				    "    if q:under(resolved) then return allow() end\n  end,\n");
	mf_strbuf_adds(out, "}\n");
}

/* --- YAML ------------------------------------------------------------------------------------------------------------------ */

static void put_entries_yaml(const struct mf_learn *l, const struct mf_learn_rule *rule,
			     const char *key, struct mf_strbuf *out)
{
	mf_strbuf_addf(out, "    %s:\n", key);
	for (size_t i = 0; i < rule->entry_cnt; i++) {
		const char *text = rule->entries[i].text;

		mf_strbuf_adds(out, "      - ");
		if (rule->file) {
			put_path(out, &rule->entries[i], YAML);
		} else if (rule->by_address) { /* agentsh takes no address without its length */
			mf_strbuf_addf(out, strchr(text, ':') ? "\"%s/128\"" : "\"%s/32\"", text);
		} else {
			put_string(out, text, YAML);
		}
		if (rule->entries[i].e.cnt) {
			mf_strbuf_adds(out, " # ");
			put_evidence(l, &rule->entries[i].e, out, YAML);
		} else {
			mf_strbuf_addc(out, '\n');
		}
	}
}

static void put_rule_yaml(const struct mf_learn *l, const struct mf_learn_rule *rule,
			  struct mf_strbuf *out)
{
	if (rule->about)
		mf_strbuf_addf(out, "  # %s\n", rule->about);
	mf_strbuf_adds(out, "  - name: ");
	put_string(out, rule->name, YAML);
	mf_strbuf_addc(out, '\n');
	put_entries_yaml(l, rule,
			 rule->file	    ? "paths"
			 : rule->by_address ? "cidrs"
					    : "domains",
			 out);
	if (rule->ip) {
		mf_strbuf_addf(out, "    cidrs: [\"%s/%s\"]\n", rule->ip,
			       strchr(rule->ip, ':') ? "128" : "32");
	} else if (rule->private_only) {
		mf_strbuf_adds(out, "    cidrs: [");
		put_nets(out, rule, YAML);
		mf_strbuf_adds(out, "]\n");
	}
	if (rule->port_cnt) {
		mf_strbuf_adds(out, "    ports: [");
		put_ports(out, rule);
		mf_strbuf_adds(out, "]\n");
	}
	if (rule->ops) {
		mf_strbuf_adds(out, "    operations: [");
		put_ops(out, rule->ops, YAML);
		mf_strbuf_adds(out, "]\n");
	}
	mf_strbuf_addf(out, "    decision: %s\n", rule->decision);
}

static void put_resolved_yaml(const struct mf_learn *l, const struct mf_learn_rule *resolved,
			      struct mf_strbuf *out)
{
	struct mf_learn_rule rule = *resolved;
	uint16_t port = 53;

	rule.name = (char[]){ "resolved" };
	rule.about = "Names that were asked for, and nobody connected to.";
	rule.decision = "allow";
	rule.ports = &port;
	rule.port_cnt = 1;
	put_rule_yaml(l, &rule, out);
}

void mf_learn_write_yaml(const struct mf_learn *l, const struct mf_learn_options *options,
			 const struct mf_learn_rules *rules, struct mf_strbuf *out)
{
	put_head(l, out, YAML);
	put_sessions(l, out, YAML);
	mf_strbuf_adds(out, "version: 1\nname: ");
	put_string(out, options->name, YAML);
	mf_strbuf_adds(out, "\nnetwork_rules:\n");
	for (size_t i = 0; i < rules->cnt; i++)
		if (!rules->items[i].file)
			put_rule_yaml(l, &rules->items[i], out);
	if (rules->resolved.entry_cnt)
		put_resolved_yaml(l, &rules->resolved, out);
	mf_strbuf_adds(out, "  - name: default-deny-network\n    domains: [\"**\"]\n"
			    "    decision: deny\nfile_rules:\n");
	for (size_t i = 0; i < rules->cnt; i++)
		if (rules->items[i].file)
			put_rule_yaml(l, &rules->items[i], out);
	mf_strbuf_adds(out, "  - name: default-deny-files\n    paths: [\"/**\"]\n"
			    "    decision: deny\n");
}
