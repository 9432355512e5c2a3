/* SPDX-License-Identifier: Apache-2.0 */
/* config_services.c - `sessions:`, `mounts:`, `proxy:` and `gateway:` of moonfence.yaml; see service_config.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/request.h"
#include "daemon/config_int.h"

enum {
	ID_MAX = 63,
	WORDS_MAX = 900, /* of one command line: sessions_routes.c has room for 1,024 */
};

enum section { RUN = 1, MOUNT = 2, PROXY = 4, GATEWAY = 8, ALL = RUN | MOUNT | PROXY | GATEWAY };

/* Of these there is one, whose id is the section's name. */
enum { ONE = PROXY | GATEWAY };

/* How a value becomes a member of the request, or words of the command line. */
enum value {
	TEXT,	 /* member */
	PATH,	 /* member: absolute */
	LIST,	 /* member */
	SOURCES, /* member: absolute paths, or packs */
	PAIRS,	 /* member */
	WORD,	 /* --OPTION text */
	WORDS,	 /* --OPTION text for each of a list */
	MAPS,	 /* --OPTION NAME=text for each of a mapping */
	FLAG,	 /* --OPTION where it is true */
	NO_FLAG, /* --OPTION where it is false */
	RESTART,
	KEEP,
};

struct key {
	const char *name;
	unsigned sections, wanted_in;
	enum value value;
	const char *option;
};

static const struct key keys[] = {
	{ "id", RUN | MOUNT, RUN | MOUNT, TEXT, NULL },
	{ "command", RUN, RUN, LIST, NULL },
	{ "source", MOUNT, MOUNT, PATH, NULL },
	{ "place", MOUNT, MOUNT, PATH, NULL },
	{ "policies", ALL, 0, SOURCES, NULL },
	{ "variables", RUN | MOUNT | GATEWAY, 0, MAPS, "--var" },
	{ "labels", RUN | MOUNT, 0, PAIRS, NULL },
	{ "workspace", RUN, 0, PATH, NULL },
	{ "directory", RUN, 0, PATH, NULL },
	{ "environment", ALL, 0, PAIRS, NULL },
	{ "output", ALL, 0, PATH, NULL },
	{ "events", ALL, 0, WORD, "--events" },
	{ "events_rotate", ALL, 0, WORD, "--events-rotate" },
	{ "events_strict", ALL, 0, FLAG, "--events-strict" },
	{ "reevaluate_open", RUN | GATEWAY, 0, FLAG, "--reevaluate-open" },
	{ "approvals", ALL, 0, WORD, "--approvals" },
	{ "capture", RUN, 0, WORD, "--capture" },
	{ "trash", MOUNT, 0, WORD, "--trash" },
	{ "allow_other", MOUNT, 0, FLAG, "--allow-other" },
	{ "listen", PROXY, 0, WORD, "--listen" },
	{ "listen", GATEWAY, GATEWAY, WORDS, "--listen" },
	{ "tls_cert", GATEWAY, 0, WORD, "--tls-cert" },
	{ "tls_key", GATEWAY, 0, WORD, "--tls-key" },
	{ "auth", GATEWAY, 0, WORD, "--auth" },
	{ "session_secret_file", GATEWAY, 0, WORD, "--session-secret-file" },
	{ "origins", GATEWAY, 0, WORDS, "--origin" },
	{ "open", GATEWAY, 0, WORDS, "--open" },
	{ "allow_private", GATEWAY, 0, FLAG, "--allow-private" },
	{ "http", PROXY, 0, FLAG, "--http" },
	{ "maps", PROXY, 0, MAPS, "--map" },
	{ "user", PROXY | GATEWAY, 0, WORD, "--user" },
	{ "for_users", PROXY, 0, WORDS, "--for-user" },
	{ "dir", PROXY, 0, WORD, "--dir" },
	{ "ca_dir", PROXY, 0, WORD, "--ca-dir" },
	{ "hosts", PROXY, 0, NO_FLAG, "--no-hosts" },
	{ "dns", PROXY, 0, NO_FLAG, "--no-dns" },
	{ "dns_listen", PROXY, 0, WORD, "--dns-listen" },
	{ "dns_servers", PROXY | GATEWAY, 0, WORDS, "--dns" },
	{ "detection", PROXY, 0, NO_FLAG, "--no-detection" },
	{ "options", ALL, 0, LIST, NULL },
	{ "restart", ALL, 0, RESTART, NULL },
	{ "keep", ALL, 0, KEEP, NULL },
};

