/* SPDX-License-Identifier: Apache-2.0 */
/* forwarded.c - see forwarded.h */
#include "proxies/forwarded.h"

#include <moonfence/moonfence.h>
#include <strings.h>

/* The last elements of a list, which may come in several fields; @at[0] is the last of all. */
struct list {
	struct mf_span at[MF_FORWARDED_HOPS_MAX];
	size_t cnt;
};

bool mf_forwarding_trusts(const struct mf_forwarding *f, const struct mf_addr *addr)
{
	for (size_t i = 0; i < f->trusted_cnt; i++)
		if (mf_cidr_has(&f->trusted[i], addr))
			return true;
	return false;
}

static struct mf_span trim(struct mf_span s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = mf_span_sub(s, 1, s.len);
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Up to @sep, outside of quotes. */
static struct mf_span next_part(struct mf_span *rest, uint8_t sep)
{
	struct mf_span part = *rest;
	bool quoted = false;
	size_t i = 0;

	for (; i < rest->len && (quoted || rest->ptr[i] != sep); i++)
		quoted ^= rest->ptr[i] == '"';
	part.len = i;
	*rest = mf_span_sub(*rest, i + 1, rest->len);
	return trim(part);
}

static void push(struct list *l, struct mf_span one)
{
	size_t keep = l->cnt < MF_FORWARDED_HOPS_MAX ? l->cnt : MF_FORWARDED_HOPS_MAX - 1;

	memmove(&l->at[1], &l->at[0], keep * sizeof(l->at[0]));
	l->at[0] = one;
	l->cnt = keep + 1;
}

static void read_list(const struct mf_http_request *req, const char *name, struct list *ret)
{
	size_t len = strlen(name);

	ret->cnt = 0;
	for (size_t i = 0; i < req->field_cnt; i++) {
		const struct mf_http_field *f = &req->fields[i];
		struct mf_span rest = f->value;

		if (f->name.len != len || strncasecmp((const char *)f->name.ptr, name, len) != 0)
			continue;
		while (rest.len)
			push(ret, next_part(&rest, ','));
	}
}

static struct mf_span unquote(struct mf_span s)
{
	if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
		s = mf_span_sub(s, 1, s.len - 2);
	return s;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". Return: whether it is an address */
static bool read_node(struct mf_span text, struct mf_endpoint *ret)
{
	const char *host;
	size_t len;

	memset(ret, 0, sizeof(*ret));
	text = unquote(text);
	if (text.len == 0)
		return false;
	if (mf_addr_parse((const char *)text.ptr, text.len, &ret->addr) == 0)
		return true;
	if (text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
		return mf_addr_parse((const char *)text.ptr + 1, text.len - 2, &ret->addr) == 0;
	return mf_hostport_parse((const char *)text.ptr, text.len, &host, &len, &ret->port) == 0 &&
	       mf_addr_parse(host, len, &ret->addr) == 0;
}

/* One parameter of an element of Forwarded; empty: it has none */
static struct mf_span find_pair(struct mf_span element, const char *name)
{
	size_t len = strlen(name);

	while (element.len) {
		struct mf_span pair = next_part(&element, ';');

		if (pair.len > len && pair.ptr[len] == '=' &&
		    strncasecmp((const char *)pair.ptr, name, len) == 0)
			return unquote(mf_span_sub(pair, len + 1, pair.len));
	}
	return mf_span_of(NULL, 0);
}

/* What a list of its own says of the hop @hop, counted from us; a short list was begun by a proxy in between */
static struct mf_span of_hop(const struct mf_http_request *req, const char *name, size_t hop)
{
	struct list l;

	read_list(req, name, &l);
	return l.cnt == 0 ? mf_span_of(NULL, 0) : l.at[hop < l.cnt ? hop : l.cnt - 1];
}

void mf_forwarded_read(const struct mf_forwarding *f, const struct mf_endpoint *peer,
		       const struct mf_http_request *req, struct mf_forwarded *ret)
{
	struct mf_span proto = { 0 }, element = { 0 };
	struct mf_endpoint node;
	struct list l;
	size_t hop = 0;

	memset(ret, 0, sizeof(*ret));
	ret->client = *peer;
	if (!mf_forwarding_trusts(f, &peer->addr))
		return;
	read_list(req, f->rfc7239 ? "forwarded" : "x-forwarded-for", &l);
	for (size_t i = 0; i < l.cnt; i++) {
		bool good = read_node(f->rfc7239 ? find_pair(l.at[i], "for") : l.at[i], &node);

		/* what the last trusted proxy says of its own connection counts, also where its client has no address */
		hop = i;
		element = l.at[i];
		if (!good)
			break;
		ret->client = node;
		ret->is_told = true;
		if (!mf_forwarding_trusts(f, &node.addr))
			break;
	}
	if (f->rfc7239) {
		proto = find_pair(element, "proto");
		ret->host = find_pair(element, "host");
	} else {
		proto = of_hop(req, "x-forwarded-proto", hop);
		ret->host = of_hop(req, "x-forwarded-host", hop);
	}
	ret->has_proto = proto.len > 0;
	ret->https = (proto.len == 5 && strncasecmp((const char *)proto.ptr, "https", 5) == 0) ||
		     (proto.len == 3 && strncasecmp((const char *)proto.ptr, "wss", 3) == 0);
}
