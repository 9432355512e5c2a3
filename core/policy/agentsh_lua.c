/* SPDX-License-Identifier: Apache-2.0 */
/* agentsh_lua.c - an agentsh policy written as the Lua that means the same; see agentsh.h */
#include <stdio.h>
#include <string.h>

#include "core/policy/agentsh_internal.h"

#define NOTES_ROOM 1024

/* --- Lua text ----------------------------------------------------------------------------------------------------- */

static void put_string(struct mf_strbuf *out, const char *text)
{
	mf_strbuf_addc(out, '"');
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			mf_strbuf_addf(out, "\\%c", *p);
		else if (*p == '\n')
			mf_strbuf_adds(out, "\\n");
		else if ((unsigned char)*p < 32 || *p == 127)
			mf_strbuf_addf(out, "\\%03u", (unsigned)(unsigned char)*p);
		else
			mf_strbuf_addc(out, *p);
	}
	mf_strbuf_addc(out, '"');
}

static void put_key(struct mf_strbuf *out, const char *key, const char *text)
{
	if (!text)
		return;
	mf_strbuf_addf(out, "      %s = ", key);
	put_string(out, text);
	mf_strbuf_adds(out, ",\n");
}

static void put_list(struct mf_strbuf *out, const char *key, const struct mf_rule_list *list)
{
	if (!list->present)
		return;
	mf_strbuf_addf(out, "      %s = {", key);
	for (size_t i = 0; i < list->cnt; i++) {
		mf_strbuf_adds(out, i ? ", " : " ");
		put_string(out, list->items[i]);
	}
	mf_strbuf_adds(out, " },\n");
}

/* A setting of the whole policy. */
static void put_setting(struct mf_strbuf *out, const char *key, const char *text)
{
	mf_strbuf_addf(out, "  %s = ", key);
	put_string(out, text);
	mf_strbuf_adds(out, ",\n");
}

