/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentsh_extends.c - `extends`: a policy that takes over the rules of others (P72); see agentsh.h
 *
 *	extends: [base, lib/company.yaml]
 *
 * A list of a family is then, first match wins as ever: what is marked `final` in those that are extended, in their order; the policy's own
 * rules; the others' remaining rules. Who is extended may extend further, relative to the directory it lies in. A policy that is reached
 * over two ways counts where it comes first, which decides the same: what stands a second time is never asked.
 *
 * Each is a policy of its own, checked as any other, and read as its own words say (domain_star, vars_from_env). Of its settings
 * none counts that says what becomes of what no rule decided.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/agentsh_internal.h"
#include "core/policy/pack.h"
#include "core/policy/source.h"

#define FILES_MAX 32
#define DEPTH_MAX 8
#define CHAIN_MAX 512 /* bytes of a circle that is told */

/* A name as it is written, and those that it may mean. */
struct candidates {
	char names[2][MF_SOURCE_NAME_MAX + 1];
	unsigned cnt;
};

/* Which policies are being read: each extends the one before. */
struct chain {
	const struct chain *up;
	struct mf_agentsh_doc *doc;
	unsigned depth;
};

static bool is_word(const char *text)
{
	return *text && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789_-")] == '\0';
}

/* "base" is base.yaml or base.yml; anything else has its ending, and lies where it says, beside @from or below. */
static bool find_names(const struct mf_agentsh_doc *from, const char *text, struct candidates *ret)
{
	static const char *const endings[] = { ".yaml", ".yml" };
	const char *slash = strrchr(from->rel, '/');
	int dir = slash ? (int)(slash - from->rel) + 1 : 0, n;

	ret->cnt = is_word(text) ? 2 : 1;
	if (ret->cnt == 1 && !mf_agentsh_is_name(text))
		return false;
	for (unsigned i = 0; i < ret->cnt; i++) {
		n = snprintf(ret->names[i], sizeof(ret->names[i]), "%.*s%s%s", dir, from->rel, text,
			     ret->cnt == 2 ? endings[i] : "");
		if (n < 0 || (size_t)n >= sizeof(ret->names[i]))
			return false;
	}
	return true;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

static void free_file(struct mf_agentsh_doc *doc)
{
	mf_yaml_free(doc->tree);
	mf_strbuf_done(&doc->errors);
	free(doc->parents);
	free(doc->rel);
	free(doc->path);
	free(doc);
}

static char *join(const char *dir, const char *name)
{
	size_t room = strlen(dir) + strlen(name) + 2;
	char *path = malloc(room);

	if (path)
		snprintf(path, room, "%s%s%s", dir, *dir ? "/" : "", name);
	return path;
}

/* One more of @top's files, read but not looked at. NULL: no memory, told */
static struct mf_agentsh_doc *new_file(struct mf_agentsh_doc *top, const char *name,
				       const char *text, size_t len)
{
	struct mf_agentsh_doc *doc = calloc(1, sizeof(*doc)),
			      **more = realloc(top->files, (top->file_cnt + 1) * sizeof(*more));

	if (more)
		top->files = more;
	if (doc) {
		*doc = (struct mf_agentsh_doc){
			.sink = top->sink, .name = "?", .top = top, .errors = MF_STRBUF_INIT(4096)
		};
		doc->rel = strdup(name);
		doc->path = join(top->source->dir ? top->source->dir : "", name);
		doc->own_source = *top->source;
		doc->own_source.file = doc->path;
		doc->own_source.text = text;
		doc->own_source.len = len;
		doc->source = &doc->own_source;
	}
	if (!doc || !more || !doc->rel || !doc->path) {
		if (doc)
			free_file(doc);
		top->no_memory = true;
		return NULL;
	}
	top->files[top->file_cnt++] = doc;
	return doc;
}

static bool extends_itself(struct mf_agentsh_doc *from, const struct chain *chain,
			   const struct mf_yaml_node *item, const struct mf_agentsh_crumb *at,
			   const char *name)
{
	struct mf_strbuf text = MF_STRBUF_INIT(CHAIN_MAX);
	const char *names[DEPTH_MAX + 2];
	const struct chain *c = chain;
	unsigned n = 0;

	while (c && strcmp(c->doc->rel, name) != 0)
		c = c->up;
	if (!c)
		return false;
	for (const struct chain *k = chain;; k = k->up) {
		names[n++] = k->doc->rel;
		if (k == c)
			break;
	}
	while (n-- > 0)
		mf_strbuf_addf(&text, "%s -> ", names[n]);
	mf_strbuf_adds(&text, name);
	mf_agentsh_say(from, MF_AGENTSH_ERROR, item, at, "extends itself: %s",
		       text.str ? text.str : name);
	mf_strbuf_done(&text);
	return true;
}

static struct mf_agentsh_doc *find_file(const struct mf_agentsh_doc *top, const char *name)
{
	for (size_t i = 0; i < top->file_cnt; i++)
		if (strcmp(top->files[i]->rel, name) == 0)
			return top->files[i];
	return NULL;
}

/* The text of the first of @names that is there. Return: its number, or a MF_E_* that has been told */
static int read_text(struct mf_agentsh_doc *from, const struct mf_yaml_node *item,
		     const struct mf_agentsh_crumb *at, const struct candidates *all,
		     const char **ret_text, size_t *ret_len)
{
	const struct mf_agentsh_source *source = from->top->source;
	struct mf_err err = { 0 };
	int r = MF_E_NOENT;
	unsigned i = 0;

	for (; i < all->cnt; i++) {
		r = source->read(source->read_ctx, all->names[i], ret_text, ret_len, &err);
		if (r != MF_E_NOENT)
			break;
	}
	if (r == 0 && *ret_len > MF_SOURCE_FILE_MAX)
		mf_agentsh_say(from, MF_AGENTSH_ERROR, item, at, "%s has more than %zu MiB",
			       all->names[i], MF_SOURCE_FILE_MAX >> 20);
	else if (r == 0)
		return (int)i;
	else if (r == MF_E_NOENT && all->cnt == 2)
		mf_agentsh_say(from, MF_AGENTSH_ERROR, item, at, "there is no %s and no %s in %s",
			       all->names[0], all->names[1], source->dir ? source->dir : ".");
	else if (r == MF_E_NOENT)
		mf_agentsh_say(from, MF_AGENTSH_ERROR, item, at, "there is no %s in %s",
			       all->names[0], source->dir ? source->dir : ".");
	else if (r == MF_E_NOMEM)
		from->top->no_memory = true;
	else
		mf_agentsh_say(from, MF_AGENTSH_ERROR, item, at, "%s: %s", all->names[i], err.msg);
	return MF_E_POLICY;
}

/* What says what becomes of all that no rule decides is the policy's own that extends, and strict where it is silent. */
static void doubt_settings(struct mf_agentsh_doc *doc)
{
	static const char *const keys[] = { "dns_default", "redirect_target_policy",
					    "approve_without_channel", "redirect_unsupported",
					    "redirect_other_types" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(keys); i++) {
		const struct mf_yaml_node *value = mf_yaml_get(doc->root, keys[i]);
		const struct mf_agentsh_crumb at = { NULL, keys[i], 0 };

		if (!mf_yaml_is_null(value))
			mf_agentsh_say(
				doc, MF_AGENTSH_WARNING, value, &at,
				"does not count in a policy that is extended: %s has its own",
				doc->top->source->file);
	}
}

static void read_parents(struct mf_agentsh_doc *doc, const struct chain *chain);

static struct mf_agentsh_doc *read_file(struct mf_agentsh_doc *from, const struct chain *chain,
					const struct mf_yaml_node *item,
					const struct mf_agentsh_crumb *at)
{
	struct mf_agentsh_doc *top = from->top, *doc;
	struct candidates all;
	const char *text;
	size_t len;
	int i;

	if (!find_names(from, item->text, &all)) {
		mf_agentsh_say(from, MF_AGENTSH_ERROR, item, at,
			       "\"%.64s\" is neither a policy's name nor a file that ends in .yaml "
			       "or .yml",
			       item->text);
		return NULL;
	}
	for (unsigned k = 0; k < all.cnt; k++) {
		if (extends_itself(from, chain, item, at, all.names[k]))
			return NULL;
		doc = find_file(top, all.names[k]);
		if (doc)
			return doc;
	}
	if (chain->depth >= DEPTH_MAX || top->file_cnt >= FILES_MAX) {
		mf_agentsh_say(from, MF_AGENTSH_ERROR, item, at,
			       "at most %d policies are extended, over %d levels", FILES_MAX,
			       DEPTH_MAX);
		return NULL;
	}
	i = read_text(from, item, at, &all, &text, &len);
	doc = i < 0 ? NULL : new_file(top, all.names[i], text, len);
	if (!doc || mf_agentsh_read_tree(doc, NULL) < 0)
		return NULL;
	doubt_settings(doc);
	if (doc->options.gobwas != top->options.gobwas)
		mf_agentsh_say(from, MF_AGENTSH_ERROR, item, at,
			       "%s reads globs in another way: both say compat: gobwas, or none",
			       all.names[i]);
	read_parents(doc, &(struct chain){ chain, doc, chain->depth + 1 });
	return doc;
}

static void read_parents(struct mf_agentsh_doc *doc, const struct chain *chain)
{
	const struct mf_yaml_node *list = mf_yaml_get(doc->root, "extends");
	const struct mf_agentsh_crumb at = { NULL, "extends", 0 };

	/* What has a wrong type has been told. */
	if (doc->top_errors || mf_yaml_is_null(list) || list->cnt == 0)
		return;
	if (!doc->top->source->read) {
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, list, &at,
			       "nothing can be extended here: the policy is no file");
		return;
	}
	doc->parents = calloc(list->cnt, sizeof(struct mf_agentsh_doc *));
	if (!doc->parents) {
		doc->top->no_memory = true;
		return;
	}
	for (size_t i = 0; i < list->cnt && !doc->top->no_memory; i++) {
		const struct mf_agentsh_crumb here = { &at, NULL, i };
		struct mf_agentsh_doc *one = read_file(doc, chain, list->items[i], &here);

		if (one)
			doc->parents[doc->parent_cnt++] = one;
	}
}

