/* SPDX-License-Identifier: Apache-2.0 */
/* question.c - see question.h */
#include "cli/question.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/policy/request.h"

#define LABEL_PREFIX "session.labels."

struct parse {
	struct mf_question *q;
	struct mf_err *err;
	uint64_t given; /* fields that the words name, those left unknown included */
};

static int wrong(struct parse *p, const char *fmt, const char *a, const char *b)
{
	char text[512];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), fmt, a, b);
#pragma GCC diagnostic pop
	return mf_err_set(p->err, MF_E_INVAL, "%s", text);
}

static int unknown_field(struct parse *p, const char *name)
{
	const char *names[MF_F_NUM + 1];
	const char *nearest;
	size_t cnt = 0;

	for (size_t i = 0; i < MF_F_NUM; i++)
		if (mf_field_table[i].kinds & 1u << p->q->kind)
			names[cnt++] = mf_field_table[i].name;
	names[cnt] = NULL;
	nearest = mf_word_nearest(name, names);
	if (nearest)
		return mf_err_set(p->err, MF_E_INVAL,
				  "a %s request has no field '%s'; did you mean '%s'?",
				  mf_kind_name(p->q->kind), name, nearest);
	return mf_err_set(p->err, MF_E_INVAL, "a %s request has no field '%s'",
			  mf_kind_name(p->q->kind), name);
}

static int set_int(struct mf_request *req, enum mf_field field, const char *value)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (*end || end == value || errno)
		return MF_E_SYNTAX;
	return mf_request_set_int(req, field, number);
}

static int set_list(struct mf_request *req, enum mf_field field, const char *value)
{
	int r = 0;

	for (size_t len; r == 0; value += len + 1) {
		len = strcspn(value, ",");
		r = mf_request_add_str(req, field, value, len);
		if (!value[len])
			break;
	}
	return r;
}

static int set_value(struct mf_request *req, enum mf_field field, const char *value)
{
	switch (mf_field_table[field].type) {
	case MF_T_STR:
		return mf_request_set_str(req, field, value, strlen(value));
	case MF_T_ADDR:
		return mf_request_set_addr_text(req, field, value);
	case MF_T_INT:
		return set_int(req, field, value);
	case MF_T_LIST:
		return set_list(req, field, value);
	case MF_T_BOOL:
		if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			return MF_E_SYNTAX;
		return mf_request_set_bool(req, field, value[0] == 't');
	default:
		return MF_E_BUG;
	}
}

static const char *type_text(enum mf_field field)
{
	static const char *const texts[] = {
		[MF_T_NIL] = "nothing",
		[MF_T_STR] = "text in its format",
		[MF_T_INT] = "a number in its range",
		[MF_T_BOOL] = "true or false",
		[MF_T_ADDR] = "an IP address",
		[MF_T_LIST] = "a list separated by commas",
	};

	_Static_assert(MF_ARRAY_SIZE(texts) == MF_TYPE_NUM, "a text per type");
	if (mf_field_table[field].canon == MF_CANON_NAME)
		return "a host name";
	if (mf_field_table[field].canon == MF_CANON_PATH)
		return "an absolute path";
	return texts[mf_field_table[field].type];
}

static int set_field(struct parse *p, enum mf_field field, const char *value)
{
	int r;

	p->given |= MF_FIELD_BIT(field);
	if (!*value)
		return 0;
	if (field == MF_F_FAMILY)
		return mf_err_set(p->err, MF_E_INVAL, "family follows from ip, it cannot be set");
	r = set_value(p->q->request, field, value);
	if (r == MF_E_NOMEM)
		return mf_err_set(p->err, r, "out of memory");
	if (r < 0)
		return mf_err_set(p->err, MF_E_INVAL, "%s=%.200s: expected %s",
				  mf_field_table[field].name, value, type_text(field));
	return 0;
}

/* A default: used unless the words say otherwise. */
static int fill(struct parse *p, enum mf_field field, const char *value)
{
	return p->given & MF_FIELD_BIT(field) ? 0 : set_field(p, field, value);
}

