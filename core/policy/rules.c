/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.c - declarative rules: checked and compiled one by one
 *
 * How it works
 *
 * Rules of one family have ascending numbers; each family has an index from what its rules select to those numbers.
 * mf_rules_ask() (rules_ask.c) finds the first rule of each family that concerns the kind and combines them. A rule that
 * is wrong is noted with everything that is wrong about it; none of the policy's rules reaches the engine then (P32).
 */
#include "core/policy/rules.h"
#include "core/base/printf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/strbuf.h"
#include "core/names/canonical.h"
#include "core/policy/request.h"
#include "core/policy/rules_internal.h"

#define RULES_MAX 1000000
#define PORT_KEYS_MAX \
	64 /* ports of one rule that become keys of the index; above, they are checked */
#define TTL_DEFAULT 60 /* seconds, as agentsh answers */

static const char *const decision_names[] = { "allow", "deny",	   "approve",
					      "audit", "redirect", "soft_delete" };
_Static_assert(MF_ARRAY_SIZE(decision_names) == DECIDE_NUM, "a name for each decision");

static const char *const family_names[] = { "network_rules", "dns_redirects", "connect_redirects",
					    "file_rules" };
_Static_assert(MF_ARRAY_SIZE(family_names) == MF_RULE_FAMILY_NUM, "a name for each family");

static const char *const visibility_words[] = { "audit_only", "silent", "warn", NULL };
_Static_assert(MF_ARRAY_SIZE(visibility_words) == MF_VISIBILITY_NUM + 1,
	       "a word for each visibility");
static const char *const on_failure_words[] = { "fail_closed", "fail_open", "retry_original",
						NULL };
_Static_assert(MF_ARRAY_SIZE(on_failure_words) == MF_ON_FAILURE_NUM + 1,
	       "a word for each on_failure");
static const char *const tls_words[] = { "passthrough", "rewrite_sni", NULL };
_Static_assert(MF_ARRAY_SIZE(tls_words) == MF_TLS_MODE_NUM + 1, "a word for each tls mode");

/* Bits of rule.ops. "access" and "mknod" are agentsh's. */
const char *const mf_rules_op_words[] = {
	"open",	     "read",	"stat",	     "list",	 "readlink", "access",	 "write",
	"create",    "mkdir",	"chmod",     "chown",	 "mknod",    "symlink",	 "link",
	"rename",    "delete",	"rmdir",     "truncate", "setxattr", "getxattr", "removexattr",
	"listxattr", "utimens", "fallocate", "exec",	 NULL
};
_Static_assert(MF_ARRAY_SIZE(mf_rules_op_words) <= 33, "operations are bits of 32");

struct mf_rules_builder {
	struct mf_rules *rules;
	bool agentsh, trust_targets;
	struct mf_strbuf text; /* errors, with "; " between them */
	unsigned error_cnt, dropped, first_line;
	int code;	 /* MF_E_POLICY, or MF_E_NOMEM and MF_E_LIMIT, which end everything */
	bool *untrusted; /* by rule: its target must be allowed */
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
	return strcmp(key, "dns_default") == 0 || strcmp(key, "redirect_target_policy") == 0;
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
		free(r->redirect_host);
		free(r->redirect_unix);
		free(r->tls_sni);
		free(r->dir);
		mf_outcome_unref(r->outcome);
	}
	for (size_t i = 0; i < MF_RULE_FAMILY_NUM; i++)
		mf_rule_index_free(rules->index[i]);
	mf_rule_index_free(rules->known);
	mf_rule_index_free(rules->blind);
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
		b->text = (struct mf_strbuf)MF_STRBUF_INIT(4096);
		rules->dns_default = options->dns_default;
		rules->policy = strdup(options->policy);
		rules->file = strdup(options->file ? options->file : "");
		rules->known = mf_rule_index_new();
		rules->blind = mf_rule_index_new();
		rules->try_ports[0] = 443;
		rules->try_ports[1] = 80;
		rules->try_port_cnt = 2;
		good = rules->policy && rules->file && rules->known && rules->blind;
	}
	for (size_t i = 0; good && i < MF_RULE_FAMILY_NUM; i++)
		good = (rules->index[i] = mf_rule_index_new()) != NULL;
	if (!good) {
		mf_rules_free(rules);
		free(b);
		return MF_E_NOMEM;
	}
	*ret_b = b;
	return 0;
}