void mf_agentsh_read_parents(struct mf_agentsh_doc *top)
{
	const char *slash = strrchr(top->source->file, '/');

	top->rel = strdup(slash ? slash + 1 : top->source->file);
	if (!top->rel)
		top->no_memory = true;
	else
		read_parents(top, &(struct chain){ NULL, top, 0 });
}

void mf_agentsh_free_parents(struct mf_agentsh_doc *top)
{
	for (size_t i = 0; i < top->file_cnt; i++)
		free_file(top->files[i]);
	free(top->files);
	free(top->parents);
	free(top->rel);
}

/* --- the order of rules --------------------------------------------------------------------------------------------- */

enum part { FINALS, OTHERS, ALL };

struct listing {
	const char *family;
	void (*fn)(void *ctx, struct mf_agentsh_doc *doc, size_t index);
	void *ctx;
};

static bool is_final(const struct mf_yaml_node *rule)
{
	const struct mf_yaml_node *mark = mf_yaml_get(rule, "final");

	return !mf_yaml_is_null(mark) && mf_agentsh_bool(mark) == 1;
}

static void list_own(const struct listing *l, struct mf_agentsh_doc *doc, enum part part)
{
	const struct mf_yaml_node *list = mf_yaml_get(doc->root, l->family);

	if (mf_yaml_is_null(list) || list->kind != MF_YAML_LIST)
		return;
	for (size_t i = 0; i < list->cnt; i++)
		if (part == ALL || is_final(list->items[i]) == (part == FINALS))
			l->fn(l->ctx, doc, i);
}