static const struct {
	const char *name, *kind;
	enum section section;
} sections[] = {
	{ "sessions", "run", RUN },
	{ "mounts", "mount", MOUNT },
	{ "proxy", "proxy", PROXY },
	{ "gateway", "gateway", GATEWAY },
};

_Static_assert(MF_ARRAY_SIZE(sections) == MF_CONFIG_SERVICE_SECTIONS, "");

static const char *const restart_names[] = { "on_failure", "always", "never" };
_Static_assert(MF_ARRAY_SIZE(restart_names) == MF_SERVICE_RESTART_NUM, "one name each");

const char *mf_service_restart_name(enum mf_service_restart r)
{
	return restart_names[r];
}

/* One of them while it is read. */
struct item {
	struct mf_config_parse *p;
	struct mf_service_config *s;
	json_t *words; /* of the options that are keys here; those of `options` stand behind them */
	size_t word_cnt;
	enum section section;
};

static int find_section(const char *name)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(sections); i++)
		if (strcmp(sections[i].name, name) == 0)
			return (int)i;
	return -1;
}

const char *mf_config_service_section(size_t i)
{
	return sections[i].name;
}

bool mf_config_is_services(const char *section)
{
	return find_section(section) >= 0;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static int set(struct item *it, const struct key *k, json_t *value)
{
	return json_object_set_new(it->s->start, k->name, value) == 0
		       ? 0
		       : mf_err_set(it->p->err, MF_E_NOMEM, "out of memory");
}

static bool is_text(const struct mf_yaml_node *node)
{
	return node->kind == MF_YAML_SCALAR && node->text[0] && !mf_yaml_is_null(node);
}

static int take_text(struct item *it, const struct key *k, const struct mf_yaml_node *node)
{
	if (!is_text(node))
		return mf_config_wrong(it->p, node, "%s wants text", k->name);
	if (k->value == PATH && node->text[0] != '/')
		return mf_config_wrong(it->p, node, "%s wants an absolute path: '%.200s'", k->name,
				       node->text);
	if (strcmp(k->name, "id") == 0 && strlen(node->text) > ID_MAX)
		return mf_config_wrong(it->p, node, "id has at most %d bytes", ID_MAX);
	return set(it, k, json_string(node->text));
}

static int count_word(struct item *it, const struct mf_yaml_node *at)
{
	return ++it->word_cnt <= WORDS_MAX
		       ? 0
		       : mf_config_wrong(it->p, at, "more than %d words are no command line",
					 WORDS_MAX);
}

static int take_list(struct item *it, const struct key *k, const struct mf_yaml_node *node)
{
	json_t *list = json_array();
	int r = node->kind == MF_YAML_LIST
			? 0
			: mf_config_wrong(it->p, node, "%s wants a list of texts, not %s", k->name,
					  mf_yaml_kind_name(node->kind));

	for (size_t i = 0; r == 0 && i < node->cnt; i++) {
		const struct mf_yaml_node *item = node->items[i];

		if (item->kind != MF_YAML_SCALAR || (!item->text[0] && item->plain))
			r = mf_config_wrong(it->p, item, "%s wants texts", k->name);
		else if (k->value == SOURCES && item->text[0] != '/' &&
			 strncmp(item->text, "pack:", 5) != 0)
			r = mf_config_wrong(it->p, item,
					    "%s wants absolute paths or pack:NAME: '%.200s'",
					    k->name, item->text);
		else
			r = count_word(it, item);
		if (r == 0 && json_array_append_new(list, json_string(item->text)) < 0)
			r = mf_err_set(it->p->err, MF_E_NOMEM, "out of memory");
	}
	if (r == 0 && node->cnt == 0 && k->wanted_in)
		r = mf_config_wrong(it->p, node, "%s is empty", k->name);
	if (r < 0)
		json_decref(list);
	return r < 0 ? r : set(it, k, list);
}

static int add_words(struct item *it, const struct key *k, const struct mf_yaml_node *at,
		     const char *name, const char *text)
{
	json_t *word = name ? json_sprintf("%s=%s", name, text) : json_string(text);
	int r = count_word(it, at);

	if (json_array_append_new(it->words, json_string(k->option)) < 0 ||
	    json_array_append_new(it->words, word) < 0)
		return mf_err_set(it->p->err, MF_E_NOMEM, "out of memory");
	return r;
}

static int take_words(struct item *it, const struct key *k, const struct mf_yaml_node *node)
{
	int r = 0;

	if (node->kind != MF_YAML_LIST)
		return mf_config_wrong(it->p, node, "%s wants a list of texts, not %s", k->name,
				       mf_yaml_kind_name(node->kind));
	for (size_t i = 0; r == 0 && i < node->cnt; i++)
		r = is_text(node->items[i])
			    ? add_words(it, k, node->items[i], NULL, node->items[i]->text)
			    : mf_config_wrong(it->p, node->items[i], "%s wants texts", k->name);
	return r;
}

/* NAME: text, as a member of the request or as options. */
static int take_pairs(struct item *it, const struct key *k, const struct mf_yaml_node *node)
{
	json_t *object = json_object();
	int r = 0;

	if (node->kind != MF_YAML_MAP)
		r = mf_config_wrong(it->p, node, "%s wants NAME: text", k->name);
	for (size_t i = 0; r == 0 && i < node->cnt; i++) {
		const struct mf_yaml_node *name = mf_yaml_key(node, i);
		const struct mf_yaml_node *value = mf_yaml_value(node, i);

		if (!name->text[0] || strchr(name->text, '='))
			r = mf_config_wrong(it->p, name, "'%.80s' is no name", name->text);
		else if (value->kind != MF_YAML_SCALAR)
			r = mf_config_wrong(it->p, value, "%s wants texts", k->name);
		else if (k->value == MAPS)
			r = add_words(it, k, value, name->text, value->text);
		else if (json_object_set_new(object, name->text, json_string(value->text)) < 0)
			r = mf_err_set(it->p->err, MF_E_NOMEM, "out of memory");
		else
			r = count_word(it, value);
	}
	if (r < 0 || k->value == MAPS) {
		json_decref(object);
		return r;
	}
	return set(it, k, object);
}

static int read_bool(struct item *it, const struct key *k, const struct mf_yaml_node *node,
		     bool *ret)
{
	bool text = node->kind == MF_YAML_SCALAR;

	*ret = text && strcmp(node->text, "true") == 0;
	return *ret || (text && strcmp(node->text, "false") == 0)
		       ? 0
		       : mf_config_wrong(it->p, node, "%s wants true or false", k->name);
}

static int take_bool(struct item *it, const struct key *k, const struct mf_yaml_node *node)
{
	bool yes;
	int r = read_bool(it, k, node, &yes);

	if (r < 0)
		return r;
	if (k->value == KEEP)
		it->s->keep = yes;
	else if (yes == (k->value == FLAG) &&
		 json_array_append_new(it->words, json_string(k->option)) < 0)
		return mf_err_set(it->p->err, MF_E_NOMEM, "out of memory");
	return 0;
}

static int take_restart(struct item *it, const struct mf_yaml_node *node)
{
	for (unsigned i = 0; node->kind == MF_YAML_SCALAR && i < MF_SERVICE_RESTART_NUM; i++)
		if (strcmp(node->text, restart_names[i]) == 0) {
			it->s->restart = (enum mf_service_restart)i;
			return 0;
		}
	return mf_config_wrong(it->p, node, "restart is on_failure, always or never");
}

static int take(struct item *it, const struct key *k, const struct mf_yaml_node *node)
{
	switch (k->value) {
	case TEXT:
	case PATH:
		return take_text(it, k, node);
	case LIST:
	case SOURCES:
		return take_list(it, k, node);
	case PAIRS:
	case MAPS:
		return take_pairs(it, k, node);
	case WORD:
		return is_text(node) ? add_words(it, k, node, NULL, node->text)
				     : mf_config_wrong(it->p, node, "%s wants text", k->name);
	case WORDS:
		return take_words(it, k, node);
	case FLAG:
	case NO_FLAG:
	case KEEP:
		return take_bool(it, k, node);
	case RESTART:
		return take_restart(it, node);
	}
	return MF_E_BUG;
}

/* ---- items ------------------------------------------------------------------------------------------------------ */

static const struct key *find_key(enum section section, const char *name)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(keys); i++)
		if ((keys[i].sections & section) && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static int unknown(const struct item *it, const char *section, const struct mf_yaml_node *key)
{
	const char *names[MF_ARRAY_SIZE(keys) + 1] = { NULL };
	size_t cnt = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(keys); i++)
		if (keys[i].sections & it->section)
			names[cnt++] = keys[i].name;
	return mf_config_unknown(it->p, section, key, names);
}

