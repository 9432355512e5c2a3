/* SPDX-License-Identifier: Apache-2.0 */
/* rules_redirect.c - dns_redirects and connect_redirects: what they match, and targets that are whole */
#include <stdlib.h>
#include <string.h>

#include "core/names/canonical.h"
#include "core/policy/rules_check.h"

#define TTL_DEFAULT 60 /* seconds, as agentsh answers */

static const char *const tls_words[] = { "passthrough", "rewrite_sni", NULL };
_Static_assert(MF_ARRAY_SIZE(tls_words) == MF_TLS_MODE_NUM + 1, "a word for each tls mode");

static void add_address(struct mf_rule_check *c, const char *field, const char *text, int family)
{
	struct mf_addr addr;

	if (mf_addr_parse(text, strlen(text), &addr) < 0 || (family && addr.family != family)) {
		mf_rule_wrong(c, "%s must be valid IP%s, not \"%.64s\"", field,
			      family == 6 ? "v6 address" : " address", text);
		return;
	}
	c->rule->addrs[c->rule->addr_cnt++] = addr;
}

void mf_rule_check_dns_redirect(struct mf_rule_check *c)
{
	struct mf_rule_index *ix = c->b->rules->index[MF_DNS_REDIRECTS];
	const struct mf_rule_spec *s = c->spec;
	struct mf_err why = { 0 };
	int r = 0;

	mf_rule_look_at(c, "resolve_to", SIZE_MAX);
	if (!s->resolve_to && !s->resolve_to6)
		mf_rule_wrong(c, "resolve_to is required");
	if (s->resolve_to)
		add_address(c, "resolve_to", s->resolve_to, 0);
	mf_rule_look_at(c, s->resolve_to6 ? "resolve_to6" : "resolve_to", SIZE_MAX);
	if (s->resolve_to6)
		add_address(c, "resolve_to6", s->resolve_to6, 6);
	if (c->rule->addr_cnt == 2 && c->rule->addrs[0].family == 6)
		mf_rule_wrong(c, "resolve_to must be an IPv4 address where resolve_to6 is given");
	c->rule->ttl_s = s->ttl_s ? s->ttl_s : TTL_DEFAULT;
	mf_rule_look_at(c, "match", SIZE_MAX);
	if (!s->match || !*s->match) {
		mf_rule_wrong(c, "match is required");
		return;
	}
	if (s->mode == MF_MATCH_GLOB)
		r = mf_rule_index_add_domain(ix, c->id, s->match, MF_PORT_ANY, &why);
	else
		r = mf_rule_index_add_regex(ix, c->id, s->match, s->mode == MF_MATCH_REGEX, false,
					    &why);
	if (r < 0)
		mf_rule_wrong_pattern(
			c, s->mode == MF_MATCH_GLOB ? "invalid match" : "invalid match regex",
			s->match, r, &why);
}

int mf_rules_split_match(const char *match, char *name, size_t size, int *ret_port)
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
		    (colon[1] == '0' && digits > 1))
			return MF_E_INVAL;
		*ret_port = atoi(colon + 1);
	}
	len = (size_t)((colon ? colon : end) - match);
	if (match[0] == '[' && len > 2 && match[len - 1] == ']') {
		match++;
		len -= 2;
	}
	if (len >= size || len == 0)
		return MF_E_LIMIT;
	memcpy(name, match, len);
	name[len] = '\0';
	if (mf_addr_parse(name, len, &addr) == 0)
		mf_addr_format(&addr, name, size);
	return 0;
}

/* False: the port or the name is wrong (reported). */
static bool split_match(const struct mf_rule_check *c, const char *match, char *name, size_t size,
			int *ret_port)
{
	int r = mf_rules_split_match(match, name, size, ret_port);

	if (r == MF_E_INVAL)
		mf_rule_wrong(c, "match \"%.100s\": after ':' stands a port, 0 to 65535, or *",
			      match);
	else if (r < 0)
		mf_rule_wrong(c, "match \"%.100s\" has no name, or too long a one", match);
	return r == 0;
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

static int add_connect_regex(struct mf_rule_check *c)
{
	struct mf_rules *rules = c->b->rules;
	const struct mf_rule_spec *s = c->spec;
	bool full = s->mode == MF_MATCH_REGEX;
	struct mf_err why = { 0 };
	int r = mf_rule_index_add_regex(rules->index[MF_CONNECT_REDIRECTS], c->id, s->match, full,
					true, &why);

	if (r < 0)
		mf_rule_wrong_pattern(c, "invalid match regex", s->match, r, &why);
	note_ports(rules, s->match);
	return r;
}

static int add_connect_glob(struct mf_rule_check *c)
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
		mf_rule_wrong_pattern(c, "invalid match", c->spec->match, r, &why);
	return r;
}