static void list_part(const struct listing *l, struct mf_agentsh_doc *doc, enum part part)
{
	if (doc->listed[part])
		return;
	doc->listed[part] = true;
	if (part == OTHERS)
		list_own(l, doc, part);
	for (size_t i = 0; i < doc->parent_cnt; i++)
		list_part(l, doc->parents[i], part);
	if (part == FINALS)
		list_own(l, doc, part);
}

void mf_agentsh_each_listed(struct mf_agentsh_doc *top, enum mf_rule_family family,
			    void (*fn)(void *ctx, struct mf_agentsh_doc *doc, size_t index),
			    void *ctx)
{
	const struct listing l = { mf_rule_family_name(family), fn, ctx };

	for (size_t i = 0; i < top->file_cnt; i++)
		top->files[i]->listed[FINALS] = top->files[i]->listed[OTHERS] = false;
	for (size_t i = 0; i < top->parent_cnt; i++)
		list_part(&l, top->parents[i], FINALS);
	list_own(&l, top, ALL);
	for (size_t i = 0; i < top->parent_cnt; i++)
		list_part(&l, top->parents[i], OTHERS);
}

struct mf_agentsh_doc *mf_agentsh_file_of(struct mf_agentsh_doc *top, const char *file)
{
	for (size_t i = 0; file && i < top->file_cnt; i++)
		if (strcmp(top->files[i]->source->file, file) == 0)
			return top->files[i];
	return top;
}

/* --- sources -------------------------------------------------------------------------------------------------------- */

static int read_below(const void *ctx, const char *name, const char **ret_text, size_t *ret_len,
		      struct mf_err *err)
{
	return mf_policy_source_data(ctx, name, ret_text, ret_len, err);
}

struct mf_agentsh_source mf_agentsh_source_of(const struct mf_policy_source *policy,
					      const struct mf_vars *vars)
{
	return (struct mf_agentsh_source){
		.file = policy->chunk.name,
		.text = policy->chunk.text,
		.len = policy->chunk.len,
		.vars = vars,
		.dir = policy->dir,
		.read = read_below,
		.read_ctx = policy,
	};
}

void mf_agentsh_each_extended(const struct mf_policy_source *policy,
			      void (*fn)(void *ctx, const char *text, size_t len), void *ctx)
{
	const struct mf_agentsh_source source = mf_agentsh_source_of(policy, NULL);
	struct mf_agentsh_doc doc;

	(void)mf_agentsh_open_files(&doc, &source, NULL, NULL);
	for (size_t i = 0; i < doc.file_cnt; i++)
		fn(ctx, doc.files[i]->source->text, doc.files[i]->source->len);
	mf_agentsh_close(&doc);
}
