/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.c - declarative rules: built one by one (rules_check.h checks each), or every error of theirs
 *
 * How it works
 *
 * Rules of one family have ascending numbers; each family has an index from what its rules select to those numbers.
 * mf_rules_ask() (rules_ask.c) finds the first rule of each family that concerns the kind and combines them. A rule that
 * is wrong is noted with everything that is wrong about it; none of the policy's rules reaches the engine then (P32).
 */
#include "core/policy/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/rules_check.h"

#define RULES_MAX 1000000

static const char *const family_names[] = { "network_rules", "dns_redirects", "connect_redirects",
					    "file_rules" };
_Static_assert(MF_ARRAY_SIZE(family_names) == MF_RULE_FAMILY_NUM, "a name for each family");

static const char *const setting_names[] = {
	"dns_default", "network_default",	  "file_default",	  "redirect_target_policy",
	"compat",      "approve_without_channel", "redirect_unsupported", "redirect_other_types"
};

const char *mf_rule_family_name(enum mf_rule_family family)
{
	return (unsigned)family < MF_RULE_FAMILY_NUM ? family_names[family] : "?";
}

bool mf_rules_is_key(const char *key)
{
	for (size_t i = 0; i < MF_RULE_FAMILY_NUM; i++)
		if (strcmp(key, family_names[i]) == 0)
			return true;
	for (size_t i = 0; i < MF_ARRAY_SIZE(setting_names); i++)
		if (strcmp(key, setting_names[i]) == 0)
			return true;
	return false;
}

/* --- life ------------------------------------------------------------------------------------------------------- */

void mf_rules_free(struct mf_rules *rules)
{
	if (!rules)
		return;
	for (uint32_t i = 0; i < rules->cnt; i++) {
		struct rule *r = &rules->rules[i];

		free(r->cidrs);
		mf_port_set_done(&r->ports);
		free(r->label);
		free(r->message);
		free(r->file);
		free(r->redirect_host);
		free(r->redirect_unix);
		free(r->tls_sni);
		free(r->dir);
		mf_outcome_unref(r->outcome);
		mf_outcome_unref(r->forward_outcome);
	}
	for (size_t i = 0; i < MF_RULE_FAMILY_NUM; i++)
		mf_rule_index_free(rules->index[i]);
	mf_rule_index_free(rules->known);
	mf_rule_index_free(rules->blind);
	mf_threat_feeds_free(rules->feeds);
	mf_outcome_unref(rules->known_outcome);
	mf_outcome_unref(rules->default_outcome);
	mf_outcome_unref(rules->scratch);
	free(rules->rules);
	free(rules->policy);
	free(rules->file);
	free(rules);
}

int mf_rules_builder_new(const struct mf_rules_options *options, struct mf_rules_builder **ret_b)
{
	struct mf_rules_builder *b = calloc(1, sizeof(*b));
	struct mf_rules *rules = calloc(1, sizeof(*rules));
	bool good = b && rules;

	if (good) {
		b->rules = rules;
		b->agentsh = options->agentsh;
		b->trust_targets = options->trust_targets;
		b->observer = options->observer;
		b->report = options->report;
		b->report_ctx = options->report_ctx;
		b->text = (struct mf_strbuf)MF_STRBUF_INIT(4096);
		rules->dns_default = options->dns_default;
		rules->network_default = options->network_default;
		rules->file_default = options->file_default;
		rules->ask_else_allow = options->ask_else_allow;
		rules->redirect_else_allow = options->redirect_else_allow;
		rules->other_types_forward = options->other_types_forward;
		rules->policy = strdup(options->policy);
		rules->file = strdup(options->file ? options->file : "");
		rules->known = mf_rule_index_new(options->gobwas);
		rules->blind = mf_rule_index_new(options->gobwas);
		rules->try_ports[0] = 443;
		rules->try_ports[1] = 80;
		rules->try_port_cnt = 2;
		good = rules->policy && rules->file && rules->known && rules->blind;
	}
	for (size_t i = 0; good && i < MF_RULE_FAMILY_NUM; i++)
		good = (rules->index[i] = mf_rule_index_new(options->gobwas)) != NULL;
	if (!good) {
		mf_rules_free(rules);
		free(b);
		return MF_E_NOMEM;
	}
	if (b->observer)
		b->observer->policy(b->observer->ctx, options);
	*ret_b = b;
	return 0;
}

/* --- errors ----------------------------------------------------------------------------------------------------- */