/* P20: a target is host:port, and a Unix socket has a key of its own. */
static void check_target(struct mf_rule_check *c)
{
	const struct mf_rule_spec *s = c->spec;
	char name[MF_NAME_ROOM];
	const char *host;
	struct mf_addr addr;
	uint16_t port;
	size_t len;

	mf_rule_look_at(c, NULL, SIZE_MAX);
	if (!s->redirect_to == !s->redirect_to_unix) {
		mf_rule_wrong(c, "exactly one of redirect_to or redirect_to_unix is required");
		return;
	}
	mf_rule_look_at(c, s->redirect_to_unix ? "redirect_to_unix" : "redirect_to", SIZE_MAX);
	if (s->redirect_to_unix) {
		if (s->redirect_to_unix[0] != '/')
			mf_rule_wrong(c,
				      "redirect_to_unix must be an absolute path, not \"%.100s\"",
				      s->redirect_to_unix);
		c->rule->redirect_unix = mf_rule_copy_text(c, s->redirect_to_unix);
		return;
	}
	if (strncmp(s->redirect_to, "unix:", 5) == 0) {
		mf_rule_wrong(c, "redirect_to \"%.100s\": a Unix socket goes into redirect_to_unix",
			      s->redirect_to);
		return;
	}
	if (mf_hostport_parse(s->redirect_to, strlen(s->redirect_to), &host, &len, &port) < 0 ||
	    port == 0 || len == 0) {
		mf_rule_wrong(c, "redirect_to must be \"host:port\", not \"%.100s\"",
			      s->redirect_to);
		return;
	}
	if (mf_addr_parse(host, len, &addr) == 0)
		mf_addr_format(&addr, name, sizeof(name));
	else if (mf_name_canon(host, len, name) < 0) {
		mf_rule_wrong(
			c, "redirect_to \"%.100s\": \"%.*s\" is neither a host name nor an address",
			s->redirect_to, (int)(len < 100 ? len : 100), host);
		return;
	}
	c->rule->redirect_host = mf_rule_copy_text(c, name);
	c->rule->redirect_port = port;
}

static void check_tls(struct mf_rule_check *c)
{
	const struct mf_rule_spec *s = c->spec;
	char name[MF_NAME_ROOM];
	int w = MF_TLS_PASSTHROUGH;

	mf_rule_look_at(c, "tls", SIZE_MAX);
	if (s->tls_mode && (w = mf_rule_take_word(c, "tls.mode", s->tls_mode, tls_words)) < 0)
		return;
	c->rule->tls_mode = (uint8_t)w;
	if (w != MF_TLS_REWRITE_SNI)
		return;
	if (!s->tls_sni || !*s->tls_sni)
		mf_rule_wrong(c, "tls.sni required when mode is rewrite_sni");
	else if (mf_name_canon(s->tls_sni, strlen(s->tls_sni), name) < 0)
		mf_rule_wrong(c, "tls.sni \"%.100s\" is not a host name", s->tls_sni);
	else
		c->rule->tls_sni = mf_rule_copy_text(c, name);
}

void mf_rule_check_connect_redirect(struct mf_rule_check *c)
{
	const struct mf_rule_spec *s = c->spec;

	check_target(c);
	check_tls(c);
	mf_rule_look_at(c, "match", SIZE_MAX);
	if (!s->match || !*s->match)
		mf_rule_wrong(c, "match is required");
	else if (s->mode == MF_MATCH_GLOB)
		(void)add_connect_glob(c);
	else
		(void)add_connect_regex(c);
	c->b->untrusted[c->id] = !s->trusted && !c->b->trust_targets;
}
