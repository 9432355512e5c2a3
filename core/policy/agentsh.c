/* SPDX-License-Identifier: Apache-2.0 */
/* agentsh.c - reads and compiles an agentsh policy; see agentsh.h */
#include "core/policy/agentsh.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/agentsh_internal.h"
#include "core/policy/files.h"
#include "core/policy/request.h"
#include "core/policy/shadow.h"

#define ERRORS_ROOM 600 /* bytes of struct mf_err's text for the errors themselves */
#define PATH_ROOM   256

bool mf_agentsh_is_name(const char *name)
{
	return mf_file_name_ends(name, ".yaml") || mf_file_name_ends(name, ".yml");
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

static void add_crumb(const struct mf_agentsh_crumb *at, char *buf, size_t room)
{
	size_t n;

	if (!at) {
		buf[0] = '\0';
		return;
	}
	add_crumb(at->up, buf, room);
	n = strlen(buf);
	if (at->key)
		snprintf(buf + n, room - n, "%s%.64s", n ? "." : "", at->key);
	else
		snprintf(buf + n, room - n, "[%zu]", at->index);
}

static void say_at(struct mf_agentsh_doc *doc, enum mf_agentsh_level level, unsigned line,
		   unsigned column, const char *path, const char *text)
{
	const struct mf_agentsh_sink *sink = doc->sink;
	const char *file = doc->source->file;

	if (sink)
		sink->tell(sink->ctx, level, file, line, column, path, text);
	if (level != MF_AGENTSH_ERROR)
		return;
	if (doc->top != doc)
		doc->error_cnt++;
	doc = doc->top;
	if (++doc->error_cnt == 1) {
		doc->file = file;
		doc->line = line;
		doc->column = column;
	}
	if (doc->errors.len + strlen(path) + strlen(text) + 24 > ERRORS_ROOM &&
	    doc->error_cnt > 1) {
		doc->dropped++;
		return;
	}
	if (doc->errors.len && file == doc->file)
		mf_strbuf_addf(&doc->errors, "; line %u: ", line);
	else if (doc->errors.len)
		mf_strbuf_addf(&doc->errors, "; %s:%u: ", file, line);
	mf_strbuf_addf(&doc->errors, "%s%s%s", path, *path ? ": " : "", text);
}

void mf_agentsh_say(struct mf_agentsh_doc *doc, enum mf_agentsh_level level,
		    const struct mf_yaml_node *node, const struct mf_agentsh_crumb *at,
		    const char *fmt, ...)
{
	char path[PATH_ROOM], text[512];
	va_list ap;

	add_crumb(at, path, sizeof(path));
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say_at(doc, level, node ? node->line : 0, node ? node->column : 0, path, text);
}

/* The place is the rule's, or its key's, or an item's. */
static void say_of_rule(struct mf_agentsh_doc *all, enum mf_agentsh_level level, const char *file,
			enum mf_rule_family rule_family, unsigned index, const char *field,
			size_t item, const char *text)
{
	struct mf_agentsh_doc *doc = mf_agentsh_file_of(all, file);
	const char *family = mf_rule_family_name(rule_family);
	const struct mf_yaml_node *list = mf_yaml_get(doc->root, family), *rule, *value;
	const struct mf_agentsh_crumb top = { NULL, family, 0 }, at_rule = { &top, NULL, index },
				      at_key = { &at_rule, field, 0 },
				      at_item = { &at_key, NULL, item };

	rule = list && list->kind == MF_YAML_LIST && index < list->cnt ? list->items[index]
								       : doc->root;
	value = field ? mf_yaml_get(rule, field) : NULL;
	if (value && value->kind == MF_YAML_LIST && item < value->cnt)
		mf_agentsh_say(doc, level, value->items[item], &at_item, "%s", text);
	else if (value)
		mf_agentsh_say(doc, level, value, &at_key, "%s", text);
	else
		mf_agentsh_say(doc, level, rule, &at_rule, "%s", text);
}

/* What the builder refused. */
static void on_rule_error(void *ctx, const struct mf_rule_spec *spec, const char *field,
			  size_t item, const char *text)
{
	say_of_rule(ctx, MF_AGENTSH_ERROR, spec->file, spec->family, spec->index, field, item,
		    text);
}

static int fail(struct mf_agentsh_doc *doc, struct mf_err *err)
{
	const char *text = doc->errors.str ? doc->errors.str : "?", *name = doc->name,
		   *file = doc->file ? doc->file : doc->source->file;

	if (doc->no_memory)
		return mf_err_set(err, MF_E_NOMEM, "out of memory while reading %s",
				  doc->source->file);
	if (doc->error_cnt == 1)
		return mf_err_at(err, MF_E_POLICY, file, doc->line, doc->column, "%s", text);
	if (doc->dropped)
		return mf_err_at(err, MF_E_POLICY, file, doc->line, doc->column,
				 "policy %.64s: %zu errors: %s; and %zu more", name, doc->error_cnt,
				 text, doc->dropped);
	return mf_err_at(err, MF_E_POLICY, file, doc->line, doc->column,
			 "policy %.64s: %zu errors: %s", name, doc->error_cnt, text);
}

/* --- settings ------------------------------------------------------------------------------------------------------- */

/* Position of the value of @key in @words; 0 where it is not there. */
static int take_word(struct mf_agentsh_doc *doc, const char *key, const char *const *words)
{
	const struct mf_yaml_node *node = mf_yaml_get(doc->root, key);
	const struct mf_agentsh_crumb at = { NULL, key, 0 };
	struct mf_strbuf list = MF_STRBUF_INIT(256);

	if (mf_yaml_is_null(node) || node->kind != MF_YAML_SCALAR)
		return 0;
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], node->text) == 0)
			return i;
	for (int i = 0; words[i]; i++)
		mf_strbuf_addf(&list, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, &at, "must be %s, not \"%.32s\"",
		       list.str ? list.str : "?", node->text);
	mf_strbuf_done(&list);
	return 0;
}