static int assign(struct parse *p, const char *word, const char *equals)
{
	char name[128];
	enum mf_field field;

	if ((size_t)(equals - word) >= sizeof(name))
		return mf_err_set(p->err, MF_E_INVAL, "'%.100s': no field has so long a name",
				  word);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - word), word);
	if (strncmp(name, LABEL_PREFIX, strlen(LABEL_PREFIX)) == 0 && name[strlen(LABEL_PREFIX)]) {
		if (mf_request_set_label(p->q->request, name + strlen(LABEL_PREFIX), equals + 1) <
		    0)
			return mf_err_set(p->err, MF_E_INVAL, "'%.100s': no label can be like this",
					  word);
		return 0;
	}
	field = mf_field_find(p->q->kind, name);
	if (field == MF_F_NUM)
		return unknown_field(p, name);
	return set_field(p, field, equals + 1);
}

/* "=" after what looks like a field's name: a path or a host before it is a target. */
static const char *assignment(const char *word)
{
	size_t len =
		strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return len > 0 && word[len] == '=' ? word + len : NULL;
}

static int fill_host(struct parse *p, const char *host)
{
	struct mf_addr addr;

	if (mf_addr_parse(host, strlen(host), &addr) == 0) {
		if (!(p->given & MF_FIELD_BIT(MF_F_HOST)))
			snprintf(p->q->note, sizeof(p->q->note),
				 "the address is given, so host is unknown: no name led to it");
		return fill(p, MF_F_IP, host);
	}
	if (!(p->given & MF_FIELD_BIT(MF_F_IP)))
		snprintf(p->q->note, sizeof(p->q->note),
			 "host is set and ip is unknown: questions about the address answer no; "
			 "ip=ADDRESS says where the name leads");
	return fill(p, MF_F_HOST, host);
}

static int fill_port(struct parse *p, uint16_t port)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", port);
	return fill(p, MF_F_PORT, text);
}

/* proto=icmp: pings go to no port. */
static bool is_ping(const struct parse *p, const char *target)
{
	struct mf_value proto = mf_request_peek(p->q->request, MF_F_PROTO);
	struct mf_addr addr;

	return proto.type == MF_T_STR && proto.len == 4 && memcmp(proto.ptr, "icmp", 4) == 0 &&
	       (!strchr(target, ':') || mf_addr_parse(target, strlen(target), &addr) == 0);
}

static int target_connect(struct parse *p, const char *target)
{
	char text[512];
	const char *host;
	size_t host_len;
	uint16_t port;
	int r;

	if (is_ping(p, target)) {
		r = fill_host(p, target);
		return r < 0 ? r : fill_port(p, 0);
	}
	if (mf_hostport_parse(target, strlen(target), &host, &host_len, &port) < 0 ||
	    host_len >= sizeof(text))
		return wrong(p, "'%.200s': expected HOST:PORT, such as %s", target,
			     "api.example:443 or [2001:db8::1]:443");
	snprintf(text, sizeof(text), "%.*s", (int)host_len, host);
	r = fill_host(p, text);
	return r < 0 ? r : fill_port(p, port);
}

static int target_sni(struct parse *p, const char *target)
{
	char name[512];
	const char *host = target;
	size_t host_len = strlen(target);
	uint16_t port = 443;
	int r;

	if (strchr(target, ':') && mf_hostport_parse(target, host_len, &host, &host_len, &port) < 0)
		return wrong(p, "'%.200s': expected NAME or NAME:PORT, such as %s", target,
			     "api.example");
	if (host_len >= sizeof(name))
		return wrong(p, "'%.200s': %s", target, "no host name is so long");
	snprintf(name, sizeof(name), "%.*s", (int)host_len, host);
	if (!(p->given & (MF_FIELD_BIT(MF_F_HOST) | MF_FIELD_BIT(MF_F_HOSTS))))
		snprintf(p->q->note, sizeof(p->q->note),
			 "taken to be on a connection to an address of that name; host=NAME says "
			 "otherwise, host= that no name led there");
	r = fill(p, MF_F_SNI, name);
	if (r == 0 && !(p->given & MF_FIELD_BIT(MF_F_HOSTS)))
		r = fill(p, MF_F_HOST, name);
	return r < 0 ? r : fill_port(p, port);
}

