/* SPDX-License-Identifier: Apache-2.0 */
/* agentsh_services.c - http_services of a policy, compiled and asked; see api_services.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/addr.h"
#include "core/match/glob.h"
#include "core/names/canonical.h"
#include "core/policy/agentsh_internal.h"
#include "core/policy/api_services.h"
#include "core/policy/source.h"

#define SERVICES_KEY "http_services"
#define RULES_MAX    10000 /* of one service */

struct mf_api_service_rule {
	const char *name, *message;
	const struct mf_yaml_node *methods; /* NULL: all */
	struct mf_glob **paths;
	size_t path_cnt;
	bool any_path;
	unsigned line;
	enum mf_verdict verdict;
	uint32_t ask_timeout_ms; /* 0: not said */
	bool audit;
};

struct mf_api_services {
	struct mf_api_service items[MF_API_SERVICES_MAX];
	size_t cnt;
	struct mf_yaml_tree **trees; /* their texts live there */
	char **files;
	size_t tree_cnt;
};

static const struct mf_yaml_node *get(const struct mf_yaml_node *map, const char *key)
{
	const struct mf_yaml_node *node = mf_yaml_get(map, key);

	return mf_yaml_is_null(node) ? NULL : node;
}

static const char *text_of(const struct mf_yaml_node *map, const char *key, const char *otherwise)
{
	const struct mf_yaml_node *node = get(map, key);

	return node && node->kind == MF_YAML_SCALAR && *node->text ? node->text : otherwise;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Where something is wrong, for the one that reads; @doc NULL: it has been told. */
struct place {
	struct mf_agentsh_doc *doc;
	const struct mf_agentsh_crumb *at;
};

static int take_decision(const struct place *p, const char *key, const struct mf_yaml_node *node,
			 enum mf_verdict *ret, bool *ret_audit)
{
	static const struct {
		const char *word;
		enum mf_verdict verdict;
		bool audit;
	} words[] = { { "allow", MF_ALLOW, false },
		      { "audit", MF_ALLOW, true },
		      { "deny", MF_DENY, false },
		      { "approve", MF_ASK, false } };
	const struct mf_agentsh_crumb here = { p->at, key, 0 };

	for (size_t i = 0; i < MF_ARRAY_SIZE(words); i++) {
		if (strcasecmp(node->text, words[i].word) != 0)
			continue;
		*ret = words[i].verdict;
		*ret_audit = words[i].audit;
		return 0;
	}
	if (p->doc)
		mf_agentsh_say(
			p->doc, MF_AGENTSH_ERROR, node, &here,
			"a request is allowed, denied, audited or approved: \"%.64s\" is not "
			"for requests",
			node->text);
	return MF_E_POLICY;
}

static int take_paths(const struct place *p, const struct mf_yaml_node *list,
		      struct mf_api_service_rule *r)
{
	const struct mf_agentsh_crumb key = { p->at, "paths", 0 };

	r->any_path = !list;
	if (!list || !list->cnt)
		return 0;
	r->paths = calloc(list->cnt, sizeof(struct mf_glob *));
	if (!r->paths)
		return MF_E_NOMEM;
	for (size_t i = 0; i < list->cnt; i++) {
		const struct mf_agentsh_crumb here = { &key, NULL, i };
		const char *text = list->items[i]->text;
		struct mf_err why = { 0 };
		int rc = mf_glob_compile(text, strlen(text), '/', 0, &r->paths[i], &why);

		if (rc < 0) {
			if (p->doc && rc != MF_E_NOMEM)
				mf_agentsh_say(p->doc, MF_AGENTSH_ERROR, list->items[i], &here,
					       "%s", why.msg);
			return rc;
		}
		r->path_cnt++;
	}
	return 0;
}

static int take_rule(const struct place *p, const struct mf_yaml_node *node,
		     struct mf_api_service_rule *r)
{
	const struct mf_yaml_node *decision = get(node, "decision"),
				  *methods = get(node, "methods");
	int64_t timeout_ms;

	r->name = text_of(node, "name", NULL);
	r->message = text_of(node, "message", NULL);
	timeout_ms = mf_rules_duration_ms(text_of(node, "timeout", "0"));
	r->ask_timeout_ms = timeout_ms < 0	      ? 0
			    : timeout_ms > UINT32_MAX ? UINT32_MAX
						      : (uint32_t)timeout_ms;
	r->line = node->line;
	r->methods = methods && methods->cnt ? methods : NULL;
	if (!decision) {
		if (p->doc)
			mf_agentsh_say(p->doc, MF_AGENTSH_ERROR, node, p->at,
				       "decision is required");
		return MF_E_POLICY;
	}
	if (take_decision(p, "decision", decision, &r->verdict, &r->audit) < 0)
		return MF_E_POLICY;
	return take_paths(p, get(node, "paths"), r);
}

static int take_rules(const struct place *p, const struct mf_yaml_node *list,
		      struct mf_api_service *s)
{
	const struct mf_agentsh_crumb key = { p->at, "rules", 0 };
	int r = 0;

	if (!list || !list->cnt)
		return 0;
	if (list->cnt > RULES_MAX) {
		if (p->doc)
			mf_agentsh_say(p->doc, MF_AGENTSH_ERROR, list, &key, "at most %d rules",
				       RULES_MAX);
		return MF_E_LIMIT;
	}
	s->rules = calloc(list->cnt, sizeof(*s->rules));
	if (!s->rules)
		return MF_E_NOMEM;
	for (size_t i = 0; i < list->cnt && r != MF_E_NOMEM; i++) {
		const struct mf_agentsh_crumb here = { &key, NULL, i };
		int rc = take_rule(&(struct place){ p->doc, &here }, list->items[i],
				   &s->rules[s->rule_cnt++]);

		r = rc < 0 ? rc : r;
	}
	return r;
}

/* "https://name:8443/v1"; what is no URL has been told where hosts are closed (agentsh_http.c). */
static bool take_upstream(struct mf_api_service *s, const char *url)
{
	const char *at, *host;
	size_t len, n;
	struct mf_addr addr;
	uint16_t port;

	if (strncasecmp(url, "https://", 8) == 0)
		s->tls = true;
	else if (strncasecmp(url, "http://", 7) != 0)
		return false;
	at = url + (s->tls ? 8 : 7);
	len = strcspn(at, "/?#");
	s->port = s->tls ? 443 : 80;
	if (mf_hostport_parse(at, len, &host, &n, &port) == 0) {
		s->port = port;
	} else {
		host = at;
		n = len;
	}
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof(s->host))
		return false;
	if (mf_addr_parse(host, n, &addr) == 0) {
		snprintf(s->host, sizeof(s->host), "%.*s", (int)n, host);
	} else {
		char name[MF_NAME_ROOM];

		if (mf_name_canon(host, n, name) < 0)
			return false;
		snprintf(s->host, sizeof(s->host), "%s", name);
	}
	s->authority = at;
	s->authority_len = len;
	s->base = at + len;
	s->base_len = strcspn(s->base, "?#");
	while (s->base_len && s->base[s->base_len - 1] == '/')
		s->base_len--;
	return true;
}