static const char unasked[] = "approve_without_channel";

static void take_settings(struct mf_agentsh_doc *doc)
{
	static const char *const compat[] = { "none", "gobwas", NULL };
	static const char *const star[] = { "label", "any", NULL };
	static const char *const dns[] = { "resolve_known", "allow", "deny", NULL };
	static const char *const trust[] = { "check", "trusted", NULL };
	static const char *const instead[] = { "deny", "allow", NULL };
	static const char *const others[] = { "empty", "forward", NULL };
	const struct mf_yaml_node *node = mf_yaml_get(doc->root, "name"),
				  *all = mf_yaml_get(doc->root, "vars_from_env");
	const struct mf_agentsh_crumb at = { NULL, "name", 0 }, at_unasked = { NULL, unasked, 0 };
	struct mf_rules_options *o = &doc->options;

	doc->name = node && node->kind == MF_YAML_SCALAR && *node->text ? node->text : "?";
	if (strlen(doc->name) > 128)
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, &at, "has 1 to 128 bytes");
	doc->star_any = take_word(doc, "domain_star", star) == 1;
	doc->all_variables = !mf_yaml_is_null(all) && mf_agentsh_bool(all) == 1;
	*o = (struct mf_rules_options){
		.policy = doc->name,
		.file = doc->source->file,
		.agentsh = true,
		.gobwas = take_word(doc, "compat", compat) == 1,
		.trust_targets = take_word(doc, "redirect_target_policy", trust) == 1,
		.dns_default = (enum mf_dns_default)take_word(doc, "dns_default", dns),
		.network_default = MF_DEFAULT_DENY,
		.file_default = MF_DEFAULT_ALLOW_READS,
		.ask_else_allow = take_word(doc, unasked, instead) == 1,
		.redirect_else_allow = take_word(doc, "redirect_unsupported", instead) == 1,
		.other_types_forward = take_word(doc, "redirect_other_types", others) == 1,
		.report = on_rule_error,
		.report_ctx = doc,
	};
	if (o->ask_else_allow && doc->top == doc)
		mf_agentsh_say(doc, MF_AGENTSH_WARNING, mf_yaml_get(doc->root, unasked),
			       &at_unasked,
			       "what needs an approval is allowed where nobody can be asked");
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

