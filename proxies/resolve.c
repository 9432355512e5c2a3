/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.c - addresses of the names that policies redirect to, as the host sees them */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxies/dns_upstream_int.h"
#include "proxies/hostconf.h"

enum { TTL_MIN_S = 5, TTL_MAX_S = 300 };

struct mf_resolve {
	struct mf_dns_upstream *up;
	struct mf_dns_ask *asks[2]; /* A, AAAA; NULL: ended */
	mf_resolve_fn fn;
	void *ctx;
	int result;
	uint32_t ttl_s;
	uint8_t cnt;
	struct mf_addr addrs[MF_RESOLVE_ADDRS_MAX];
	char host[MF_DNS_TEXT_MAX];
};

static struct mf_resolve_entry *find_cached(struct mf_dns_upstream *up, const char *host,
					    uint64_t now)
{
	for (unsigned i = 0; i < MF_RESOLVE_CACHE_MAX; i++)
		if (up->cache[i].expires_ms > now && strcasecmp(up->cache[i].host, host) == 0)
			return &up->cache[i];
	return NULL;
}

static void keep(struct mf_resolve *r)
{
	struct mf_dns_upstream *up = r->up;
	struct mf_resolve_entry *e = &up->cache[up->cache_next];
	uint32_t ttl = r->ttl_s < TTL_MIN_S   ? TTL_MIN_S
		       : r->ttl_s > TTL_MAX_S ? TTL_MAX_S
					      : r->ttl_s;

	up->cache_next = (up->cache_next + 1) % MF_RESOLVE_CACHE_MAX;
	e->expires_ms = mf_now_ms() + ttl * UINT64_C(1000);
	e->cnt = r->cnt;
	memcpy(e->addrs, r->addrs, sizeof(e->addrs));
	snprintf(e->host, sizeof(e->host), "%s", r->host);
}

static void end_if_done(struct mf_resolve *r)
{
	if (r->asks[0] || r->asks[1])
		return;
	if (r->cnt) {
		keep(r);
		r->result = 0;
	}
	r->fn(r->ctx, r->result, r->addrs, r->cnt);
	free(r);
}

static void take(struct mf_resolve *r, unsigned i, int result, const struct mf_dns_walk *walk)
{
	struct mf_dns_walk w;
	struct mf_dns_record rec;

	r->asks[i] = NULL;
	if (result < 0)
		r->result = result;
	if (result == 0) {
		w = *walk;
		while (mf_dns_next_record(&w, &rec) == 1) {
			if (!rec.addr.family || r->cnt == MF_RESOLVE_ADDRS_MAX)
				continue;
			/* the resolvers are the host's own: their CNAME chains are followed as they come */
			if (rec.ttl_s < r->ttl_s)
				r->ttl_s = rec.ttl_s;
			r->addrs[r->cnt++] = rec.addr;
		}
	}
	end_if_done(r);
}

static void on_a(void *ctx, const struct mf_dns_result *result)
{
	take(ctx, 0, result->result, result->walk);
}

static void on_aaaa(void *ctx, const struct mf_dns_result *result)
{
	take(ctx, 1, result->result, result->walk);
}

static struct mf_resolve *ask_servers(struct mf_dns_upstream *up, const char *host,
				      mf_resolve_fn fn, void *ctx)
{
	struct mf_dns_query q = { .class = 1, .recursion = true, .udp_size = MF_DNS_UDP_MAX };
	struct mf_resolve *r = NULL;
	int res = mf_dns_parse_name(host, &q.name);

	if (res == 0) {
		r = calloc(1, sizeof(*r));
		res = r ? 0 : MF_E_NOMEM;
	}
	if (r) {
		*r = (struct mf_resolve){
			.up = up, .fn = fn, .ctx = ctx, .result = MF_E_NOENT, .ttl_s = TTL_MAX_S
		};
		snprintf(r->host, sizeof(r->host), "%s", host);
		q.type = MF_DNS_A;
		res = mf_dns_upstream_ask(up, &q, on_a, r, &r->asks[0]);
		q.type = MF_DNS_AAAA;
		if (res == 0 && mf_dns_upstream_ask(up, &q, on_aaaa, r, &r->asks[1]) < 0)
			r->asks[1] = NULL; /* one family will do */
	}
	if (res == 0)
		return r;
	free(r);
	fn(ctx, res, NULL, 0);
	return NULL;
}

/* RFC 6761 §6.3: nobody is asked about these */
static bool is_localhost(const char *host)
{
	size_t len = strlen(host);

	return strcasecmp(host, "localhost") == 0 ||
	       (len > 10 && strcasecmp(host + len - 10, ".localhost") == 0);
}

struct mf_resolve *mf_resolve_start(struct mf_dns_upstream *up, const char *host, mf_resolve_fn fn,
				    void *ctx)
{
	struct mf_addr addrs[MF_RESOLVE_ADDRS_MAX];
	struct mf_resolve_entry *e;
	size_t cnt;

	if (mf_addr_parse(host, strlen(host), &addrs[0]) == 0) {
		fn(ctx, 0, addrs, 1);
		return NULL;
	}
	e = find_cached(up, host, mf_now_ms());
	if (e) {
		memcpy(addrs, e->addrs, sizeof(addrs));
		fn(ctx, 0, addrs, e->cnt);
		return NULL;
	}
	if (is_localhost(host)) {
		(void)mf_addr_parse("127.0.0.1", 9, &addrs[0]);
		(void)mf_addr_parse("::1", 3, &addrs[1]);
		fn(ctx, 0, addrs, 2);
		return NULL;
	}
	cnt = mf_hostconf_find_host(up->proxy->opt.hosts_file, host, addrs, MF_RESOLVE_ADDRS_MAX);
	if (cnt) {
		fn(ctx, 0, addrs, cnt);
		return NULL;
	}
	return ask_servers(up, host, fn, ctx);
}

void mf_resolve_cancel(struct mf_resolve *r)
{
	for (unsigned i = 0; i < 2; i++)
		if (r->asks[i])
			mf_dns_upstream_cancel(r->asks[i]);
	free(r);
}