static bool is_word(const char *text, bool first_letter)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return n && !text[n] && n < 128 && !(first_letter && (*text >= '0' && *text <= '9'));
}

/* expose_as, or the name in upper case and _API_URL */
static bool take_env(struct mf_api_service *s, const char *given)
{
	static const char *const fixed[] = { "PATH", "HOME", "LD_", "DYLD_", "SSL_CERT_", NULL };
	size_t n;

	if (given) {
		for (const char *const *f = fixed; *f; f++)
			if (strncmp(given, *f, strlen(*f)) == 0)
				return false;
		s->env = given;
		return is_word(given, true) && !strchr(given, '-');
	}
	n = (size_t)snprintf(s->own_env, sizeof(s->own_env), "%s_API_URL", s->name);
	for (size_t i = 0; i < n && i < sizeof(s->own_env); i++) {
		if (s->own_env[i] >= 'a' && s->own_env[i] <= 'z')
			s->own_env[i] = (char)(s->own_env[i] - 32);
		else if (s->own_env[i] == '-')
			s->own_env[i] = '_';
	}
	s->env = NULL; /* own_env, wherever the struct is */
	return true;
}

static int take_service(const struct place *p, const struct mf_yaml_node *node,
			struct mf_api_service *s)
{
	const struct mf_yaml_node *otherwise = get(node, "default"), *env = get(node, "expose_as"),
				  *name = get(node, "name");
	const struct mf_agentsh_crumb at_name = { p->at, "name", 0 },
				      at_env = { p->at, "expose_as", 0 };
	bool audit;
	int r;