static int check_wanted(const struct item *it, const struct mf_yaml_node *node)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(keys); i++)
		if ((keys[i].wanted_in & it->section) &&
		    mf_yaml_is_null(mf_yaml_get(node, keys[i].name)))
			return mf_config_wrong(it->p, node, "%s is missing", keys[i].name);
	return 0;
}

/* A name is one of all sections: the API asks by it. */
static int check_id(const struct item *it, const struct mf_yaml_node *node)
{
	const struct mf_config *c = it->p->c;
	const char *id = mf_service_config_id(it->s);

	for (size_t i = 0; i < c->service_cnt; i++)
		if (strcmp(mf_service_config_id(&c->services[i]), id) == 0)
			return mf_config_wrong(it->p, node, "the id '%s' is there twice", id);
	return 0;
}

/* Words of keys first, so that `options` may say otherwise. */
static int join_options(struct item *it)
{
	json_t *own = json_object_get(it->s->start, "options");

	if (own && json_array_extend(it->words, own) < 0)
		return mf_err_set(it->p->err, MF_E_NOMEM, "out of memory");
	if (json_array_size(it->words) == 0)
		return 0;
	return json_object_set(it->s->start, "options", it->words) == 0
		       ? 0
		       : mf_err_set(it->p->err, MF_E_NOMEM, "out of memory");
}

