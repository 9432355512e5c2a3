/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - see config.h */
#include "daemon/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/request.h"
#include "core/policy/vars.h"
#include "daemon/config_int.h"

enum value { TEXT, SIGNING, LIST, VARIABLES, NUMBER, BOOL };

struct key {
	const char *name; /* "section.key" */
	enum value value;
	size_t at; /* in struct mf_config */
	uint32_t min, max;
	bool live; /* a daemon that runs takes it over */
};

#define AT(member) offsetof(struct mf_config, member)

static const struct key keys[] = {
	{ "api.socket", TEXT, AT(socket), 0, 0, false },
	{ "api.allow_users", LIST, AT(allow_users), 0, 0, false },
	{ "api.allow_groups", LIST, AT(allow_groups), 0, 0, false },
	{ "api.connections_max", NUMBER, AT(connections_max), 1, 65536, false },
	{ "api.body_max_kib", NUMBER, AT(body_max_kib), 1, 65536, false },
	{ "api.idle_s", NUMBER, AT(idle_s), 1, 86400, false },
	{ "policy.paths", LIST, AT(policies), 0, 0, true },
	{ "policy.variables", VARIABLES, AT(variables), 0, 0, false },
	{ "policy.workspace", TEXT, AT(workspace), 0, 0, false },
	{ "policy.watch", BOOL, AT(watch), 0, 0, false },
	{ "policy.signing", SIGNING, AT(signing), 0, 0, true },
	{ "policy.trust_store", TEXT, AT(trust_store), 0, 0, true },
	{ "events.file", TEXT, AT(events_file), 0, 0, false },
	{ "events.rotate", TEXT, AT(events_rotate), 0, 0, false },
	{ "restart.delay_ms", NUMBER, AT(restart.delay_ms), 1, 3600000, true },
	{ "restart.delay_max_ms", NUMBER, AT(restart.delay_max_ms), 1, 86400000, true },
	{ "restart.times", NUMBER, AT(restart.times), 0, 1000, true },
};

const char *mf_config_next_key(size_t *at)
{
	return *at < MF_ARRAY_SIZE(keys) ? keys[(*at)++].name : NULL;
}

void mf_config_init(struct mf_config *c)
{
	*c = (struct mf_config){ .connections_max = 256,
				 .body_max_kib = 1024,
				 .idle_s = 30,
				 .watch = true,
				 .restart = { 1000, 60000, 10 } };
}

void mf_config_done(struct mf_config *c)
{
	mf_config_services_done(c);
	free(c->memory), c->memory = NULL;
}

/* --- mistakes ---------------------------------------------------------------------------------------------------- */

int mf_config_wrong(const struct mf_config_parse *p, const struct mf_yaml_node *at, const char *fmt,
		    ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return mf_err_at(p->err, MF_E_SYNTAX, p->file, at->line, at->column, "%s", text);
}

static size_t section_len(const char *name)
{
	return strcspn(name, ".");
}

int mf_config_unknown(const struct mf_config_parse *p, const char *section,
		      const struct mf_yaml_node *key, const char *const *names)
{
	const char *nearest = mf_word_nearest(key->text, names);

	return mf_config_wrong(p, key, "unknown key '%.80s'%s%s%s%s%s%s", key->text,
			       section ? " in '" : "", section ? section : "", section ? "'" : "",
			       nearest ? "; did you mean '" : "", nearest ? nearest : "",
			       nearest ? "'?" : "");
}

/* @section NULL: sections are wanted */
static int unknown(const struct mf_config_parse *p, const char *section,
		   const struct mf_yaml_node *key)
{
	char copies[MF_ARRAY_SIZE(keys)][32];
	const char *names[MF_ARRAY_SIZE(keys) + MF_CONFIG_SERVICE_SECTIONS + 1] = { NULL };
	size_t cnt = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(keys); i++) {
		size_t len = section_len(keys[i].name);

		if (section && (strlen(section) != len || strncmp(section, keys[i].name, len) != 0))
			continue;
		if (section)
			snprintf(copies[cnt], sizeof(copies[cnt]), "%s", keys[i].name + len + 1);
		else
			snprintf(copies[cnt], sizeof(copies[cnt]), "%.*s", (int)len, keys[i].name);
		names[cnt] = copies[cnt];
		cnt++;
	}
	for (size_t i = 0; !section && i < MF_CONFIG_SERVICE_SECTIONS; i++)
		names[cnt++] = mf_config_service_section(i);
	return mf_config_unknown(p, section, key, names);
}

/* --- values ------------------------------------------------------------------------------------------------------ */

/* The memory has room for all that the file says. */
static const char *keep(struct mf_config_parse *p, const char *name, const char *text)
{
	char *out = p->memory + p->used;

	p->used += (size_t)sprintf(out, "%s%s%s", name ? name : "", name ? "=" : "", text) + 1;
	return out;
}