void mf_rule_note_error(struct mf_rules_builder *b, const char *label,
			const struct mf_rule_place *at, const char *fmt, va_list ap)
{
	unsigned line = at->spec->line;
	char text[512];

	b->error_cnt++;
	if (b->first_line == 0)
		b->first_line = line;
	if (b->code == 0)
		b->code = MF_E_POLICY;
	vsnprintf(text, sizeof(text), fmt, ap);
	if (b->report) {
		b->report(b->report_ctx, at->spec, at->field, at->item, text);
		return;
	}
	/* mf_err.msg has 768 bytes; what no longer fits is counted. */
	if (b->text.len + strlen(label) + strlen(text) > 640 && b->error_cnt > 1) {
		b->dropped++;
		return;
	}
	if (b->text.len)
		mf_strbuf_adds(&b->text, "; ");
	mf_strbuf_adds(&b->text, label);
	if (line)
		mf_strbuf_addf(&b->text, " (line %u)", line);
	mf_strbuf_addf(&b->text, ": %s", text);
}

static void make_label(const struct mf_rule_spec *spec, char *buf, size_t size)
{
	const char *name = spec->name ? spec->name : "";

	snprintf(buf, size, "%s[%u]%s%.128s",
		 spec->list ? spec->list : mf_rule_family_name(spec->family), spec->index,
		 *name ? " " : "", name);
}

MF_PRINTF(4, 0)
static void note_error_of(struct mf_rules_builder *b, const struct mf_rule_spec *spec, bool whole,
			  const char *fmt, va_list ap)
{
	const struct mf_rule_place at = { spec, NULL, SIZE_MAX };
	char label[256];

	if (whole)
		snprintf(label, sizeof(label), "%s", mf_rule_family_name(spec->family));
	else
		make_label(spec, label, sizeof(label));
	mf_rule_note_error(b, label, &at, fmt, ap);
}

void mf_rules_builder_error(struct mf_rules_builder *b, enum mf_rule_family family, unsigned index,
			    const char *name, unsigned line, const char *fmt, ...)
{
	const struct mf_rule_spec spec = {
		.family = family, .index = index, .line = line, .name = name
	};
	va_list ap;

	va_start(ap, fmt);
	note_error_of(b, &spec, index == 0, fmt, ap);
	va_end(ap);
}

