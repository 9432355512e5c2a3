/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_ask.c - answers of compiled rules
 *
 * How it works
 *
 * The first matching rule of each family is found, and families are combined: a deny of network_rules stands above
 * redirects (P18). The outcome of a rule is made when it first wins and kept.
 *
 * dns questions are judged by network_rules as NAME:53 without an address; rules about networks are left out, since no
 * look-up may happen and connect is judged again with the real address. The index "known" has every rule that would let
 * the name be reached on some port: it answers resolve_known (P13).
 */
#include <stdlib.h>
#include <string.h>

#include "core/match/domain_set.h"
#include "core/match/path_case.h"
#include "core/policy/request.h"
#include "core/policy/rules_internal.h"

#define DNS_PORT 53

/* --- outcomes ----------------------------------------------------------------------------------------------------- */

static struct mf_decision blank_decision(const struct mf_rules *rules)
{
	return (struct mf_decision){ .size = sizeof(struct mf_decision),
				     .matched = true,
				     .rcode = 5,
				     .file_errno = 13,
				     .policy = rules->policy,
				     .file = rules->file,
				     .expires_ns = UINT64_MAX };
}

static void fill_verdict(const struct rule *r, struct mf_decision *d)
{
	static const uint8_t verdicts[DECIDE_NUM] = {
		[DECIDE_ALLOW] = MF_ALLOW,
		[DECIDE_DENY] = MF_DENY,
		[DECIDE_APPROVE] = MF_ASK,
		[DECIDE_AUDIT] = MF_ALLOW,
		[DECIDE_REDIRECT] = MF_REDIRECT_PATH,
		[DECIDE_SOFT_DELETE] = MF_SOFT_DELETE,
	};

	switch ((enum mf_rule_family)r->family) {
	case MF_DNS_REDIRECTS:
		d->verdict = MF_RESOLVE;
		d->ttl_s = r->ttl_s;
		d->addr_cnt = r->addr_cnt;
		for (size_t i = 0; i < r->addr_cnt; i++) {
			d->addrs[i].family = r->addrs[i].family;
			memcpy(d->addrs[i].bytes, r->addrs[i].bytes, 16);
		}
		break;
	case MF_CONNECT_REDIRECTS:
		d->verdict = MF_REDIRECT;
		d->redirect_host = r->redirect_host;
		d->redirect_port = r->redirect_port;
		d->redirect_unix = r->redirect_unix;
		d->tls_mode = r->tls_mode;
		d->sni = r->tls_sni;
		break;
	default:
		d->verdict = verdicts[r->decision];
		d->audit = r->decision == DECIDE_AUDIT;
		d->ask_timeout_ms = r->decision == DECIDE_APPROVE ? r->ask_timeout_ms : 0;
	}
}

/* The outcome of @r; @target: what a file is redirected to. */
static int rule_outcome(struct mf_rules *rules, struct rule *r, const char *target,
			struct mf_outcome **ret)
{
	struct mf_decision d = blank_decision(rules);
	struct mf_outcome *o;

	if (r->outcome && !target) {
		*ret = r->outcome;
		return 0;
	}
	fill_verdict(r, &d);
	d.visibility = r->visibility;
	d.on_failure = r->on_failure;
	d.message = r->message;
	d.reason = r->message ? r->message : r->label;
	d.rule = r->label;
	d.line = r->line;
	if (r->file)
		d.file = r->file;
	d.path_target = target;
	d.else_allow = d.verdict == MF_ASK ? rules->ask_else_allow : rules->redirect_else_allow;
	o = mf_outcome_new(&d);
	if (!o)
		return MF_E_NOMEM;
	if (target) {
		mf_outcome_unref(rules->scratch);
		rules->scratch = o;
	} else {
		r->outcome = o;
	}
	*ret = o;
	return 0;
}