/* Text within a comment: nothing may end the line. */
static void put_comment(struct mf_strbuf *out, const char *text)
{
	for (const char *p = text; *p; p++)
		mf_strbuf_addc(out, (unsigned char)*p < 32 ? ' ' : *p);
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

struct writing {
	struct mf_agentsh_doc *doc;
	struct mf_strbuf *out;
	int family; /* whose list is open; -1: none */
	char notes[NOTES_ROOM];
};

static void put_network(struct mf_strbuf *out, const struct mf_rule_spec *s)
{
	put_list(out, "domains", &s->domains);
	put_list(out, "cidrs", &s->cidrs);
	if (!s->has_ports)
		return;
	mf_strbuf_adds(out, "      ports = {");
	for (size_t i = 0; i < s->port_cnt; i++)
		mf_strbuf_addf(out, "%s%u", i ? ", " : " ", s->ports[i].first);
	mf_strbuf_adds(out, " },\n");
}

static void put_file(struct mf_strbuf *out, const struct mf_rule_spec *s)
{
	put_list(out, "paths", &s->paths);
	put_list(out, "operations", &s->operations);
	put_key(out, "redirect_to", s->redirect_to);
	if (s->preserve_tree)
		mf_strbuf_adds(out, "      preserve_tree = true,\n");
}

static void put_redirect(struct mf_strbuf *out, const struct mf_rule_spec *s)
{
	static const char *const match_keys[] = { "match", "regex", "search" };
	_Static_assert(MF_ARRAY_SIZE(match_keys) == MF_RULE_MATCH_NUM, "a key for each mode");

	put_key(out, match_keys[s->mode], s->match);
	put_key(out, "resolve_to", s->resolve_to);
	put_key(out, "resolve_to6", s->resolve_to6);
	if (s->ttl_s)
		mf_strbuf_addf(out, "      ttl = %u,\n", s->ttl_s);
	put_key(out, "redirect_to", s->redirect_to);
	put_key(out, "redirect_to_unix", s->redirect_to_unix);
	if (s->tls_mode || s->tls_sni) {
		mf_strbuf_adds(out, "      tls = {");
		if (s->tls_mode) {
			mf_strbuf_adds(out, " mode = ");
			put_string(out, s->tls_mode);
			mf_strbuf_adds(out, s->tls_sni ? "," : "");
		}
		if (s->tls_sni) {
			mf_strbuf_adds(out, " sni = ");
			put_string(out, s->tls_sni);
		}
		mf_strbuf_adds(out, " },\n");
	}
	if (s->trusted)
		put_key(out, "redirect_target_policy", "trusted");
}

static void end_family(struct writing *w)
{
	if (w->family >= 0)
		mf_strbuf_adds(w->out, "  },\n");
	w->family = -1;
}

static void put_rule(void *ctx, const struct mf_agentsh_rule *rule)
{
	struct writing *w = ctx;
	const struct mf_rule_spec *s = &rule->spec;
	const struct mf_yaml_node *about = mf_yaml_get(rule->node, "description");

	if (w->family != (int)s->family) {
		end_family(w);
		w->family = (int)s->family;
		mf_strbuf_addf(w->out, "\n  %s = {\n", mf_rule_family_name(s->family));
	}
	mf_strbuf_adds(w->out, "    { -- ");
	if (s->file)
		put_comment(w->out, s->file);
	mf_strbuf_addf(w->out, "%sline %u%s%s\n", s->file ? ", " : "", s->line, s->list ? ", " : "",
		       s->list ? s->list : "");
	put_key(w->out, "name", s->name);
	if (!mf_yaml_is_null(about))
		put_key(w->out, "description", about->text);
	if (s->family == MF_NETWORK_RULES)
		put_network(w->out, s);
	else if (s->family == MF_FILE_RULES)
		put_file(w->out, s);
	else
		put_redirect(w->out, s);
	put_key(w->out, "decision", s->decision);
	put_key(w->out, "visibility", s->visibility);
	put_key(w->out, "on_failure", s->on_failure);
	put_key(w->out, "message", s->message);
	put_key(w->out, "timeout", s->timeout);
	mf_strbuf_adds(w->out, "    },\n");
}

/* --- the policy --------------------------------------------------------------------------------------------------- */

struct forward {
	const struct mf_agentsh_sink *to;
	char *notes;
};

/* Tells @to as well, and gathers what is not enforced. */
static void on_told(void *ctx, enum mf_agentsh_level level, const char *file, unsigned line,
		    unsigned column, const char *path, const char *text)
{
	struct forward *f = ctx;
	size_t n = strlen(f->notes);

	if (f->to)
		f->to->tell(f->to->ctx, level, file, line, column, path, text);
	if (level == MF_AGENTSH_NOTE)
		snprintf(f->notes + n, NOTES_ROOM - n, "%s%s", n ? ", " : "", path);
}

static void put_settings(struct writing *w)
{
	static const char *const dns[] = { "resolve_known", "allow", "deny" };
	_Static_assert(MF_ARRAY_SIZE(dns) == MF_DNS_DEFAULT_NUM, "a word for each default");
	const struct mf_rules_options *o = &w->doc->options;
	const struct mf_yaml_node *about = mf_yaml_get(w->doc->root, "description");

	put_setting(w->out, "name", w->doc->name);
	if (!mf_yaml_is_null(about))
		put_setting(w->out, "description", about->text);
	mf_strbuf_adds(w->out, "  -- What no rule decides, as agentsh has it.\n");
	put_setting(w->out, "network_default", "deny");
	put_setting(w->out, "file_default", "allow_reads");
	if (o->dns_default != MF_DNS_RESOLVE_KNOWN)
		put_setting(w->out, "dns_default", dns[o->dns_default]);
	if (o->gobwas)
		put_setting(w->out, "compat", "gobwas");
	if (o->trust_targets)
		put_setting(w->out, "redirect_target_policy", "trusted");
	if (o->ask_else_allow)
		put_setting(w->out, "approve_without_channel", "allow");
	if (o->redirect_else_allow)
		put_setting(w->out, "redirect_unsupported", "allow");
	if (o->other_types_forward)
		put_setting(w->out, "redirect_other_types", "forward");
}

static bool has_services(const struct mf_agentsh_doc *top)
{
	bool has = !mf_yaml_is_null(mf_yaml_get(top->root, "http_services"));

	for (size_t i = 0; i < top->file_cnt; i++)
		has = has || !mf_yaml_is_null(mf_yaml_get(top->files[i]->root, "http_services"));
	return has;
}

int mf_agentsh_convert(const struct mf_agentsh_source *source, const struct mf_agentsh_sink *sink,
		       struct mf_strbuf *out, struct mf_err *err)
{
	struct mf_agentsh_doc doc;
	struct writing w = { .doc = &doc, .out = out, .family = -1 };
	struct forward forward = { sink, w.notes };
	const struct mf_agentsh_sink both = { on_told, &forward };
	struct mf_rules *rules;
	int r = mf_agentsh_open(&doc, source, &both, &rules, err);

	mf_rules_free(rules);
	if (r == 0) {
		mf_strbuf_adds(out, "-- Converted from ");
		put_comment(out, source->file);
		mf_strbuf_adds(out,
			       ", a policy of agentsh; its variables have the values of then.\n");
		if (w.notes[0]) {
			mf_strbuf_adds(out, "-- Not enforced, and left out: ");
			put_comment(out, w.notes);
			mf_strbuf_adds(out, "\n");
		}
		if (has_services(&doc))
			mf_strbuf_adds(out, "-- Left out, since only YAML has it: what "
					    "http_services let through "
					    "their gateway. Their hosts are closed here too.\n");
		if (!mf_yaml_is_null(mf_yaml_get(doc.root, "threat_feeds")))
			mf_strbuf_adds(out, "-- Left out, since only YAML has it: threat_feeds.\n");
		mf_strbuf_adds(out, "return {\n");
		put_settings(&w);
		doc.sink = NULL; /* it has been told */
		mf_agentsh_each_rule(&doc, put_rule, &w);
		end_family(&w);
		mf_strbuf_adds(out, "}\n");
		if (out->failed || doc.no_memory)
			r = mf_err_set(err, MF_E_NOMEM, "out of memory while converting %s",
				       source->file);
	}
	mf_agentsh_close(&doc);
	return r;
}