struct compiling {
	struct mf_agentsh_doc *doc;
	struct mf_rules_builder *b;
	struct mf_shadows *shadows; /* NULL: nobody listens */
};

static void add_rule(void *ctx, const struct mf_agentsh_rule *rule)
{
	struct compiling *c = ctx;
	size_t before = c->doc->error_cnt;

	mf_rules_builder_add(c->b, &rule->spec);
	if (c->doc->error_cnt != before)
		return;
	mf_agentsh_doubt(mf_agentsh_file_of(c->doc, rule->spec.file), rule);
	if (c->shadows && mf_shadows_add(c->shadows, &rule->spec) < 0)
		c->doc->no_memory = true;
}

/* Whether the selectors of a rule are written with variables. */
static bool has_variables(struct mf_agentsh_doc *top, const struct mf_shadow *found)
{
	const struct mf_agentsh_doc *doc = mf_agentsh_file_of(top, found->file);
	const struct mf_yaml_node *list =
		mf_yaml_get(doc->root, mf_rule_family_name(found->family));
	const struct mf_yaml_node *value = mf_yaml_get(list->items[found->index], found->field);

	for (size_t i = 0; value && value->kind == MF_YAML_LIST && i < value->cnt; i++)
		if (value->items[i]->kind == MF_YAML_SCALAR && strstr(value->items[i]->text, "${"))
			return true;
	return false;
}

static void on_shadow(void *ctx, const struct mf_shadow *found)
{
	bool here = has_variables(ctx, found);
	char text[512];

	snprintf(text, sizeof(text), "%s%s; %s", found->text,
		 here ? ", with the variables as they are here" : "", found->hint);
	say_of_rule(ctx, here ? MF_AGENTSH_NOTE : MF_AGENTSH_WARNING, found->file, found->family,
		    found->index, found->item == SIZE_MAX ? NULL : found->field, found->item, text);
}

static void tell_shadows(struct mf_agentsh_doc *doc, struct mf_shadows *shadows)
{
	const struct mf_shadow_sink sink = { on_shadow, doc };
	int r = mf_shadows_find(shadows, &sink);

	if (r == 1)
		mf_agentsh_say(doc, MF_AGENTSH_NOTE, doc->root, NULL,
			       "too many rules to look for all that are never reached");
	else if (r < 0)
		doc->no_memory = true;
}

static int compile(struct mf_agentsh_doc *doc, struct mf_rules **ret_rules, struct mf_err *err)
{
	struct compiling c = { .doc = doc };
	int r = mf_rules_builder_new(&doc->options, &c.b);

	if (r < 0)
		return mf_err_set(err, r, "out of memory while reading %s", doc->source->file);
	if (doc->sink && mf_shadows_new(&doc->options, &c.shadows) < 0)
		doc->no_memory = true;
	mf_agentsh_each_rule(doc, add_rule, &c);
	mf_rules_builder_take_feeds(c.b, mf_agentsh_read_feeds(doc));
	r = mf_rules_builder_finish(c.b, ret_rules, err);
	if (c.shadows && doc->error_cnt == 0 && !doc->no_memory)
		tell_shadows(doc, c.shadows);
	mf_shadows_free(c.shadows);
	if (doc->error_cnt == 0 && !doc->no_memory)
		return r;
	if (r == 0)
		mf_rules_free(*ret_rules);
	*ret_rules = NULL;
	return r == MF_E_NOMEM || r == MF_E_LIMIT ? r : fail(doc, err);
}

int mf_agentsh_read_tree(struct mf_agentsh_doc *doc, struct mf_err *err)
{
	const struct mf_agentsh_source *source = doc->source;
	struct mf_err why = { 0 };
	int r = mf_yaml_read(source->text, source->len, source->file, &doc->tree, &why);

	if (r < 0) {
		doc->tree = NULL;
		say_at(doc, MF_AGENTSH_ERROR, why.line, why.column, "", why.msg);
		if (err)
			*err = why;
		return r;
	}
	doc->root = mf_yaml_root(doc->tree);
	if (doc->root->kind != MF_YAML_MAP) {
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, doc->root, NULL,
			       "a policy is a mapping, not %s", mf_yaml_kind_name(doc->root->kind));
		return fail(doc->top, err);
	}
	take_settings(doc);
	mf_agentsh_check_top(doc);
	doc->top_errors = doc->error_cnt > 0;
	mf_agentsh_check_services(doc);
	return 0;
}