static int fill_item(struct item *it, const char *section, const struct mf_yaml_node *node)
{
	int r = 0;

	if (it->section & ONE)
		json_object_set_new(it->s->start, "id", json_string(section));
	if (it->section == MOUNT) /* it is mounted again when it was killed */
		json_array_append_new(it->words, json_string("--replace-dead"));
	for (size_t i = 0; r == 0 && i < node->cnt; i++) {
		const struct mf_yaml_node *name = mf_yaml_key(node, i);
		const struct key *k = find_key(it->section, name->text);

		r = k ? take(it, k, mf_yaml_value(node, i)) : unknown(it, section, name);
	}
	if (r == 0)
		r = check_wanted(it, node);
	if (r == 0)
		r = check_id(it, node);
	return r < 0 ? r : join_options(it);
}

static int take_item(struct mf_config_parse *p, size_t section, const struct mf_yaml_node *node)
{
	struct mf_config *c = p->c;
	struct item it = { .p = p, .section = sections[section].section };
	int r;

	if (node->kind != MF_YAML_MAP)
		return mf_config_wrong(p, node, "'%s' wants keys, not %s", sections[section].name,
				       mf_yaml_kind_name(node->kind));
	if (c->service_cnt == MF_SERVICES_MAX)
		return mf_config_wrong(p, node, "at most %d services in all", MF_SERVICES_MAX);
	if (!c->services)
		c->services = calloc(MF_SERVICES_MAX, sizeof(*c->services));
	if (!c->services)
		return mf_err_set(p->err, MF_E_NOMEM, "out of memory");
	it.s = &c->services[c->service_cnt];
	it.s->start = json_pack("{s:s}", "kind", sections[section].kind);
	it.words = json_array();
	r = it.s->start && it.words ? fill_item(&it, sections[section].name, node)
				    : mf_err_set(p->err, MF_E_NOMEM, "out of memory");
	json_decref(it.words);
	if (r < 0)
		json_decref(it.s->start), it.s->start = NULL;
	else
		c->service_cnt++;
	return r;
}

int mf_config_take_services(struct mf_config_parse *p, const struct mf_yaml_node *section,
			    const struct mf_yaml_node *node)
{
	size_t at = (size_t)find_section(section->text);
	int r = 0;

	if (mf_yaml_is_null(node))
		return 0;
	if (sections[at].section & ONE)
		return take_item(p, at, node);
	if (node->kind != MF_YAML_LIST)
		return mf_config_wrong(p, node, "'%s' wants a list, not %s", section->text,
				       mf_yaml_kind_name(node->kind));
	for (size_t i = 0; r == 0 && i < node->cnt; i++)
		r = take_item(p, at, node->items[i]);
	return r;
}

void mf_config_services_done(struct mf_config *c)
{
	for (size_t i = 0; i < c->service_cnt; i++)
		json_decref(c->services[i].start);
	free(c->services), c->services = NULL;
	c->service_cnt = 0;
}