/* A DNS redirect whose name is asked for something that no address answers (P73). */
static int forward_outcome(struct mf_rules *rules, struct rule *r, struct mf_outcome **ret)
{
	struct mf_decision d = blank_decision(rules);

	if (!r->forward_outcome) {
		d.verdict = MF_ALLOW;
		d.visibility = r->visibility;
		d.reason = "redirect_other_types";
		d.rule = r->label;
		d.line = r->line;
		if (r->file)
			d.file = r->file;
		r->forward_outcome = mf_outcome_new(&d);
	}
	*ret = r->forward_outcome;
	return *ret ? 0 : MF_E_NOMEM;
}

/* Types whose answer leads to an address, by itself or by what it hints at. */
static bool leads_to_address(struct mf_request *req)
{
	static const char *const types[] = { "A", "AAAA", "HTTPS", "SVCB", "ANY" };
	struct mf_value type = mf_request_get(req, MF_F_TYPE);

	for (size_t i = 0; i < MF_ARRAY_SIZE(types); i++)
		if (type.type == MF_T_STR && type.len == strlen(types[i]) &&
		    memcmp(type.ptr, types[i], type.len) == 0)
			return true;
	return type.type != MF_T_STR;
}

/* What dns_default says, as an outcome of its own. */
static int default_outcome(struct mf_rules *rules, struct mf_outcome **slot,
			   enum mf_verdict verdict, const char *reason, struct mf_outcome **ret)
{
	struct mf_decision d = blank_decision(rules);