MF_PRINTF(3, 4)
static void rule_error(struct mf_rules_builder *b, const struct rule *r, const char *fmt, ...)
{
	const char *space = strchr(r->label, ' ');
	const struct mf_rule_spec spec = { .family = (enum mf_rule_family)r->family,
					   .index = r->index,
					   .line = r->line,
					   .file = r->file,
					   .name = space ? space + 1 : NULL };
	va_list ap;

	va_start(ap, fmt);
	note_error_of(b, &spec, b->agentsh ? false : r->index == 0, fmt, ap);
	va_end(ap);
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static bool grow_rules(struct mf_rules_builder *b)
{
	struct mf_rules *rules = b->rules;
	uint32_t room = rules->room ? rules->room * 2 : 16;
	struct rule *more;
	bool *marks;

	if (rules->cnt < rules->room)
		return true;
	more = realloc(rules->rules, room * sizeof(*more));
	if (!more)
		return false;
	rules->rules = more;
	marks = realloc(b->untrusted, room * sizeof(*marks));
	if (!marks)
		return false;
	b->untrusted = marks;
	rules->room = room;
	return true;
}

void mf_rules_builder_add(struct mf_rules_builder *b, const struct mf_rule_spec *spec)
{
	static void (*const checks[MF_RULE_FAMILY_NUM])(struct mf_rule_check * c) = {
		[MF_NETWORK_RULES] = mf_rule_check_network,
		[MF_DNS_REDIRECTS] = mf_rule_check_dns_redirect,
		[MF_CONNECT_REDIRECTS] = mf_rule_check_connect_redirect,
		[MF_FILE_RULES] = mf_rule_check_file,
	};
	struct mf_rules *rules = b->rules;
	struct mf_rule_check c = { .b = b, .spec = spec, .id = rules->cnt, .item = SIZE_MAX };
	unsigned before = b->error_cnt;
	char label[256];

	if (b->code == MF_E_NOMEM || b->code == MF_E_LIMIT)
		return;
	if (rules->cnt >= RULES_MAX || !grow_rules(b)) {
		b->code = rules->cnt >= RULES_MAX ? MF_E_LIMIT : MF_E_NOMEM;
		return;
	}
	make_label(spec, label, sizeof(label));
	c.label = label;
	c.rule = &rules->rules[rules->cnt++];
	*c.rule = (struct rule){ .family = (uint8_t)spec->family,
				 .index = spec->index,
				 .line = spec->line };
	b->untrusted[c.id] = false;
	rules->family_cnt[spec->family]++;
	c.rule->label = mf_rule_copy_text(&c, label);
	c.rule->file = mf_rule_copy_text(&c, spec->file);
	mf_rule_check_common(&c);
	checks[spec->family](&c);
	if (b->observer && b->error_cnt == before)
		b->observer->rule(b->observer->ctx, spec);
}

/* P21: what a redirect dials must not be refused by the same policy's network rules. */
static void check_untrusted_target(struct mf_rules_builder *b, uint32_t id)
{
	struct mf_rules *rules = b->rules;
	struct rule *r = &rules->rules[id];
	struct mf_rule_subject s = { .port = r->redirect_port };
	struct mf_addr addr;
	uint32_t hit;

	if (!r->redirect_host || rules->family_cnt[MF_NETWORK_RULES] == 0)
		return;
	if (mf_addr_parse(r->redirect_host, strlen(r->redirect_host), &addr) == 0) {
		s.ip = &addr;
	} else {
		s.name = r->redirect_host;
		s.name_len = strlen(r->redirect_host);
	}
	/* Without an address networks are left out: they are judged when the name has been resolved. */
	if (mf_rules_find_network(rules, &s, !s.ip, &hit) < 0 || hit == MF_RULE_NONE ||
	    rules->rules[hit].decision != DECIDE_DENY)
		return;
	rule_error(b, r,
		   "redirect_to %s:%u is denied by %s of the same policy: allow it "
		   "before that rule, or set redirect_target_policy = \"trusted\"",
		   r->redirect_host, r->redirect_port, rules->rules[hit].label);
}

void mf_rules_builder_take_feeds(struct mf_rules_builder *b, struct mf_threat_feeds *feeds)
{
	mf_threat_feeds_free(b->rules->feeds);
	b->rules->feeds = feeds;
}

int mf_rules_builder_finish(struct mf_rules_builder *b, struct mf_rules **ret_rules,
			    struct mf_err *err)
{
	struct mf_rules *rules = b->rules;
	int r;

	for (uint32_t i = 0; b->code == 0 && i < rules->cnt; i++)
		if (b->untrusted[i])
			check_untrusted_target(b, i);
	r = b->code;
	if (r == MF_E_NOMEM)
		mf_err_set(err, r, "policy %s: out of memory while compiling its rules",
			   rules->policy);
	else if (r == MF_E_LIMIT)
		mf_err_set(err, r, "policy %s has more than %d rules", rules->policy, RULES_MAX);
	else if (r < 0 && b->error_cnt == 1)
		mf_err_at(err, r, rules->file, b->first_line, 0, "policy %s: %s", rules->policy,
			  b->text.str ? b->text.str : "?");
	else if (r < 0 && b->dropped)
		mf_err_at(err, r, rules->file, b->first_line, 0,
			  "policy %s: %u errors: %s; and %u more", rules->policy, b->error_cnt,
			  b->text.str ? b->text.str : "?", b->dropped);
	else if (r < 0)
		mf_err_at(err, r, rules->file, b->first_line, 0, "policy %s: %u errors: %s",
			  rules->policy, b->error_cnt, b->text.str ? b->text.str : "?");
	if (r < 0 || (rules->cnt == 0 && rules->dns_default != MF_DNS_ALLOW &&
		      rules->dns_default != MF_DNS_DENY && !rules->network_default &&
		      !rules->file_default)) {
		mf_rules_free(rules);
		rules = NULL;
	}
	if (r == 0)
		*ret_rules = rules;
	mf_strbuf_done(&b->text);
	free(b->untrusted);
	free(b);
	return r;
}

size_t mf_rules_count(const struct mf_rules *rules)
{
	return rules->cnt;
}

const char *mf_rules_name(const struct mf_rules *rules, size_t i)
{
	return rules->rules[i].label;
}

const char *mf_rules_file(const struct mf_rules *rules, size_t i)
{
	return rules->rules[i].file;
}

unsigned mf_rules_line(const struct mf_rules *rules, size_t i)
{
	return rules->rules[i].line;
}

enum mf_policy_default mf_rules_default(const struct mf_rules *rules, enum mf_kind kind)
{
	if (!rules || kind == MF_DNS_ANSWER)
		return MF_DEFAULT_NONE;
	return kind == MF_FILE ? rules->file_default : rules->network_default;
}