	s->name = text_of(node, "name", "");
	s->line = node->line;
	s->verdict = MF_DENY;
	if (!is_word(s->name, false)) {
		if (p->doc)
			mf_agentsh_say(p->doc, MF_AGENTSH_ERROR, name ? name : node, &at_name,
				       "stands in a path and has only " MF_API_SERVICE_NAME_CHARS
				       ", at most 127");
		return MF_E_POLICY;
	}
	if (!take_env(s, env ? env->text : NULL)) {
		if (p->doc)
			mf_agentsh_say(p->doc, MF_AGENTSH_ERROR, env, &at_env,
				       "\"%.64s\" is no name of a variable that a policy may set",
				       env->text);
		return MF_E_POLICY;
	}
	if (!take_upstream(s, text_of(node, "upstream", "")))
		return MF_E_POLICY;
	if (otherwise && take_decision(p, "default", otherwise, &s->verdict, &audit) < 0)
		return MF_E_POLICY;
	r = take_rules(p, get(node, "rules"), s);
	return r;
}

static void free_service(struct mf_api_service *s)
{
	for (size_t i = 0; i < s->rule_cnt; i++) {
		for (size_t k = 0; k < s->rules[i].path_cnt; k++)
			mf_glob_free(s->rules[i].paths[k]);
		free(s->rules[i].paths);
	}
	free(s->rules);
	s->rules = NULL;
	s->rule_cnt = 0;
}

void mf_agentsh_check_services(struct mf_agentsh_doc *doc)
{
	const struct mf_yaml_node *list = get(doc->root, SERVICES_KEY);
	const struct mf_agentsh_crumb at = { NULL, SERVICES_KEY, 0 };

	if (!list || doc->top_errors)
		return;
	for (size_t i = 0; i < list->cnt && !doc->no_memory; i++) {
		const struct mf_agentsh_crumb here = { &at, NULL, i },
					      at_name = { &here, "name", 0 };
		const char *name = text_of(list->items[i], "name", "");
		struct mf_api_service s = { 0 };

		if (take_service(&(struct place){ doc, &here }, list->items[i], &s) == MF_E_NOMEM)
			doc->no_memory = true;
		free_service(&s);
		for (size_t k = 0; k < i; k++) {
			if (strcmp(text_of(list->items[k], "name", ""), name) != 0)
				continue;
			mf_agentsh_say(doc, MF_AGENTSH_ERROR, get(list->items[i], "name"), &at_name,
				       "another service has the name \"%.64s\"", name);
			break;
		}
	}
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

void mf_api_services_free(struct mf_api_services *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->cnt; i++)
		free_service(&s->items[i]);
	for (size_t i = 0; i < s->tree_cnt; i++) {
		mf_yaml_free(s->trees[i]);
		free(s->files[i]);
	}
	free(s->trees);
	free(s->files);
	free(s);
}