	if (!*slot) {
		d.verdict = verdict;
		d.rule = "dns_default";
		d.reason = reason;
		*slot = mf_outcome_new(&d);
	}
	*ret = *slot;
	return *slot ? 0 : MF_E_NOMEM;
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

struct network_check {
	const struct mf_rules *rules;
	const struct mf_addr *ip; /* NULL: unknown */
	int port;
	bool dns;
};

/* The address part of a network rule whose name and port fit (P8, P9, P10). */
static int check_network_rule(void *ctx, uint32_t id)
{
	const struct network_check *c = ctx;
	const struct rule *r = &c->rules->rules[id];

	if (r->wide_ports &&
	    (c->port == MF_PORT_ANY || !mf_port_set_has(&r->ports, (uint16_t)c->port)))
		return 0;
	if (!r->has_cidrs)
		return 1;
	if (c->dns)
		return 0;
	if (!c->ip)
		return r->decision == DECIDE_DENY;
	for (uint32_t i = 0; i < r->cidr_cnt; i++)
		if (mf_cidr_has(&r->cidrs[i], c->ip))
			return 1;
	return 0;
}

static uint32_t lower(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

int mf_rules_find_network(struct mf_rules *rules, struct mf_rule_subject *s, bool dns,
			  uint32_t *ret)
{
	struct network_check c = { rules, s->ip, s->port, dns };
	uint32_t blind = MF_RULE_NONE;
	int r;

	s->check = check_network_rule;
	s->ctx = &c;
	r = mf_rule_index_find(rules->index[MF_NETWORK_RULES], s, MF_RULE_NONE, ret);
	if (r < 0 || s->ip || dns)
		return r;
	r = mf_rule_index_find(rules->blind, s, *ret, &blind);
	*ret = lower(*ret, blind);
	return r;
}

static int find_in(struct mf_rule_index *ix, struct mf_rule_subject *s, uint32_t limit,
		   uint32_t *ret)
{
	s->check = NULL;
	return mf_rule_index_find(ix, s, limit, ret);
}

/* ":443" at @at; printf() would cost more than the look-up. Return: its length */
static size_t put_port(char *at, unsigned port)
{
	char digits[8];
	size_t n = sizeof(digits), len;

	do {
		digits[--n] = (char)('0' + port % 10);
		port /= 10;
	} while (port);
	digits[--n] = ':';
	len = sizeof(digits) - n;
	memcpy(at, digits + n, len);
	at[len] = '\0';
	return len;
}

/* --- threat feeds ------------------------------------------------------------------------------------------------- */

/* Whether a feed denies @name: *@ret, and no rule is asked. */
static int ask_feeds(struct mf_rules *rules, const char *name, size_t len, struct mf_outcome **ret)
{
	struct mf_threat_feed *f = mf_threat_feeds_find(rules->feeds, false, name, len);
	struct mf_decision d = blank_decision(rules);

	*ret = NULL;
	if (!f)
		return 0;
	if (!f->denial) {
		d.verdict = MF_DENY;
		d.rule = f->label;
		d.reason = f->why;
		d.file = f->file;
		d.line = f->line;
		f->denial = mf_outcome_new(&d);
	}
	*ret = f->denial;
	return f->denial ? 0 : MF_E_NOMEM;
}

/* What is let through although a feed that only tells lists @name is told of, with the feed as its reason. */
static int hear_feeds(struct mf_rules *rules, const char *name, size_t len, struct mf_outcome **o)
{
	struct mf_threat_feed *f;
	struct mf_threat_heard *more;
	struct mf_decision d;

	if (!rules->feeds || !*o || (*o)->d.verdict != MF_ALLOW)
		return 0;
	f = mf_threat_feeds_find(rules->feeds, true, name, len);
	if (!f)
		return 0;
	for (size_t i = 0; i < f->heard_cnt; i++) {
		if (f->heard[i].of == *o) {
			*o = f->heard[i].made;
			return 0;
		}
	}
	/* One for each rule that lets such a name through, at most. */
	more = realloc(f->heard, (f->heard_cnt + 1) * sizeof(*more));
	if (!more)
		return MF_E_NOMEM;
	f->heard = more;
	d = (*o)->d;
	d.audit = true;
	d.reason = f->why;
	more[f->heard_cnt].made = mf_outcome_new(&d);
	if (!more[f->heard_cnt].made)
		return MF_E_NOMEM;
	mf_outcome_ref(*o);
	more[f->heard_cnt].of = *o;
	*o = more[f->heard_cnt++].made;
	return 0;
}

/* --- dns ---------------------------------------------------------------------------------------------------------- */

/* Whether a connect_redirects expression could match the name on a port that the expressions speak of. */
static int find_redirect_any_port(struct mf_rules *rules, const struct mf_value *name,
				  uint32_t *ret)
{
	struct mf_rule_subject s = { 0 };
	char text[MF_NAME_ROOM + 8];
	int r = 0;

	*ret = MF_RULE_NONE;
	if (rules->family_cnt[MF_CONNECT_REDIRECTS] == 0)
		return 0;
	memcpy(text, name->ptr, name->len); /* shorter than MF_NAME_ROOM */
	for (uint32_t i = 0; r == 0 && *ret == MF_RULE_NONE && i < rules->try_port_cnt; i++) {
		s.name = (const char *)name->ptr;
		s.name_len = name->len;
		s.port = rules->try_ports[i];
		s.text = text;
		s.text_len = name->len + put_port(text + name->len, rules->try_ports[i]);
		r = find_in(rules->index[MF_CONNECT_REDIRECTS], &s, MF_RULE_NONE, ret);
	}
	return r;
}

static int answer_default(struct mf_rules *rules, bool known, struct mf_outcome **ret)
{
	if (known)
		return default_outcome(rules, &rules->known_outcome, MF_ALLOW,
				       "a rule lets this name be reached", ret);
	if (rules->dns_default == MF_DNS_RESOLVE_KNOWN)
		return 0;
	return default_outcome(rules, &rules->default_outcome,
			       rules->dns_default == MF_DNS_ALLOW ? MF_ALLOW : MF_DENY,
			       "no rule names this name", ret);
}

static int ask_dns_rules(struct mf_rules *rules, struct mf_request *req, struct mf_outcome **ret)
{
	struct mf_value name = mf_request_get(req, MF_F_NAME);
	struct mf_rule_subject s = { .port = DNS_PORT };
	uint32_t net, redirect, known = MF_RULE_NONE, other = MF_RULE_NONE;
	bool resolve_known = rules->dns_default == MF_DNS_RESOLVE_KNOWN, denied;
	int r;

	if (name.type == MF_T_NIL || name.len >= MF_NAME_ROOM)
		return 0;
	s.name = s.text = (const char *)name.ptr;
	s.name_len = s.text_len = name.len;
	r = mf_rules_find_network(rules, &s, true, &net);
	if (r == 0 && resolve_known)
		r = find_in(rules->known, &s, MF_RULE_NONE, &known);
	s.port = MF_PORT_ANY;
	if (r == 0)
		r = find_in(rules->index[MF_DNS_REDIRECTS], &s, MF_RULE_NONE, &redirect);
	if (r < 0)
		return r;
	denied = net != MF_RULE_NONE && rules->rules[net].decision == DECIDE_DENY;
	/* A deny that does not speak of port 53 and stands behind a rule that lets the name be reached otherwise. */
	if (denied && !rules->rules[net].has_ports && known < net) {
		denied = false;
		net = MF_RULE_NONE;
	}
	if (!denied && redirect != MF_RULE_NONE) {
		if (!rules->other_types_forward || leads_to_address(req))
			return rule_outcome(rules, &rules->rules[redirect], NULL, ret);
		if (net == MF_RULE_NONE)
			return forward_outcome(rules, &rules->rules[redirect], ret);
	}
	if (net != MF_RULE_NONE)
		return rule_outcome(rules, &rules->rules[net], NULL, ret);
	if (resolve_known && known == MF_RULE_NONE) {
		r = find_redirect_any_port(rules, &name, &other);
		if (r < 0)
			return r;
	}
	if (rules->family_cnt[MF_NETWORK_RULES] + rules->family_cnt[MF_CONNECT_REDIRECTS] == 0 &&
	    resolve_known)
		return 0;
	return answer_default(rules, known != MF_RULE_NONE || other != MF_RULE_NONE, ret);
}

static int ask_dns(struct mf_rules *rules, struct mf_request *req, struct mf_outcome **ret)
{
	struct mf_value name;
	int r = 0;

	if (!rules->feeds)
		return ask_dns_rules(rules, req, ret);
	name = mf_request_get(req, MF_F_NAME);
	if (name.type == MF_T_NIL || name.len >= MF_NAME_ROOM)
		return 0;
	r = ask_feeds(rules, (const char *)name.ptr, name.len, ret);
	if (r < 0 || *ret)
		return r;
	r = ask_dns_rules(rules, req, ret);
	return r < 0 ? r : hear_feeds(rules, (const char *)name.ptr, name.len, ret);
}

/* --- connect, sni ------------------------------------------------------------------------------------------------- */

/* Strictness, for several names of one address or two ends of a rename (P5, P38); no opinion leaves it to a default that
 * denies, so it stands above all but a deny. */
static unsigned strictness(const struct mf_outcome *o)
{
	if (!o)
		return 4;
	switch (o->d.verdict) {
	case MF_ALLOW:
		return o->d.audit ? 1 : 0;
	case MF_ASK:
		return 2;
	case MF_DENY:
		return 5;
	default:
		return 3;
	}
}

/* One name (or none) of a connection. */
static int ask_name_rules(struct mf_rules *rules, const char *name, size_t len,
			  const struct mf_addr *ip, int port, struct mf_outcome **ret)
{
	char addr[MF_ADDR_TEXT_MAX + 2], text[MF_NAME_ROOM + 64];
	struct mf_rule_subject s = { .name = name, .name_len = len, .ip = ip, .port = port };
	uint32_t net = MF_RULE_NONE, redirect = MF_RULE_NONE;
	bool brackets;
	int r = 0;

	*ret = NULL;
	if (len >= MF_NAME_ROOM)
		return 0;
	s.text = name;
	s.text_len = len;
	if (rules->family_cnt[MF_NETWORK_RULES])
		r = mf_rules_find_network(rules, &s, false, &net);
	if (r < 0)
		return r;
	if (net != MF_RULE_NONE && rules->rules[net].decision == DECIDE_DENY)
		return rule_outcome(rules, &rules->rules[net], NULL, ret);
	if (rules->family_cnt[MF_CONNECT_REDIRECTS]) {
		/* With no known name the address is the host. */
		if (!len && ip) {
			mf_addr_format(ip, addr, sizeof(addr));
			s.name = addr;
			s.name_len = strlen(addr);
		}
		brackets = !len && ip && ip->family == 6;
		text[0] = '[';
		memcpy(text + brackets, s.name, s.name_len);
		s.text_len = s.name_len + brackets;
		text[s.text_len] = ']';
		s.text_len += brackets;
		text[s.text_len] = '\0';
		if (port != MF_PORT_ANY)
			s.text_len += put_port(text + s.text_len, (unsigned)port);
		s.text = text;
		r = find_in(rules->index[MF_CONNECT_REDIRECTS], &s, MF_RULE_NONE, &redirect);
	}
	if (r < 0)
		return r;
	if (redirect != MF_RULE_NONE)
		return rule_outcome(rules, &rules->rules[redirect], NULL, ret);
	return net == MF_RULE_NONE ? 0 : rule_outcome(rules, &rules->rules[net], NULL, ret);
}

/* The same; feeds come before the rules, those that only tell behind them. */
static int ask_name(struct mf_rules *rules, const char *name, size_t len, const struct mf_addr *ip,
		    int port, struct mf_outcome **ret)
{
	int r = ask_feeds(rules, name, len, ret);

	if (r < 0 || *ret)
		return r;
	r = ask_name_rules(rules, name, len, ip, port, ret);
	return r < 0 ? r : hear_feeds(rules, name, len, ret);
}

/* The names under which a connection may be judged. */
struct candidates {
	struct mf_value names[MF_REQUEST_LIST_MAX + 2];
	size_t cnt;
};

static bool add_candidate(struct candidates *c, struct mf_value v)
{
	for (size_t i = 0; i < c->cnt; i++)
		if (c->names[i].len == v.len && memcmp(c->names[i].ptr, v.ptr, v.len) == 0)
			return false;
	c->names[c->cnt++] = v;
	return true;
}

static void gather_names(struct mf_request *req, struct candidates *c)
{
	struct mf_value sni = { .type = MF_T_NIL }, host, hosts;
	const char *text;
	size_t at = 0, len;
	bool sni_new;

	c->cnt = 0;
	/* Everything is fetched first: a later fetch may move what an earlier one returned. */
	if (req->kind == MF_SNI)
		(void)mf_request_get(req, MF_F_SNI);
	(void)mf_request_get(req, MF_F_HOSTS);
	(void)mf_request_get(req, MF_F_HOST);
	if (req->kind == MF_SNI)
		sni = mf_request_peek(req, MF_F_SNI);
	host = mf_request_peek(req, MF_F_HOST);
	hosts = mf_request_peek(req, MF_F_HOSTS);
	if (host.type == MF_T_STR && host.len)
		add_candidate(c, host);
	while (hosts.type == MF_T_LIST && (text = mf_list_next(&hosts, &at, &len)))
		if (len)
			add_candidate(c, (struct mf_value){ .type = MF_T_STR,
							    .len = (uint32_t)len,
							    .ptr = (const uint8_t *)text });
	if (sni.type != MF_T_STR || !sni.len)
		return;
	/* P38: a hello that names one of the candidates decides which; another name is checked as well. */
	sni_new = add_candidate(c, sni);
	if (!sni_new) {
		c->names[0] = sni;
		c->cnt = 1;
	}
}

static int ask_connect(struct mf_rules *rules, struct mf_request *req, struct mf_outcome **ret)
{
	struct candidates c;
	struct mf_value ip, port;
	struct mf_addr addr, *known = NULL;
	struct mf_outcome *o;
	int number = MF_PORT_ANY, r;

	if (rules->family_cnt[MF_NETWORK_RULES] + rules->family_cnt[MF_CONNECT_REDIRECTS] == 0 &&
	    !rules->feeds)
		return 0;
	(void)mf_request_get(req, MF_F_IP);
	(void)mf_request_get(req, MF_F_FAMILY);
	(void)mf_request_get(req, MF_F_PORT);
	gather_names(req, &c);
	ip = mf_request_peek(req, MF_F_IP);
	port = mf_request_peek(req, MF_F_PORT);
	if (ip.type == MF_T_ADDR && ip.len == sizeof(addr)) {
		memcpy(&addr, ip.ptr, sizeof(addr));
		known = &addr;
	} else if (mf_request_is_names_only(req)) {
		addr = (struct mf_addr){ 0 }; /* of no family: in no network */
		known = &addr;
	}
	if (port.type == MF_T_INT)
		number = (int)port.num;
	if (c.cnt == 0)
		return ask_name(rules, "", 0, known, number, ret);
	for (size_t i = 0; i < c.cnt; i++) {
		r = ask_name(rules, (const char *)c.names[i].ptr, c.names[i].len, known, number,
			     &o);
		if (r < 0)
			return r;
		if (i == 0 || strictness(o) > strictness(*ret))
			*ret = o;
	}
	return 0;
}

/* --- file --------------------------------------------------------------------------------------------------------- */

struct file_check {
	const struct mf_rules *rules;
	uint32_t op; /* bit */
};

static int check_file_rule(void *ctx, uint32_t id)
{
	const struct file_check *c = ctx;
	uint32_t ops = c->rules->rules[id].ops;

	return ops == 0 || (ops & c->op) != 0;
}

#define PATH_FOLDED_ROOM 16384 /* bytes of a path; front ends have shorter ones */

/* Where @path goes: the directory and its base name, or all of it below the directory. */
static char *redirect_path(const struct rule *r, const char *path, size_t len)
{
	size_t dir = strlen(r->dir), at = 0;
	char *target;

	if (!r->preserve_tree)
		for (at = len; at > 0 && path[at - 1] != '/'; at--)
			;
	else if (len && path[0] == '/')
		at = 1;
	if (dir == 1)
		dir = 0;
	target = malloc(dir + 1 + (len - at) + 1);
	if (!target)
		return NULL;
	memcpy(target, r->dir, dir);
	target[dir] = '/';
	memcpy(target + dir + 1, path + at, len - at);
	target[dir + 1 + (len - at)] = '\0';
	return target;
}

static int ask_path(struct mf_rules *rules, const struct mf_value *path, uint32_t op,
		    struct mf_outcome **ret)
{
	struct file_check c = { rules, op };
	const char *spelled = (const char *)path->ptr;
	char folded[PATH_FOLDED_ROOM];
	struct mf_rule_subject s = { .path = mf_path_fold(spelled, path->len, folded,
							  sizeof(folded)),
				     .path_len = path->len,
				     .port = MF_PORT_ANY,
				     .check = check_file_rule,
				     .ctx = &c };
	uint32_t hit;
	char *target;
	int r;

	*ret = NULL;
	if (!s.path)
		return MF_E_LIMIT;
	r = mf_rule_index_find(rules->index[MF_FILE_RULES], &s, MF_RULE_NONE, &hit);
	if (r < 0 || hit == MF_RULE_NONE)
		return r;
	if (rules->rules[hit].decision != DECIDE_REDIRECT)
		return rule_outcome(rules, &rules->rules[hit], NULL, ret);
	target = redirect_path(&rules->rules[hit], spelled, s.path_len);
	if (!target)
		return MF_E_NOMEM;
	r = rule_outcome(rules, &rules->rules[hit], target, ret);
	free(target);
	return r;
}

static uint32_t op_bit(const struct mf_value *op)
{
	const char *text = (const char *)op->ptr;

	for (int i = 0; mf_rules_op_words[i] && op->type == MF_T_STR; i++)
		if (mf_rules_op_words[i][0] == text[0] && strcmp(mf_rules_op_words[i], text) == 0)
			return UINT32_C(1) << i;
	return 0; /* an operation that rules cannot name: only rules for all operations match */
}

/* A rename or hard link is judged at both ends, and the stricter verdict holds (P5). */
static int ask_file(struct mf_rules *rules, struct mf_request *req, struct mf_outcome **ret)
{
	struct mf_value path, target, op;
	struct mf_outcome *first, *second;
	bool two;
	int r;

	if (rules->family_cnt[MF_FILE_RULES] == 0)
		return 0;
	(void)mf_request_get(req, MF_F_OP);
	(void)mf_request_get(req, MF_F_PATH);
	op = mf_request_peek(req, MF_F_OP);
	two = op.type == MF_T_STR && (strcmp((const char *)op.ptr, "rename") == 0 ||
				      strcmp((const char *)op.ptr, "link") == 0);
	if (two)
		(void)mf_request_get(req, MF_F_TARGET);
	op = mf_request_peek(req, MF_F_OP);
	path = mf_request_peek(req, MF_F_PATH);
	if (path.type != MF_T_STR || path.len == 0)
		return 0;
	r = ask_path(rules, &path, op_bit(&op), &first);
	*ret = first;
	target = mf_request_peek(req, MF_F_TARGET);
	if (r < 0 || !two || target.type != MF_T_STR || target.len == 0)
		return r;
	if (first)
		mf_outcome_ref(first); /* the second answer may take the place of the first */
	r = ask_path(rules, &target, op_bit(&op), &second);
	if (r < 0 || strictness(second) > strictness(first)) {
		mf_outcome_unref(first);
		*ret = second;
	} else if (first) {
		mf_outcome_unref(rules->scratch);
		rules->scratch = first;
	}
	return r;
}

int mf_rules_ask(struct mf_rules *rules, struct mf_request *req, struct mf_outcome **ret)
{
	*ret = NULL;
	switch ((enum mf_kind)req->kind) {
	case MF_DNS:
		return ask_dns(rules, req, ret);
	case MF_CONNECT:
	case MF_SNI:
		return ask_connect(rules, req, ret);
	case MF_FILE:
		return ask_file(rules, req, ret);
	default:
		return 0;
	}
}

bool mf_rules_is_default(const struct mf_rules *rules, const struct mf_outcome *answer)
{
	return answer && (answer == rules->known_outcome || answer == rules->default_outcome);
}

uint64_t mf_rules_fields(const struct mf_rules *rules, enum mf_kind kind)
{
	bool network = rules->family_cnt[MF_NETWORK_RULES] ||
		       rules->family_cnt[MF_CONNECT_REDIRECTS] || rules->feeds;
	uint64_t connect = MF_FIELD_BIT(MF_F_IP) | MF_FIELD_BIT(MF_F_FAMILY) |
			   MF_FIELD_BIT(MF_F_PORT) | MF_FIELD_BIT(MF_F_HOST) |
			   MF_FIELD_BIT(MF_F_HOSTS);

	switch (kind) {
	case MF_DNS:
		return network || rules->family_cnt[MF_DNS_REDIRECTS] ||
				       rules->dns_default != MF_DNS_RESOLVE_KNOWN
			       ? MF_FIELD_BIT(MF_F_NAME) |
					 (rules->other_types_forward ? MF_FIELD_BIT(MF_F_TYPE) : 0)
			       : 0;
	case MF_CONNECT:
		return network ? connect : 0;
	case MF_SNI:
		return network ? connect | MF_FIELD_BIT(MF_F_SNI) : 0;
	case MF_FILE:
		return rules->family_cnt[MF_FILE_RULES]
			       ? MF_FIELD_BIT(MF_F_OP) | MF_FIELD_BIT(MF_F_PATH) |
					 MF_FIELD_BIT(MF_F_TARGET)
			       : 0;
	default:
		return 0;
	}
}