/* --- errors ----------------------------------------------------------------------------------------------------- */

static void note_error(struct mf_rules_builder *b, const char *label, unsigned line,
		       const char *fmt, va_list ap) MF_PRINTF(4, 0);
static void note_error(struct mf_rules_builder *b, const char *label, unsigned line,
		       const char *fmt, va_list ap)
{
	char text[512];

	b->error_cnt++;
	if (b->first_line == 0)
		b->first_line = line;
	if (b->code == 0)
		b->code = MF_E_POLICY;
	vsnprintf(text, sizeof(text), fmt, ap);
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

static void make_label(enum mf_rule_family family, unsigned index, const char *name, char *buf,
		       size_t size)
{
	snprintf(buf, size, "%s[%u]%s%.128s", mf_rule_family_name(family), index,
		 name && *name ? " " : "", name ? name : "");
}

void mf_rules_builder_error(struct mf_rules_builder *b, enum mf_rule_family family, unsigned index,
			    const char *name, unsigned line, const char *fmt, ...)
{
	char label[256];
	va_list ap;

	if (index)
		make_label(family, index, name, label, sizeof(label));
	else
		snprintf(label, sizeof(label), "%s", mf_rule_family_name(family));
	va_start(ap, fmt);
	note_error(b, label, line, fmt, ap);
	va_end(ap);
}

/* One rule while it is being checked. */
struct check {
	struct mf_rules_builder *b;
	const struct mf_rule_spec *spec;
	struct rule *rule;
	uint32_t id;
	const char *label;
};

static void wrong(const struct check *c, const char *fmt, ...) MF_PRINTF(2, 3);
static void wrong(const struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note_error(c->b, c->label, c->spec->line, fmt, ap);
	va_end(ap);
}

static void wrong_memory(const struct check *c)
{
	c->b->code = MF_E_NOMEM;
}

/* What a matcher refused, with the field and pattern it was about. */
static void wrong_pattern(const struct check *c, const char *what, const char *pattern, int code,
			  const struct mf_err *why)
{
	if (code == MF_E_NOMEM)
		wrong_memory(c);
	else
		wrong(c, "%s \"%.100s\": %s", what, pattern, why->msg);
}

static char *copy_text(const struct check *c, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		wrong_memory(c);
	return copy;
}

/* Position of @word in @words, or -1 with an error that lists them. */
static int take_word(const struct check *c, const char *field, const char *word,
		     const char *const *words)
{
	struct mf_strbuf list = MF_STRBUF_INIT(512);
	const char *near;

	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	for (int i = 0; words[i]; i++)
		mf_strbuf_addf(&list, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	near = mf_word_nearest(word, words);
	wrong(c, "%s must be %s, not \"%.64s\"%s%s%s", field, list.str ? list.str : "?", word,
	      near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	mf_strbuf_done(&list);
	return -1;
}

/* --- scalars ---------------------------------------------------------------------------------------------------- */

/* "300ms", "1.5h", "1h30m", "7d"; Return: false for anything else. */
static bool parse_duration(const char *text)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = { { "ns", 1e-9 }, { "us", 1e-6 }, { "ms", 1e-3 }, { "s", 1 },
		      { "m", 60 },    { "h", 3600 },  { "d", 86400 }, { "w", 604800 } };
	double sum = 0;

	if (strcmp(text, "0") == 0)
		return true;
	if (!*text)
		return false;
	while (*text) {
		size_t digits = strspn(text, "0123456789"), n;
		double value = digits && digits < 10 ? atof(text) : -1;
		bool found = false;

		text += digits;
		if (digits && *text == '.') {
			n = strspn(text + 1, "0123456789");
			text += n + 1;
			if (n == 0)
				return false;
		}
		n = strspn(text, "abcdefghijklmnopqrstuvwxyz");
		for (size_t i = 0; i < MF_ARRAY_SIZE(units) && value >= 0; i++) {
			if (strlen(units[i].unit) == n && memcmp(text, units[i].unit, n) == 0) {
				sum += value * units[i].seconds;
				found = true;
			}
		}
		if (!found || sum > 1e10)
			return false;
		text += n;
	}
	return true;
}

static void check_common(struct check *c)
{
	const struct mf_rule_spec *s = c->spec;
	int w;

	if (s->timeout && !parse_duration(s->timeout))
		wrong(c,
		      "timeout \"%.64s\" is not a duration such as \"300ms\", \"5s\", \"1h30m\" or "
		      "\"7d\"",
		      s->timeout);
	if (s->visibility && (w = take_word(c, "visibility", s->visibility, visibility_words)) >= 0)
		c->rule->visibility = (uint8_t)w;
	if (s->on_failure && (w = take_word(c, "on_failure", s->on_failure, on_failure_words)) >= 0)
		c->rule->on_failure = (uint8_t)w;
	c->rule->message = copy_text(c, s->message);
	if (c->b->agentsh && !(s->name && *s->name) &&
	    (s->family == MF_DNS_REDIRECTS || s->family == MF_CONNECT_REDIRECTS))
		wrong(c, "name is required");
}

/* P3: an unknown word is refused when it is loaded, not when it fires. "ask" is the Lua API's word for approve. */
static void check_decision(struct check *c)
{
	static const char *const network_words[] = { "allow", "deny", "approve", "audit", NULL };
	static const char *const file_words[] = { "allow",    "deny",	     "approve", "audit",
						  "redirect", "soft_delete", NULL };
	const char *word = c->spec->decision;
	bool file = c->spec->family == MF_FILE_RULES;

	c->rule->decision = DECIDE_DENY;
	if (!word) {
		wrong(c, "decision is required");
		return;
	}
	if (strcasecmp(word, "ask") == 0)
		word = "approve";
	if (!file && (strcasecmp(word, "redirect") == 0 || strcasecmp(word, "soft_delete") == 0)) {
		wrong(c, "decision \"%s\" has no target here: use %s", word,
		      strcasecmp(word, "redirect") == 0 ? "connect_redirects or dns_redirects"
							: "file_rules");
		return;
	}
	for (int i = 0; i < DECIDE_NUM; i++) {
		if (strcasecmp(word, decision_names[i]) == 0) {
			c->rule->decision = (uint8_t)i;
			return;
		}
	}
	(void)take_word(c, "decision", word, file ? file_words : network_words);
}

/* --- network_rules ----------------------------------------------------------------------------------------------- */

static bool refuses_variable(const struct check *c, const char *field, const char *text)
{
	if (!strstr(text, "${"))
		return false;
	wrong(c, "%s \"%.100s\": ${...} is not expanded here; build the text in Lua", field, text);
	return true;
}

static void add_domains(struct check *c, struct mf_rule_index *ix, int port)
{
	const struct mf_rule_list *list = &c->spec->domains;
	struct mf_err why = { 0 };

	for (size_t i = 0; i < list->cnt; i++) {
		int r;

		if (refuses_variable(c, "domains", list->items[i]))
			continue;
		r = mf_rule_index_add_domain(ix, c->id, list->items[i], port, &why);
		if (r < 0)
			wrong_pattern(c, "domains", list->items[i], r, &why);
	}
}

static void add_cidrs(struct check *c, int port)
{
	if (c->rule->decision == DECIDE_DENY && c->rule->cidr_cnt &&
	    mf_rule_index_add_any(c->b->rules->blind, c->id, port) < 0)
		wrong_memory(c);
	for (uint32_t i = 0; i < c->rule->cidr_cnt; i++)
		if (mf_rule_index_add_cidr(c->b->rules->index[MF_NETWORK_RULES], c->id,
					   &c->rule->cidrs[i], port) < 0)
			wrong_memory(c);
}

static void parse_cidrs(struct check *c)
{
	const struct mf_rule_list *list = &c->spec->cidrs;

	c->rule->cidrs = list->cnt ? calloc(list->cnt, sizeof(*c->rule->cidrs)) : NULL;
	if (list->cnt && !c->rule->cidrs) {
		wrong_memory(c);
		return;
	}
	for (size_t i = 0; i < list->cnt; i++) {
		struct mf_cidr net;

		if (mf_cidr_parse(list->items[i], strlen(list->items[i]), &net) < 0)
			wrong(c,
			      "cidrs \"%.64s\" is not a network such as \"10.0.0.0/8\" or "
			      "\"fd00::/8\"",
			      list->items[i]);
		else
			c->rule->cidrs[c->rule->cidr_cnt++] = net;
	}
}

/* Entries for one port, or for any. */
static void index_network(struct check *c, int port)
{
	struct mf_rule_index *ix = c->b->rules->index[MF_NETWORK_RULES];

	if (c->spec->domains.present)
		add_domains(c, ix, port);
	else if (c->spec->cidrs.present)
		add_cidrs(c, port);
	else if (mf_rule_index_add_any(ix, c->id, port) < 0)
		wrong_memory(c);
}

/*
 * A rule that lets names be reached makes them known. One that names networks but no names does not: which names lie
 * there could only be found by asking.
 */
static void index_known(struct check *c)
{
	if (c->rule->decision == DECIDE_DENY || (c->spec->has_ports && c->spec->port_cnt == 0))
		return;
	if (c->spec->domains.present)
		add_domains(c, c->b->rules->known, MF_PORT_ANY);
	else if (!c->spec->cidrs.present &&
		 mf_rule_index_add_any(c->b->rules->known, c->id, MF_PORT_ANY) < 0)
		wrong_memory(c);
}

static void check_network(struct check *c)
{
	const struct mf_rule_spec *s = c->spec;
	unsigned before = c->b->error_cnt;
	size_t ports = 0;

	check_decision(c);
	c->rule->has_ports = s->has_ports;
	c->rule->has_domains = s->domains.present;
	c->rule->has_cidrs = s->cidrs.present;
	parse_cidrs(c);
	for (size_t i = 0; i < s->port_cnt; i++) {
		ports += s->ports[i].last - s->ports[i].first + 1u;
		if (mf_port_set_add(&c->rule->ports, s->ports[i].first, s->ports[i].last) < 0)
			wrong_memory(c);
	}
	if (c->b->error_cnt != before)
		return;
	c->rule->wide_ports = ports > PORT_KEYS_MAX;
	for (size_t i = 0; i < s->port_cnt && !c->rule->wide_ports; i++)
		for (int port = s->ports[i].first; port <= s->ports[i].last; port++)
			index_network(c, port);
	if (!s->has_ports || c->rule->wide_ports)
		index_network(c, MF_PORT_ANY);
	if (c->b->error_cnt == before)
		index_known(c);
}

/* --- redirects ---------------------------------------------------------------------------------------------------- */

static void add_address(struct check *c, const char *field, const char *text, int family)
{
	struct mf_addr addr;

	if (mf_addr_parse(text, strlen(text), &addr) < 0 || (family && addr.family != family)) {
		wrong(c, "%s must be valid IP%s, not \"%.64s\"", field,
		      family == 6 ? "v6 address" : " address", text);
		return;
	}
	c->rule->addrs[c->rule->addr_cnt++] = addr;
}

static void check_dns_redirect(struct check *c)
{
	struct mf_rule_index *ix = c->b->rules->index[MF_DNS_REDIRECTS];
	const struct mf_rule_spec *s = c->spec;
	struct mf_err why = { 0 };
	int r = 0;

	if (!s->resolve_to && !s->resolve_to6)
		wrong(c, "resolve_to is required");
	if (s->resolve_to)
		add_address(c, "resolve_to", s->resolve_to, 0);
	if (s->resolve_to6)
		add_address(c, "resolve_to6", s->resolve_to6, 6);
	if (c->rule->addr_cnt == 2 && c->rule->addrs[0].family == 6)
		wrong(c, "resolve_to must be an IPv4 address where resolve_to6 is given");
	c->rule->ttl_s = s->ttl_s ? s->ttl_s : TTL_DEFAULT;
	if (!s->match || !*s->match) {
		wrong(c, "match is required");
		return;
	}
	if (s->mode == MF_MATCH_GLOB)
		r = mf_rule_index_add_domain(ix, c->id, s->match, MF_PORT_ANY, &why);
	else
		r = mf_rule_index_add_regex(ix, c->id, s->match, s->mode == MF_MATCH_REGEX,
					    c->b->agentsh, false, &why);
	if (r < 0)
		wrong_pattern(c, s->mode == MF_MATCH_GLOB ? "invalid match" : "invalid match regex",
			      s->match, r, &why);
}

/* "name", "name:443", "[2001:db8::1]:443"; a glob is its name part. False: the port is wrong (reported). */
static bool split_match(const struct check *c, const char *match, char *name, size_t size,
			int *ret_port)
{
	const char *colon = strrchr(match, ':'), *end = match + strlen(match);
	struct mf_addr addr;
	size_t len;

	*ret_port = MF_PORT_ANY;
	if (match[0] != '[' && colon && colon != strchr(match, ':'))
		colon = NULL; /* an IPv6 address without brackets has no port */
	if (match[0] == '[' && colon && colon[-1] != ']')
		colon = NULL;
	if (colon && strcmp(colon, ":*") != 0) {
		size_t digits = strspn(colon + 1, "0123456789");

		if (digits == 0 || digits > 5 || colon[1 + digits] || atol(colon + 1) > 65535 ||
		    (colon[1] == '0' && digits > 1)) {
			wrong(c, "match \"%.100s\": after ':' stands a port, 0 to 65535, or *",
			      match);
			return false;
		}
		*ret_port = atoi(colon + 1);
	}
	len = (size_t)((colon ? colon : end) - match);
	if (match[0] == '[' && len > 2 && match[len - 1] == ']') {
		match++;
		len -= 2;
	}
	if (len >= size || len == 0) {
		wrong(c, "match \"%.100s\" has no name, or too long a one", match);
		return false;
	}
	memcpy(name, match, len);
	name[len] = '\0';
	if (mf_addr_parse(name, len, &addr) == 0)
		mf_addr_format(&addr, name, size);
	return true;
}

/* Numbers that stand in an expression: the ports that it may be about. */
static void note_ports(struct mf_rules *rules, const char *pattern)
{
	while (*pattern) {
		size_t digits = strspn(pattern, "0123456789");
		long port = digits && digits <= 5 ? atol(pattern) : 0;
		bool there = port < 1 || port > 65535 || rules->try_port_cnt == TRY_PORTS_MAX;

		for (uint32_t i = 0; i < rules->try_port_cnt; i++)
			there |= rules->try_ports[i] == port;
		if (!there)
			rules->try_ports[rules->try_port_cnt++] = (uint16_t)port;
		pattern += digits ? digits : 1;
	}
}

static int add_connect_regex(struct check *c)
{
	struct mf_rules *rules = c->b->rules;
	const struct mf_rule_spec *s = c->spec;
	bool full = s->mode == MF_MATCH_REGEX;
	struct mf_err why = { 0 };
	int r = mf_rule_index_add_regex(rules->index[MF_CONNECT_REDIRECTS], c->id, s->match, full,
					c->b->agentsh, true, &why);

	if (r < 0)
		wrong_pattern(c, "invalid match regex", s->match, r, &why);
	note_ports(rules, s->match);
	return r;
}

static int add_connect_glob(struct check *c)
{
	char name[MF_GLOB_PATTERN_MAX + 1];
	struct mf_err why = { 0 };
	int port, r;

	if (!split_match(c, c->spec->match, name, sizeof(name), &port))
		return MF_E_SYNTAX;
	r = mf_rule_index_add_domain(c->b->rules->index[MF_CONNECT_REDIRECTS], c->id, name, port,
				     &why);
	if (r == 0)
		r = mf_rule_index_add_domain(c->b->rules->known, c->id, name, MF_PORT_ANY, &why);
	if (r < 0)
		wrong_pattern(c, "invalid match", c->spec->match, r, &why);
	return r;
}

/* P20: a target is host:port, and a Unix socket has a key of its own. */
static void check_target(struct check *c)
{
	const struct mf_rule_spec *s = c->spec;
	char name[MF_NAME_ROOM];
	const char *host;
	struct mf_addr addr;
	uint16_t port;
	size_t len;

	if (!s->redirect_to == !s->redirect_to_unix) {
		wrong(c, "exactly one of redirect_to or redirect_to_unix is required");
		return;
	}
	if (s->redirect_to_unix) {
		if (s->redirect_to_unix[0] != '/')
			wrong(c, "redirect_to_unix must be an absolute path, not \"%.100s\"",
			      s->redirect_to_unix);
		c->rule->redirect_unix = copy_text(c, s->redirect_to_unix);
		return;
	}
	if (strncmp(s->redirect_to, "unix:", 5) == 0) {
		wrong(c, "redirect_to \"%.100s\": a Unix socket goes into redirect_to_unix",
		      s->redirect_to);
		return;
	}
	if (mf_hostport_parse(s->redirect_to, strlen(s->redirect_to), &host, &len, &port) < 0 ||
	    port == 0 || len == 0) {
		wrong(c, "redirect_to must be \"host:port\", not \"%.100s\"", s->redirect_to);
		return;
	}
	if (mf_addr_parse(host, len, &addr) == 0)
		mf_addr_format(&addr, name, sizeof(name));
	else if (mf_name_canon(host, len, name) < 0) {
		wrong(c, "redirect_to \"%.100s\": \"%.*s\" is neither a host name nor an address",
		      s->redirect_to, (int)(len < 100 ? len : 100), host);
		return;
	}
	c->rule->redirect_host = copy_text(c, name);
	c->rule->redirect_port = port;
}

static void check_tls(struct check *c)
{
	const struct mf_rule_spec *s = c->spec;
	char name[MF_NAME_ROOM];
	int w = MF_TLS_PASSTHROUGH;

	if (s->tls_mode && (w = take_word(c, "tls.mode", s->tls_mode, tls_words)) < 0)
		return;
	c->rule->tls_mode = (uint8_t)w;
	if (w != MF_TLS_REWRITE_SNI)
		return;
	if (!s->tls_sni || !*s->tls_sni)
		wrong(c, "tls.sni required when mode is rewrite_sni");
	else if (mf_name_canon(s->tls_sni, strlen(s->tls_sni), name) < 0)
		wrong(c, "tls.sni \"%.100s\" is not a host name", s->tls_sni);
	else
		c->rule->tls_sni = copy_text(c, name);
}

static void check_connect_redirect(struct check *c)
{
	const struct mf_rule_spec *s = c->spec;

	check_target(c);
	check_tls(c);
	if (!s->match || !*s->match)
		wrong(c, "match is required");
	else if (s->mode == MF_MATCH_GLOB)
		(void)add_connect_glob(c);
	else
		(void)add_connect_regex(c);
	c->b->untrusted[c->id] = !s->trusted && !c->b->trust_targets && !c->b->agentsh;
}

/* --- file_rules --------------------------------------------------------------------------------------------------- */

static void check_operations(struct check *c)
{
	const struct mf_rule_list *list = &c->spec->operations;
	uint32_t ops = 0;

	for (size_t i = 0; i < list->cnt; i++) {
		char word[32];
		size_t n = strlen(list->items[i]);
		int w;

		if (strcmp(list->items[i], "*") == 0) {
			ops = UINT32_MAX;
			continue;
		}
		snprintf(word, sizeof(word), "%s", list->items[i]);
		for (size_t k = 0; k < n && k < sizeof(word); k++)
			if (word[k] >= 'A' && word[k] <= 'Z')
				word[k] = (char)(word[k] + 32);
		w = take_word(c, "operations", word, mf_rules_op_words);
		if (w >= 0)
			ops |= UINT32_C(1) << w;
	}
	c->rule->ops = ops == UINT32_MAX ? 0 : ops;
}

/* P6: absolute, without "." and ".."; the same text without a trailing slash. */
static void check_redirect_dir(struct check *c)
{
	const char *dir = c->spec->redirect_to;
	size_t n;

	if (c->rule->decision != DECIDE_REDIRECT) {
		if (dir)
			wrong(c, "redirect_to is only for decision \"redirect\"");
		return;
	}
	if (!dir || dir[0] != '/' || strstr(dir, "/../") || strstr(dir, "/./") ||
	    strstr(dir, "//") || (strlen(dir) >= 3 && strcmp(dir + strlen(dir) - 3, "/..") == 0)) {
		wrong(c, "redirect_to must be a clean absolute directory, not \"%.100s\"",
		      dir ? dir : "");
		return;
	}
	c->rule->dir = copy_text(c, dir);
	n = strlen(dir);
	if (c->rule->dir && n > 1 && dir[n - 1] == '/')
		c->rule->dir[n - 1] = '\0';
}

static void check_file(struct check *c)
{
	const struct mf_rule_list *paths = &c->spec->paths;
	struct mf_err why = { 0 };

	check_decision(c);
	check_operations(c);
	check_redirect_dir(c);
	c->rule->preserve_tree = c->spec->preserve_tree;
	if (!paths->present)
		wrong(c, "paths is required");
	for (size_t i = 0; i < paths->cnt; i++) {
		const char *glob = paths->items[i];
		int r;

		if (refuses_variable(c, "paths", glob))
			continue;
		if (glob[0] != '/' && strncmp(glob, "**", 2) != 0) {
			wrong(c, "paths \"%.100s\" must begin with / or **: paths are absolute",
			      glob);
			continue;
		}
		r = mf_rule_index_add_path(c->b->rules->index[MF_FILE_RULES], c->id, glob, &why);
		if (r < 0)
			wrong_pattern(c, "paths", glob, r, &why);
	}
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
	static void (*const checks[MF_RULE_FAMILY_NUM])(struct check * c) = {
		[MF_NETWORK_RULES] = check_network,
		[MF_DNS_REDIRECTS] = check_dns_redirect,
		[MF_CONNECT_REDIRECTS] = check_connect_redirect,
		[MF_FILE_RULES] = check_file,
	};
	struct mf_rules *rules = b->rules;
	struct check c = { .b = b, .spec = spec, .id = rules->cnt };
	char label[256];

	if (b->code == MF_E_NOMEM || b->code == MF_E_LIMIT)
		return;
	if (rules->cnt >= RULES_MAX || !grow_rules(b)) {
		b->code = rules->cnt >= RULES_MAX ? MF_E_LIMIT : MF_E_NOMEM;
		return;
	}
	make_label(spec->family, spec->index, spec->name, label, sizeof(label));
	c.label = label;
	c.rule = &rules->rules[rules->cnt++];
	*c.rule = (struct rule){ .family = (uint8_t)spec->family,
				 .index = spec->index,
				 .line = spec->line };
	b->untrusted[c.id] = false;
	rules->family_cnt[spec->family]++;
	c.rule->label = copy_text(&c, label);
	check_common(&c);
	checks[spec->family](&c);
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
	mf_rules_builder_error(b, MF_CONNECT_REDIRECTS, r->index,
			       strchr(r->label, ' ') ? strchr(r->label, ' ') + 1 : NULL, r->line,
			       "redirect_to %s:%u is denied by %s of the same policy: allow it "
			       "before that rule, or set redirect_target_policy = \"trusted\"",
			       r->redirect_host, r->redirect_port, rules->rules[hit].label);
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
		      rules->dns_default != MF_DNS_DENY)) {
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