/* Takes @doc's tree over. Return: its number in @t, MF_E_NOMEM */
static int keep_tree(struct mf_api_services *t, struct mf_agentsh_doc *doc)
{
	struct mf_yaml_tree **trees =
		realloc(t->trees, (t->tree_cnt + 1) * sizeof(struct mf_yaml_tree *));
	char **files = realloc(t->files, (t->tree_cnt + 1) * sizeof(*files));

	if (trees)
		t->trees = trees;
	if (files)
		t->files = files;
	if (!trees || !files)
		return MF_E_NOMEM;
	files[t->tree_cnt] = strdup(doc->source->file);
	if (!files[t->tree_cnt])
		return MF_E_NOMEM;
	trees[t->tree_cnt] = doc->tree;
	doc->tree = NULL;
	return (int)t->tree_cnt++;
}

/* The services of one file; @top: the policy that it is part of */
static int add_file(struct mf_api_services *t, struct mf_agentsh_doc *doc,
		    const struct mf_agentsh_doc *top)
{
	const struct mf_yaml_node *root = doc->root, *list = get(root, SERVICES_KEY);
	const char *name = text_of(top->root, "name", "?");
	int tree = keep_tree(t, doc);

	if (tree < 0)
		return tree;
	for (size_t i = 0; list && list->kind == MF_YAML_LIST && i < list->cnt; i++) {
		struct mf_api_service *s = &t->items[t->cnt];
		int r;

		if (t->cnt == MF_API_SERVICES_MAX)
			return MF_E_LIMIT;
		*s = (struct mf_api_service){ .policy = name,
					      .file = t->files[tree],
					      .index = (unsigned)i,
					      .ask_else_allow = top->options.ask_else_allow };
		r = take_service(&(struct place){ 0 }, list->items[i], s);
		if (r == 0 && !mf_api_services_find(t, mf_span_str(s->name))) {
			if (!s->env)
				s->env = s->own_env;
			t->cnt++;
			continue;
		}
		free_service(s);
		if (r == MF_E_NOMEM)
			return r;
	}
	return 0;
}

/* A policy's own services, then those that it takes over: of a name the first counts. */
static int add_policy(struct mf_api_services *t, const struct mf_policy_source *p)
{
	const struct mf_agentsh_source source = mf_agentsh_source_of(p, NULL);
	struct mf_agentsh_doc doc;
	int r = 0;

	/* What does not load has been told, and nobody is asked. */
	if (mf_agentsh_open_files(&doc, &source, NULL, NULL) == 0 && doc.error_cnt == 0) {
		r = add_file(t, &doc, &doc);
		for (size_t i = 0; r == 0 && i < doc.file_cnt; i++)
			r = add_file(t, doc.files[i], &doc);
	}
	if (doc.no_memory)
		r = MF_E_NOMEM;
	mf_agentsh_close(&doc);
	return r;
}

int mf_api_services_new(const struct mf_source_set *set, struct mf_api_services **ret,
			struct mf_err *err)
{
	size_t cnt = mf_source_set_count(set);
	struct mf_api_services *t = calloc(1, sizeof(*t));
	int r = t ? 0 : MF_E_NOMEM;

	for (size_t i = 0; r == 0 && i < cnt; i++)
		if (mf_source_set_policy(set, i)->yaml)
			r = add_policy(t, mf_source_set_policy(set, i));
	if (r < 0) {
		mf_api_services_free(t);
		return r == MF_E_LIMIT
			       ? mf_err_set(err, r, "policies declare more than %d services",
					    MF_API_SERVICES_MAX)
			       : mf_err_set(err, r, "out of memory while reading services");
	}
	*ret = t;
	return 0;
}

size_t mf_api_services_count(const struct mf_api_services *s)
{
	return s->cnt;
}

const struct mf_api_service *mf_api_services_at(const struct mf_api_services *s, size_t i)
{
	return &s->items[i];
}