static int take_text(struct mf_config_parse *p, const struct key *k,
		     const struct mf_yaml_node *node)
{
	if (node->kind != MF_YAML_SCALAR || !node->text[0] || mf_yaml_is_null(node))
		return mf_config_wrong(p, node, "%s wants text", k->name);
	*(const char **)((char *)p->c + k->at) = keep(p, NULL, node->text);
	return 0;
}

static int add_item(struct mf_config_parse *p, const struct key *k, const struct mf_yaml_node *at,
		    const char *name, const char *text)
{
	struct mf_config_list *list = (struct mf_config_list *)((char *)p->c + k->at);

	if (list->cnt == MF_CONFIG_LIST_MAX)
		return mf_config_wrong(p, at, "%s: at most %d items", k->name, MF_CONFIG_LIST_MAX);
	list->items[list->cnt++] = keep(p, name, text);
	return 0;
}

static int take_list(struct mf_config_parse *p, const struct key *k,
		     const struct mf_yaml_node *node)
{
	int r = 0;

	if (node->kind != MF_YAML_LIST)
		return mf_config_wrong(p, node, "%s wants a list of texts, not %s", k->name,
				       mf_yaml_kind_name(node->kind));
	for (size_t i = 0; i < node->cnt && r == 0; i++) {
		const struct mf_yaml_node *item = node->items[i];

		if (item->kind != MF_YAML_SCALAR || !item->text[0])
			return mf_config_wrong(p, item, "%s wants texts", k->name);
		r = add_item(p, k, item, NULL, item->text);
	}
	return r;
}

static int take_variables(struct mf_config_parse *p, const struct key *k,
			  const struct mf_yaml_node *node)
{
	int r = 0;

	if (node->kind != MF_YAML_MAP)
		return mf_config_wrong(p, node, "%s wants NAME: text", k->name);
	for (size_t i = 0; i < node->cnt && r == 0; i++) {
		const struct mf_yaml_node *name = mf_yaml_key(node, i);
		const struct mf_yaml_node *value = mf_yaml_value(node, i);

		if (!name->text[0] || mf_vars_name_length(name->text) != strlen(name->text))
			return mf_config_wrong(p, name, "'%.80s' is no name of a variable",
					       name->text);
		if (value->kind != MF_YAML_SCALAR)
			return mf_config_wrong(p, value, "%s wants texts", k->name);
		r = add_item(p, k, value, name->text, value->text);
	}
	return r;
}

static int take_number(struct mf_config_parse *p, const struct key *k,
		       const struct mf_yaml_node *node)
{
	unsigned long long n = 0;
	char *end = NULL;

	if (node->kind == MF_YAML_SCALAR && node->text[0] >= '0' && node->text[0] <= '9')
		n = strtoull(node->text, &end, 10);
	if (!end || *end || n < k->min || n > k->max)
		return mf_config_wrong(p, node, "%s wants a number from %u to %u", k->name, k->min,
				       k->max);
	*(uint32_t *)((char *)p->c + k->at) = (uint32_t)n;
	return 0;
}

static int take_bool(struct mf_config_parse *p, const struct key *k,
		     const struct mf_yaml_node *node)
{
	bool yes = node->kind == MF_YAML_SCALAR && strcmp(node->text, "true") == 0;

	if (!yes && (node->kind != MF_YAML_SCALAR || strcmp(node->text, "false") != 0))
		return mf_config_wrong(p, node, "%s wants true or false", k->name);
	*(bool *)((char *)p->c + k->at) = yes;
	return 0;
}

static bool is_signing(const struct mf_yaml_node *node)
{
	static const char *const words[] = { "enforce", "warn", "off" };

	for (size_t i = 0; node->kind == MF_YAML_SCALAR && i < MF_ARRAY_SIZE(words); i++)
		if (strcmp(node->text, words[i]) == 0)
			return true;
	return false;
}

static int take(struct mf_config_parse *p, const struct key *k, const struct mf_yaml_node *node)
{
	switch (k->value) {
	case TEXT:
		return take_text(p, k, node);
	case SIGNING:
		if (!is_signing(node))
			return mf_config_wrong(p, node, "%s knows 'enforce', 'warn' and 'off'",
					       k->name);
		return take_text(p, k, node);
	case LIST:
		return take_list(p, k, node);
	case VARIABLES:
		return take_variables(p, k, node);
	case NUMBER:
		return take_number(p, k, node);
	case BOOL:
		return take_bool(p, k, node);
	}
	return MF_E_BUG;
}

