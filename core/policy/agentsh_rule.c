/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentsh_rule.c - the rules of enforced families, from the tree to struct mf_rule_spec; see agentsh.h
 *
 * What agentsh's words mean here: docs/agentsh.md. In short: variables are expanded in paths, domains and targets; an empty
 * list of domains, networks or ports is the key left out; an empty list of paths never matches; a word of operations stands
 * for the finer operations that Moonfence asks about; backslashes of Windows' paths become slashes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/policy/agentsh_internal.h"

#define TEXT_MAX  8192 /* bytes of one expanded text */
#define MORE_OPS  3
#define ITEMS_MAX 100000

/* --- memory of one rule ------------------------------------------------------------------------------------------- */

struct reading {
	struct mf_agentsh_doc *doc;
	struct mf_agentsh_rule rule;
	const struct mf_agentsh_crumb *at;
	size_t owned_room;
};

/* Takes @ptr over; NULL without memory (then it is freed). */
static void *own(struct reading *r, void *ptr)
{
	struct mf_agentsh_rule *rule = &r->rule;

	if (ptr && rule->owned_cnt == r->owned_room) {
		size_t room = r->owned_room ? r->owned_room * 2 : 16;
		void **more = realloc(rule->owned, room * sizeof(*more));

		if (!more) {
			free(ptr);
			ptr = NULL;
		} else {
			rule->owned = more;
			r->owned_room = room;
		}
	}
	if (!ptr) {
		r->doc->no_memory = true;
		return NULL;
	}
	rule->owned[rule->owned_cnt++] = ptr;
	return ptr;
}