/* The name most recently resolved is one of the names resolved. */
static int fill_hosts(struct parse *p)
{
	struct mf_value host;

	if (p->q->kind != MF_CONNECT && p->q->kind != MF_SNI)
		return 0;
	host = mf_request_peek(p->q->request, MF_F_HOST);
	return host.type == MF_T_STR ? fill(p, MF_F_HOSTS, (const char *)host.ptr) : 0;
}

static int fill_target(struct parse *p, const char *target)
{
	int r = fill(p, MF_F_SOURCE, "api");

	if (r < 0)
		return r;
	switch (p->q->kind) {
	case MF_DNS_ANSWER:
		if ((r = fill(p, MF_F_ANSWER_RCODE, "NOERROR")) < 0)
			return r;
		/* fall through */
	case MF_DNS:
		if ((r = fill(p, MF_F_NAME, target)) < 0 || (r = fill(p, MF_F_TYPE, "A")) < 0 ||
		    (r = fill(p, MF_F_CLASS, "IN")) < 0)
			return r;
		return fill(p, MF_F_TRANSPORT, "udp");
	case MF_CONNECT:
		r = target_connect(p, target);
		return r < 0 ? r : fill(p, MF_F_PROTO, "tcp");
	case MF_SNI:
		r = target_sni(p, target);
		return r < 0 ? r : fill(p, MF_F_PROTO, "tcp");
	case MF_FILE:
		if (!(p->given & MF_FIELD_BIT(MF_F_OP)))
			return mf_err_set(p->err, MF_E_INVAL,
					  "which operation? Say op=read, op=write, op=delete, ...");
		return fill(p, MF_F_PATH, target);
	default:
		return MF_E_BUG;
	}
}

static int parse_kind(struct parse *p, const char *word)
{
	const char *names[MF_KIND_NUM + 1] = { NULL };
	const char *nearest;

	for (int k = 0; k < MF_KIND_NUM; k++) {
		names[k] = mf_kind_name((enum mf_kind)k);
		if (strcmp(names[k], word) == 0) {
			p->q->kind = (enum mf_kind)k;
			return 0;
		}
	}
	nearest = mf_word_nearest(word, names);
	return mf_err_set(p->err, MF_E_INVAL,
			  "'%.100s' is no kind of request: there are dns, connect, sni, file and "
			  "dns_answer%s%s%s",
			  word, nearest ? "; did you mean '" : "", nearest ? nearest : "",
			  nearest ? "'?" : "");
}

int mf_question_parse(int word_cnt, char *const *words, struct mf_question *ret, struct mf_err *err)
{
	static const char *const examples[] = {
		[MF_DNS] = "dns api.example",
		[MF_CONNECT] = "connect api.example:443",
		[MF_SNI] = "sni api.example:443",
		[MF_FILE] = "file /workspace/notes.txt op=read",
		[MF_DNS_ANSWER] = "dns_answer api.example",
	};
	_Static_assert(MF_ARRAY_SIZE(examples) == MF_KIND_NUM, "an example for each kind");
	struct parse p = { .q = ret, .err = err };
	const char *target = NULL;
	int r;

	*ret = (struct mf_question){ 0 };
	if (word_cnt < 1)
		return mf_err_set(err, MF_E_INVAL,
				  "a question is missing: KIND TARGET [FIELD=VALUE]...");
	r = parse_kind(&p, words[0]);
	if (r < 0)
		return r;
	ret->request = mf_request_new(ret->kind);
	if (!ret->request)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	for (int i = 1; i < word_cnt && r == 0; i++) {
		const char *equals = assignment(words[i]);

		if (equals)
			r = assign(&p, words[i], equals);
		else if (target)
			r = mf_err_set(err, MF_E_INVAL, "two targets: '%.100s' and '%.100s'",
				       target, words[i]);
		else
			target = words[i];
	}
	if (r == 0 && !target)
		r = mf_err_set(err, MF_E_INVAL,
			       "a target is missing; it stands alone, without FIELD=: '%s'",
			       examples[ret->kind]);
	if (r == 0)
		r = fill_target(&p, target);
	if (r == 0)
		r = fill_hosts(&p);
	if (r < 0)
		mf_question_done(ret);
	return r;
}

void mf_question_done(struct mf_question *q)
{
	mf_request_free(q->request), q->request = NULL;
}