/* --- what has changed --------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_list(const struct mf_config_list *a, const struct mf_config_list *b)
{
	bool same = a->cnt == b->cnt;

	for (size_t i = 0; same && i < a->cnt; i++)
		same = strcmp(a->items[i], b->items[i]) == 0;
	return same;
}

static bool same_value(const struct key *k, const struct mf_config *a, const struct mf_config *b)
{
	const char *x = (const char *)a + k->at, *y = (const char *)b + k->at;

	switch (k->value) {
	case TEXT:
	case SIGNING:
		return same_text(*(const char *const *)x, *(const char *const *)y);
	case LIST:
	case VARIABLES:
		return same_list((const struct mf_config_list *)x,
				 (const struct mf_config_list *)y);
	case NUMBER:
		return *(const uint32_t *)x == *(const uint32_t *)y;
	case BOOL:
		return *(const bool *)x == *(const bool *)y;
	}
	return true;
}

void mf_config_each_change(const struct mf_config *a, const struct mf_config *b,
			   void (*fn)(void *ctx, const char *key, bool live), void *ctx)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(keys); i++)
		if (!same_value(&keys[i], a, b))
			fn(ctx, keys[i].name, keys[i].live);
}

/* --- the document ------------------------------------------------------------------------------------------------ */

static const struct key *find(const char *section, const char *name)
{
	size_t len = strlen(section);

	for (size_t i = 0; i < MF_ARRAY_SIZE(keys); i++)
		if (section_len(keys[i].name) == len && strncmp(keys[i].name, section, len) == 0 &&
		    (!name || strcmp(keys[i].name + len + 1, name) == 0))
			return &keys[i];
	return NULL;
}

static int take_section(struct mf_config_parse *p, const struct mf_yaml_node *section,
			const struct mf_yaml_node *node)
{
	int r = 0;

	if (mf_config_is_services(section->text))
		return mf_config_take_services(p, section, node);
	if (!find(section->text, NULL))
		return unknown(p, NULL, section);
	if (mf_yaml_is_null(node))
		return 0;
	if (node->kind != MF_YAML_MAP)
		return mf_config_wrong(p, node, "'%s' wants keys, not %s", section->text,
				       mf_yaml_kind_name(node->kind));
	for (size_t i = 0; i < node->cnt && r == 0; i++) {
		const struct mf_yaml_node *name = mf_yaml_key(node, i);
		const struct key *k = find(section->text, name->text);

		r = k ? take(p, k, mf_yaml_value(node, i)) : unknown(p, section->text, name);
	}
	return r;
}

/* Bytes that keep() may want: aliases may say a text again and again, up to the lists' limits. */
static size_t text_size(const struct mf_yaml_node *node)
{
	size_t sum = 0, cnt = node->kind == MF_YAML_MAP ? node->cnt * 2 : node->cnt;

	if (node->kind == MF_YAML_SCALAR)
		return strlen(node->text) + 2;
	for (size_t i = 0; i < cnt; i++)
		sum += text_size(node->items[i]);
	return sum;
}

int mf_config_parse(struct mf_config *c, const char *text, size_t len, const char *file,
		    struct mf_err *err)
{
	struct mf_config_parse p = { .c = c, .file = file, .err = err };
	const struct mf_yaml_node *root;
	struct mf_yaml_tree *tree;
	int r = mf_yaml_read(text, len, file, &tree, err);

	if (r < 0)
		return r;
	root = mf_yaml_root(tree);
	if (root->weight > 65536) {
		mf_yaml_free(tree);
		return mf_err_set(err, MF_E_LIMIT, "%s says more than a configuration can", file);
	}
	p.memory = c->memory = malloc(text_size(root) + 1);
	if (!p.memory)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	else if (root->kind != MF_YAML_MAP)
		r = mf_config_wrong(&p, root, "sections are wanted, not %s",
				    mf_yaml_kind_name(root->kind));
	for (size_t i = 0; r == 0 && i < root->cnt; i++)
		r = take_section(&p, mf_yaml_key(root, i), mf_yaml_value(root, i));
	mf_yaml_free(tree);
	return r;
}

int mf_config_read(struct mf_config *c, const char *path, struct mf_err *err)
{
	FILE *file = fopen(path, "rb");
	char *text;
	size_t len;
	int r;

	if (!file)
		return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO, "cannot read %s: %s",
				  path, strerror(errno));
	text = malloc(MF_CONFIG_FILE_MAX + 1);
	len = text ? fread(text, 1, MF_CONFIG_FILE_MAX + 1, file) : 0;
	if (!text)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	else if (ferror(file))
		r = mf_err_set(err, MF_E_IO, "cannot read %s: %s", path, strerror(errno));
	else if (len > MF_CONFIG_FILE_MAX)
		r = mf_err_set(err, MF_E_LIMIT, "%s has more than %zu bytes", path,
			       MF_CONFIG_FILE_MAX);
	else
		r = mf_config_parse(c, text, len, path, err);
	free(text);
	fclose(file);
	return r;
}