int mf_agentsh_open_files(struct mf_agentsh_doc *doc, const struct mf_agentsh_source *source,
			  const struct mf_agentsh_sink *sink, struct mf_err *err)
{
	int r;

	*doc = (struct mf_agentsh_doc){ .source = source,
					.sink = sink,
					.top = doc,
					.name = "?",
					.errors = MF_STRBUF_INIT(4096) };
	r = mf_agentsh_read_tree(doc, err);
	if (r == 0)
		mf_agentsh_read_parents(doc);
	return r;
}

int mf_agentsh_open(struct mf_agentsh_doc *doc, const struct mf_agentsh_source *source,
		    const struct mf_agentsh_sink *sink, struct mf_rules **ret_rules,
		    struct mf_err *err)
{
	int r;

	*ret_rules = NULL;
	r = mf_agentsh_open_files(doc, source, sink, err);
	return r < 0 ? r : compile(doc, ret_rules, err);
}

void mf_agentsh_close(struct mf_agentsh_doc *doc)
{
	mf_yaml_free(doc->tree);
	mf_strbuf_done(&doc->errors);
	mf_agentsh_free_parents(doc);
}

int mf_agentsh_load(const struct mf_agentsh_source *source, const struct mf_agentsh_sink *sink,
		    struct mf_agentsh_policy *ret, struct mf_err *err)
{
	struct mf_agentsh_doc doc;
	int r;

	*ret = (struct mf_agentsh_policy){ 0 };
	r = mf_agentsh_open(&doc, source, sink, &ret->rules, err);
	if (r == 0)
		snprintf(ret->name, sizeof(ret->name), "%s", doc.name);
	mf_agentsh_close(&doc);
	return r;
}

bool mf_agentsh_allows_unasked(const char *text, size_t len)
{
	const struct mf_yaml_node *root, *word = NULL;
	struct mf_yaml_tree *tree;
	bool allows;

	if (mf_yaml_read(text, len, "", &tree, NULL) < 0)
		return false;
	root = mf_yaml_root(tree);
	if (root->kind == MF_YAML_MAP)
		word = mf_yaml_get(root, unasked);
	allows = word && word->kind == MF_YAML_SCALAR && strcmp(word->text, "allow") == 0;
	mf_yaml_free(tree);
	return allows;
}

/* Those of one file; each family once, whatever the number of files. */
static void add_not_enforced(const struct mf_yaml_node *root, struct mf_strbuf *out)
{
	for (size_t i = 0; root && root->kind == MF_YAML_MAP && i < root->cnt; i++) {
		const struct mf_yaml_node *key = mf_yaml_key(root, i);

		if (!mf_agentsh_is_accepted_only(key, mf_yaml_value(root, i)) ||
		    (out->str && strstr(out->str, key->text)))
			continue;
		mf_strbuf_addf(out, "%s%s%s", out->len ? ", " : "", key->text,
			       strcmp(key->text, "http_services") == 0
				       ? " (secret, inject, scrub_response)"
				       : "");
	}
}

bool mf_agentsh_not_enforced(const struct mf_agentsh_source *source, char *buf, size_t room)
{
	struct mf_strbuf out = MF_STRBUF_INIT(4096);
	struct mf_agentsh_doc doc;
	bool any;

	(void)mf_agentsh_open_files(&doc, source, NULL, NULL);
	add_not_enforced(doc.root, &out);
	for (size_t i = 0; i < doc.file_cnt; i++)
		add_not_enforced(doc.files[i]->root, &out);
	any = out.len > 0;
	snprintf(buf, room, "%s", any ? out.str : "");
	mf_strbuf_done(&out);
	mf_agentsh_close(&doc);
	return any;
}