static void free_rule(struct mf_agentsh_rule *rule)
{
	for (size_t i = 0; i < rule->owned_cnt; i++)
		free(rule->owned[i]);
	free(rule->owned);
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

static const struct mf_yaml_node *get(const struct reading *r, const char *key)
{
	const struct mf_yaml_node *node = mf_yaml_get(r->rule.node, key);

	return mf_yaml_is_null(node) ? NULL : node;
}

/* The text of a key; NULL where it is not there or empty, which is the same for agentsh. */
static const char *text_of(const struct reading *r, const char *key)
{
	const struct mf_yaml_node *node = get(r, key);

	return node && *node->text ? node->text : NULL;
}

static const char *expand(struct reading *r, const struct mf_yaml_node *node,
			  const struct mf_agentsh_crumb *at, const char *text,
			  enum mf_vars_form form)
{
	struct mf_strbuf out = MF_STRBUF_INIT(TEXT_MAX);
	char wrong[160] = "";
	const char *copy = text;

	if (!strstr(text, "${"))
		return text;
	if (!mf_vars_expand(r->doc->source->vars, text, form, r->doc->all_variables, &out, wrong,
			    sizeof(wrong)))
		mf_agentsh_say(r->doc, MF_AGENTSH_ERROR, node, at, "\"%.100s\": %s", text, wrong);
	else if (out.failed)
		mf_agentsh_say(r->doc, MF_AGENTSH_ERROR, node, at,
			       "with its variables this has more than %d bytes", TEXT_MAX);
	else
		copy = own(r, strdup(out.str ? out.str : ""));
	mf_strbuf_done(&out);
	return copy;
}

/* The texts of a list, each as @each makes it (NULL: left out). */
static void take_texts(struct reading *r, const char *key, struct mf_rule_list *list,
		       const char *(*each)(struct reading *r, const struct mf_yaml_node *node,
					   const struct mf_agentsh_crumb *at))
{
	const struct mf_yaml_node *node = get(r, key);
	const struct mf_agentsh_crumb at = { r->at, key, 0 };
	const char **items;

	if (!node || node->cnt == 0)
		return;
	items = own(r, calloc(node->cnt, sizeof(*items)));
	if (!items)
		return;
	list->items = items;
	list->present = true;
	for (size_t i = 0; i < node->cnt; i++) {
		const struct mf_agentsh_crumb here = { &at, NULL, i };

		items[list->cnt] = each(r, node->items[i], &here);
		if (items[list->cnt])
			list->cnt++;
	}
}

static const char *take_plain(struct reading *r, const struct mf_yaml_node *node,
			      const struct mf_agentsh_crumb *at)
{
	(void)r;
	(void)at;
	return node->text;
}

static const char *take_domain(struct reading *r, const struct mf_yaml_node *node,
			       const struct mf_agentsh_crumb *at)
{
	const char *text = node->text;

	while (*text == ' ')
		text++;
	if (r->doc->star_any && strcmp(text, "*") == 0)
		return "**";
	return expand(r, node, at, text, MF_VARS_GLOB);
}

/* --- paths -------------------------------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether backslashes of @text separate: it begins with a drive, or one stands before what needs no escape, or after a variable. */
static bool is_windows_path(const char *text)
{
	if (is_letter(text[0]) && text[1] == ':')
		return true;
	for (const char *p = text; *p; p++) {
		if (*p != '\\')
			continue;
		if (is_letter(p[1]) || p[1] == '.' || (p[1] >= '0' && p[1] <= '9') ||
		    (p > text && p[-1] == '}'))
			return true;
		if (p[1])
			p++;
	}
	return false;
}

/* P29: one spelling of paths, "/C:/dir"; what stands in ${ } is left alone. */
static const char *spell_path(struct reading *r, const char *text)
{
	bool drive = is_letter(text[0]) && text[1] == ':';
	char *copy = own(r, malloc(strlen(text) + 2)), *to = copy;
	unsigned depth = 0;

	if (!copy)
		return NULL;
	if (drive)
		*to++ = '/';
	for (const char *p = text; *p; p++) {
		depth += p[0] == '$' && p[1] == '{';
		depth -= depth && *p == '}';
		*to++ = *p == '\\' && !depth ? '/' : *p;
	}
	*to = '\0';
	if (drive && copy[1] >= 'a')
		copy[1] = (char)(copy[1] - 32);
	return copy;
}

static const char *take_path(struct reading *r, const struct mf_yaml_node *node,
			     const struct mf_agentsh_crumb *at)
{
	const char *text = node->text;

	if (is_windows_path(text)) {
		if (strchr(text, '\\') && !r->doc->backslash_told) {
			r->doc->backslash_told = true;
			mf_agentsh_say(r->doc, MF_AGENTSH_WARNING, node, at,
				       "a backslash is taken for a separator of Windows' paths "
				       "here and below; agentsh takes it for an escape");
		}
		text = spell_path(r, text);
	}
	if (text)
		text = expand(r, node, at, text, MF_VARS_PATH);
	if (!text || text[0] == '/' || text[0] == '{' || text[0] == '[' ||
	    strncmp(text, "**", 2) == 0 || strstr(text, "${"))
		return text;
	mf_agentsh_say(r->doc, MF_AGENTSH_WARNING, node, at,
		       "\"%.100s\" never matches: paths begin with /", text);
	return NULL;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

/* agentsh's word, and what Moonfence asks about besides that agentsh judges by it. */
static const struct {
	const char *word, *more[MORE_OPS];
} finer[] = {
	{ "open", { "exec" } },
	{ "stat", { "getxattr", "listxattr" } },
	{ "write", { "truncate", "fallocate" } },
	{ "create", { "symlink" } },
	{ "chmod", { "setxattr", "removexattr", "utimens" } },
};

static void take_operations(struct reading *r)
{
	const struct mf_yaml_node *node = get(r, "operations");
	struct mf_rule_list *list = &r->rule.spec.operations;
	const char **items;

	if (!node || node->cnt == 0)
		return;
	items = own(r, calloc(node->cnt * (MORE_OPS + 1), sizeof(*items)));
	if (!items)
		return;
	list->items = items;
	list->present = true;
	for (size_t i = 0; i < node->cnt; i++)
		items[list->cnt++] = node->items[i]->text;
	for (size_t i = 0; i < node->cnt; i++)
		for (size_t k = 0; k < MF_ARRAY_SIZE(finer); k++)
			for (size_t m = 0; m < MORE_OPS && finer[k].more[m] &&
					   strcasecmp(finer[k].word, node->items[i]->text) == 0;
			     m++)
				items[list->cnt++] = finer[k].more[m];
}

/* --- the families ------------------------------------------------------------------------------------------------- */

static const char *expand_key(struct reading *r, const char *key)
{
	const struct mf_yaml_node *node = get(r, key);
	const struct mf_agentsh_crumb at = { r->at, key, 0 };

	return node && *node->text ? expand(r, node, &at, node->text, MF_VARS_PLAIN) : NULL;
}

static void read_file_rule(struct reading *r)
{
	struct mf_rule_spec *s = &r->rule.spec;
	const struct mf_yaml_node *tree = get(r, "preserve_tree");

	take_texts(r, "paths", &s->paths, take_path);
	if (!s->paths.present)
		mf_agentsh_say(r->doc, MF_AGENTSH_WARNING, r->rule.node, r->at,
			       "without paths this rule never matches");
	s->paths.present = true;
	take_operations(r);
	s->redirect_to = expand_key(r, "redirect_to");
	if (s->redirect_to && is_letter(s->redirect_to[0]) && s->redirect_to[1] == ':')
		s->redirect_to = spell_path(r, s->redirect_to);
	s->preserve_tree = tree && mf_agentsh_bool(tree) == 1;
}

static void take_ports(struct reading *r)
{
	const struct mf_yaml_node *node = get(r, "ports");
	struct mf_rule_spec *s = &r->rule.spec;
	struct mf_port_range *ports;

	if (!node || node->cnt == 0)
		return;
	ports = own(r, calloc(node->cnt, sizeof(*ports)));
	if (!ports)
		return;
	for (size_t i = 0; i < node->cnt; i++)
		ports[i].first = ports[i].last = (uint16_t)atoi(node->items[i]->text);
	s->ports = ports;
	s->port_cnt = node->cnt;
	s->has_ports = true;
}

static void read_network_rule(struct reading *r)
{
	struct mf_rule_spec *s = &r->rule.spec;

	take_texts(r, "domains", &s->domains, take_domain);
	take_texts(r, "cidrs", &s->cidrs, take_plain);
	take_ports(r);
}

/* P14, P15: "search" is what agentsh does; the others are ours. */
static void take_match(struct reading *r)
{
	static const char *const words[] = { "search", "full", "glob", "suffix" };
	const char *mode = text_of(r, "match_mode");
	const struct mf_agentsh_crumb at = { r->at, "match_mode", 0 };
	struct mf_rule_spec *s = &r->rule.spec;
	size_t w = 0, room;
	char *glob;

	s->match = text_of(r, "match");
	while (mode && w < MF_ARRAY_SIZE(words) && strcmp(words[w], mode) != 0)
		w++;
	if (w == MF_ARRAY_SIZE(words)) {
		mf_agentsh_say(r->doc, MF_AGENTSH_ERROR, get(r, "match_mode"), &at,
			       "must be search, full, glob or suffix, not \"%.32s\"", mode);
		w = 0;
	}
	s->mode = w == 0 ? MF_MATCH_SEARCH : w == 1 ? MF_MATCH_REGEX : MF_MATCH_GLOB;
	if (w != 3 || !s->match)
		return;
	room = strlen(s->match) + sizeof("{**.,}");
	glob = own(r, malloc(room));
	if (glob)
		snprintf(glob, room, "{**.,}%s", s->match);
	s->match = glob;
}

static void read_dns_redirect(struct reading *r)
{
	struct mf_rule_spec *s = &r->rule.spec;
	const struct mf_yaml_node *ttl = get(r, "ttl");
	const struct mf_agentsh_crumb at = { r->at, "ttl", 0 };

	take_match(r);
	s->resolve_to = text_of(r, "resolve_to");
	s->resolve_to6 = text_of(r, "resolve_to6");
	if (ttl && (atoll(ttl->text) < 1 || atoll(ttl->text) > 604800))
		mf_agentsh_say(r->doc, MF_AGENTSH_ERROR, ttl, &at,
			       "must be seconds, 1 to 604800, not %.20s", ttl->text);
	else if (ttl)
		s->ttl_s = (uint32_t)atoll(ttl->text);
}

static void read_connect_redirect(struct reading *r)
{
	struct mf_rule_spec *s = &r->rule.spec;
	const struct mf_yaml_node *tls = get(r, "tls"), *mode = mf_yaml_get(tls, "mode"),
				  *sni = mf_yaml_get(tls, "sni");
	const char *trust = text_of(r, "redirect_target_policy");
	const struct mf_agentsh_crumb at = { r->at, "redirect_target_policy", 0 };

	take_match(r);
	s->redirect_to = text_of(r, "redirect_to");
	s->redirect_to_unix = expand_key(r, "redirect_to_unix");
	if (!mf_yaml_is_null(mode) && *mode->text)
		s->tls_mode = mode->text;
	if (!mf_yaml_is_null(sni) && *sni->text)
		s->tls_sni = sni->text;
	s->trusted = trust && strcmp(trust, "trusted") == 0;
	if (trust && !s->trusted && strcmp(trust, "check") != 0)
		mf_agentsh_say(r->doc, MF_AGENTSH_ERROR, get(r, "redirect_target_policy"), &at,
			       "must be check or trusted, not \"%.32s\"", trust);
}

static void read_rule(struct reading *r)
{
	static void (*const readers[MF_RULE_FAMILY_NUM])(struct reading * r) = {
		[MF_NETWORK_RULES] = read_network_rule,
		[MF_DNS_REDIRECTS] = read_dns_redirect,
		[MF_CONNECT_REDIRECTS] = read_connect_redirect,
		[MF_FILE_RULES] = read_file_rule,
	};
	struct mf_rule_spec *s = &r->rule.spec;

	s->line = r->rule.node->line;
	s->name = text_of(r, "name");
	s->message = text_of(r, "message");
	s->timeout = text_of(r, "timeout");
	s->decision = text_of(r, "decision");
	s->visibility = text_of(r, "visibility");
	s->on_failure = text_of(r, "on_failure");
	readers[s->family](r);
}

struct family {
	struct mf_agentsh_doc *top;
	enum mf_rule_family family;
	void (*fn)(void *ctx, const struct mf_agentsh_rule *rule);
	void *ctx;
};

static void read_one(void *ctx, struct mf_agentsh_doc *doc, size_t index)
{
	const struct family *f = ctx;
	const char *key = mf_rule_family_name(f->family);
	const struct mf_agentsh_crumb at = { NULL, key, 0 }, here = { &at, NULL, index };
	const struct mf_yaml_node *node = mf_yaml_get(doc->root, key)->items[index];
	struct reading r = { .doc = doc,
			     .rule = { .spec = { .family = f->family,
						 .index = (unsigned)index,
						 .file = doc == f->top ? NULL : doc->source->file },
				       .node = node },
			     .at = &here };
	size_t before;

	if (f->top->no_memory || !mf_agentsh_check_rule(doc, f->family, node, &here))
		return;
	before = doc->error_cnt;
	read_rule(&r);
	f->top->no_memory = f->top->no_memory || doc->no_memory;
	if (doc->error_cnt == before && !f->top->no_memory)
		f->fn(f->ctx, &r.rule);
	free_rule(&r.rule);
}

static void check_list(struct mf_agentsh_doc *doc, const char *key)
{
	const struct mf_yaml_node *list = mf_yaml_get(doc->root, key);
	const struct mf_agentsh_crumb at = { NULL, key, 0 };

	if (!mf_yaml_is_null(list) && list->kind != MF_YAML_LIST)
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, list, &at, "must be a list of rules, not %s",
			       mf_yaml_kind_name(list->kind));
}

void mf_agentsh_each_rule(struct mf_agentsh_doc *top,
			  void (*fn)(void *ctx, const struct mf_agentsh_rule *rule), void *ctx)
{
	mf_agentsh_close_services(top, fn, ctx);
	for (size_t i = 0; i < top->file_cnt; i++) {
		mf_agentsh_close_services(top->files[i], fn, ctx);
		top->no_memory = top->no_memory || top->files[i]->no_memory;
	}
	for (int family = 0; family < MF_RULE_FAMILY_NUM; family++) {
		struct family f = { top, (enum mf_rule_family)family, fn, ctx };

		check_list(top, mf_rule_family_name(f.family));
		for (size_t i = 0; i < top->file_cnt; i++)
			check_list(top->files[i], mf_rule_family_name(f.family));
		mf_agentsh_each_listed(top, f.family, read_one, &f);
	}
}
