/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentsh_feeds.c - threat_feeds of a policy: which lists there are, and reading them; see threat_feed.h
 *
 * agentsh has them in its configuration, and fetches them by itself. Here they are the policy's, and files below its directory:
 * verified and watched as its other files are. Something else fetches them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/names/canonical.h"
#include "core/policy/agentsh_internal.h"
#include "core/policy/pack.h"
#include "core/policy/threat_feed.h"

#define FEEDS_KEY "threat_feeds"

struct reading {
	struct mf_agentsh_doc *doc;
	struct mf_threat_feeds *feeds;
};

static const struct mf_yaml_node *get(const struct mf_yaml_node *map, const char *key)
{
	const struct mf_yaml_node *node = mf_yaml_get(map, key);

	return mf_yaml_is_null(node) ? NULL : node;
}

/* The position of a word in @words, letter case ignored; -1, with an error */
static int take_word(struct mf_agentsh_doc *doc, const struct mf_yaml_node *map, const char *key,
		     const struct mf_agentsh_crumb *up, const char *const words[2])
{
	const struct mf_yaml_node *node = get(map, key);
	const struct mf_agentsh_crumb at = { up, key, 0 };

	if (!node)
		return 0;
	for (int i = 0; i < 2; i++)
		if (strcasecmp(node->text, words[i]) == 0)
			return i;
	mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, &at, "must be %s or %s, not \"%.32s\"",
		       words[0], words[1], node->text);
	return -1;
}

static void out_of(struct mf_agentsh_doc *doc, int r, const struct mf_yaml_node *node,
		   const struct mf_agentsh_crumb *at)
{
	if (r == MF_E_NOMEM)
		doc->no_memory = true;
	else if (r < 0)
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, at, "at most %d feeds are read",
			       MF_THREAT_FEEDS_MAX);
}

/* Return: 0 with the set (NULL: no list); an error has been told */
static int take_allowed(struct mf_agentsh_doc *doc, const struct mf_yaml_node *map,
			const struct mf_agentsh_crumb *up, struct mf_domain_set **ret)
{
	static const struct mf_domain_set_options options = { .canon = mf_name_canon };
	const struct mf_yaml_node *list = get(map, "allowlist");
	const struct mf_agentsh_crumb at = { up, "allowlist", 0 };
	struct mf_domain_set_builder *b;
	size_t before = doc->error_cnt;

	*ret = NULL;
	if (!list || list->cnt == 0)
		return 0;
	if (mf_domain_set_builder_new(&options, &b, NULL) < 0) {
		doc->no_memory = true;
		return MF_E_NOMEM;
	}
	for (size_t i = 0; i < list->cnt; i++) {
		const struct mf_agentsh_crumb here = { &at, NULL, i };
		const char *text = list->items[i]->text;
		int r = mf_domain_set_builder_add(b, text, strlen(text), MF_DOMAIN_EXACT, 0, NULL);

		if (r == MF_E_NOMEM)
			doc->no_memory = true;
		else if (r < 0)
			mf_agentsh_say(doc, MF_AGENTSH_ERROR, list->items[i], &here,
				       "\"%.100s\" is no host name", text);
	}
	if (doc->no_memory || doc->error_cnt != before) {
		mf_domain_set_builder_free(b);
		return MF_E_POLICY;
	}
	if (mf_domain_set_builder_seal(b, ret, NULL) < 0)
		doc->no_memory = true;
	return doc->no_memory ? MF_E_NOMEM : 0;
}

static void take_feed(const struct reading *r, const struct mf_yaml_node *node,
		      const struct mf_agentsh_crumb *at)
{
	static const char *const formats[] = { "domain-list", "hostfile" };
	const struct mf_yaml_node *file = get(node, "file"), *name = get(node, "name");
	const struct mf_agentsh_crumb at_file = { at, "file", 0 };
	const struct mf_agentsh_source *source = r->doc->top->source;
	const char *slash = r->doc->rel ? strrchr(r->doc->rel, '/') : NULL, *text;
	int format = take_word(r->doc, node, "format", at, formats), code,
	    dir = slash ? (int)(slash - r->doc->rel) + 1 : 0;
	char path[MF_SOURCE_NAME_MAX + 1];
	struct mf_domain_set *names;
	struct mf_err err = { 0 };
	size_t len, left_out = 0;

	if (format < 0 || !file || !name) /* what is missing has been told */
		return;
	if (snprintf(path, sizeof(path), "%.*s%s", dir, dir ? r->doc->rel : "", file->text) >=
	    (int)sizeof(path)) {
		mf_agentsh_say(r->doc, MF_AGENTSH_ERROR, file, &at_file, "is too long");
		return;
	}
	code = source->read ? source->read(source->read_ctx, path, &text, &len, &err)
			    : mf_err_set(&err, MF_E_UNSUPPORTED, "the policy is no file");
	if (code == 0)
		code = mf_threat_names_read(text, len, format == 1, &names, &left_out, &err);
	if (code < 0 && code != MF_E_NOMEM)
		mf_agentsh_say(r->doc, MF_AGENTSH_ERROR, file, &at_file, "%s: %s", path,
			       *err.msg ? err.msg : mf_strerror(code));
	else if (code < 0)
		r->doc->no_memory = true;
	if (code < 0)
		return;
	if (left_out)
		mf_agentsh_say(r->doc, MF_AGENTSH_WARNING, file, &at_file,
			       "%zu lines of %s are no names of two labels at least, and left out",
			       left_out, path);
	out_of(r->doc,
	       mf_threat_feeds_add(r->feeds, name->text, r->doc->source->file, node->line, names),
	       node, at);
}

static void take_file(const struct reading *r)
{
	static const char *const actions[] = { "deny", "audit" };
	const struct mf_yaml_node *map = get(r->doc->root, FEEDS_KEY), *on = get(map, "enabled"),
				  *list = get(map, "feeds");
	const struct mf_agentsh_crumb at = { NULL, FEEDS_KEY, 0 }, at_list = { &at, "feeds", 0 };
	struct mf_domain_set *allowed;
	int action;

	/* What has a wrong type has been told. */
	if (!map || r->doc->top_errors || (on && mf_agentsh_bool(on) == 0))
		return;
	action = take_word(r->doc, map, "action", &at, actions);
	if (action < 0 || take_allowed(r->doc, map, &at, &allowed) < 0)
		return;
	out_of(r->doc, mf_threat_feeds_add_group(r->feeds, action == 1, allowed), map, &at);
	for (size_t i = 0; list && i < list->cnt && !r->doc->no_memory; i++) {
		const struct mf_agentsh_crumb here = { &at_list, NULL, i };

		take_feed(r, list->items[i], &here);
	}
}

static bool has_feeds(const struct mf_agentsh_doc *top)
{
	bool has = get(top->root, FEEDS_KEY) != NULL;

	for (size_t i = 0; i < top->file_cnt; i++)
		has = has || (top->files[i]->root && get(top->files[i]->root, FEEDS_KEY));
	return has;
}

struct mf_threat_feeds *mf_agentsh_read_feeds(struct mf_agentsh_doc *top)
{
	struct reading r = { .doc = top };

	if (!has_feeds(top))
		return NULL;
	r.feeds = mf_threat_feeds_new();
	if (!r.feeds) {
		top->no_memory = true;
		return NULL;
	}
	take_file(&r);
	for (size_t i = 0; i < top->file_cnt; i++) {
		r.doc = top->files[i];
		if (r.doc->root)
			take_file(&r);
		top->no_memory = top->no_memory || r.doc->no_memory;
	}
	return r.feeds;
}