const struct mf_api_service *mf_api_services_find(const struct mf_api_services *s,
						  struct mf_span name)
{
	for (size_t i = 0; i < s->cnt; i++)
		if (mf_span_eq(name, mf_span_str(s->items[i].name)))
			return &s->items[i];
	return NULL;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static int hex_of(uint8_t c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* What may not stand between slashes: nothing, dots, and dots with parameters behind them, which some servers take for dots. */
static bool is_strange_segment(const char *text, size_t len)
{
	size_t dots = 0;

	while (dots < len && text[dots] == '.')
		dots++;
	return len == 0 || ((dots == 1 || dots == 2) && (dots == len || text[dots] == ';'));
}

/* The path as rules see it, or why it is refused. */
static const char *decode_path(struct mf_span sent, char *buf, size_t *ret_len)
{
	size_t n = 0, start = 1;

	if (!sent.len)
		sent = mf_span_str("/");
	if (sent.ptr[0] != '/')
		return "its path does not begin with a slash";
	for (size_t i = 0; i < sent.len; i++) {
		uint8_t c = sent.ptr[i];

		if (n == MF_API_SERVICE_PATH_MAX)
			return "its path is too long";
		if (c == '%') {
			int hi = i + 2 < sent.len ? hex_of(sent.ptr[i + 1]) : -1;
			int lo = hi >= 0 ? hex_of(sent.ptr[i + 2]) : -1;

			if (lo < 0)
				return "its path has a % that encodes nothing";
			c = (uint8_t)(hi << 4 | lo);
			if (c == '/' || c == '%')
				return "its path has an encoded slash or percent sign";
			i += 2;
		}
		if (c < 0x20 || c == 0x7f || c == '\\' || c == '#')
			return "its path has bytes that servers read differently";
		buf[n++] = (char)c;
	}
	if (n > 1 && buf[n - 1] == '/')
		n--;
	for (size_t i = 1; n > 1 && i <= n; i++) {
		if (i < n && buf[i] != '/')
			continue;
		if (is_strange_segment(buf + start, i - start))
			return "its path has empty or dotted segments";
		start = i + 1;
	}
	*ret_len = n;
	return NULL;
}

static bool has_method(const struct mf_api_service_rule *r, struct mf_span method)
{
	for (size_t i = 0; r->methods && i < r->methods->cnt; i++) {
		const char *text = r->methods->items[i]->text;

		if (strcmp(text, "*") == 0 ||
		    (strlen(text) == method.len &&
		     strncasecmp(text, (const char *)method.ptr, method.len) == 0))
			return true;
	}
	return !r->methods;
}

static bool has_path(const struct mf_api_service_rule *r, const char *path, size_t len)
{
	for (size_t i = 0; i < r->path_cnt; i++)
		if (mf_glob_match(r->paths[i], path, len))
			return true;
	return r->any_path;
}

void mf_api_service_judge(const struct mf_api_service *s, struct mf_span method,
			  struct mf_span path, struct mf_api_service_judgement *ret)
{
	struct mf_decision *d = &ret->d;
	char decoded[MF_API_SERVICE_PATH_MAX];
	size_t len = 0;

	*d = (struct mf_decision)MF_DECISION_INIT;
	d->origin = MF_FROM_RULES;
	d->matched = true;
	d->policy = s->policy;
	d->file = s->file;
	d->line = s->line;
	d->rule = ret->rule;
	d->verdict = d->decided = MF_DENY;
	d->else_allow = s->ask_else_allow;
	snprintf(ret->rule, sizeof(ret->rule), SERVICES_KEY "[%u] %s", s->index, s->name);
	d->reason = decode_path(path, decoded, &len);
	for (size_t i = 0; !d->reason && i < s->rule_cnt; i++) {
		const struct mf_api_service_rule *r = &s->rules[i];

		if (!has_method(r, method) || !has_path(r, decoded, len))
			continue;
		snprintf(ret->rule, sizeof(ret->rule), SERVICES_KEY "[%u].rules[%zu] %.100s",
			 s->index, i, r->name ? r->name : s->name);
		d->line = r->line;
		d->message = r->message;
		d->audit = r->audit;
		d->verdict = d->decided = r->verdict;
		d->ask_timeout_ms = r->ask_timeout_ms;
		return;
	}
	if (!d->reason)
		d->verdict = d->decided = s->verdict;
}
