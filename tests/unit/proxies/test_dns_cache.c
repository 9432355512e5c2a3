// SPDX-License-Identifier: Apache-2.0
// The DNS cache: time is an argument, so nothing here waits.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/bytes.h"
#include "proxies/dns_cache.h"

enum { SOA = 6, NS = 2 };

struct response {
	uint8_t bytes[1024];
	size_t len;
};

static struct mf_dns_query query_of(const char *name, uint16_t type)
{
	struct mf_dns_query q = { .type = type, .class = 1, .udp_size = 512 };

	assert_int_equal(mf_dns_parse_name(name, &q.name), 0);
	return q;
}

static void begin(struct response *r, const struct mf_dns_query *q, unsigned rcode)
{
	memset(r, 0, sizeof(*r));
	mf_store_be16(r->bytes, 0x1234);
	mf_store_be16(r->bytes + 2, (uint16_t)(0x8180 | rcode));
	r->bytes[5] = 1;
	memcpy(r->bytes + 12, q->name.wire, q->name.len);
	r->len = 12u + q->name.len;
	mf_store_be16(r->bytes + r->len, q->type);
	mf_store_be16(r->bytes + r->len + 2, q->class);
	r->len += 4;
}

// @section: 0 answers, 1 authority, 2 additional
static void add(struct response *r, unsigned section, uint16_t type, uint32_t ttl, const void *data,
		size_t len)
{
	uint8_t *p = r->bytes + r->len;

	r->bytes[7 + section * 2]++;
	mf_store_be16(p, 0xc00c);
	mf_store_be16(p + 2, type);
	mf_store_be16(p + 4, 1);
	mf_store_be32(p + 6, ttl);
	mf_store_be16(p + 10, (uint16_t)len);
	memcpy(p + 12, data, len);
	r->len += 12 + len;
}

static void add_soa(struct response *r, uint32_t ttl, uint32_t minimum)
{
	uint8_t data[2 + 20] = { 0 };

	mf_store_be32(data + 18, minimum);
	add(r, 1, SOA, ttl, data, sizeof(data));
}

static struct mf_span span_of(const struct response *r)
{
	return mf_span_of(r->bytes, r->len);
}

static struct mf_dns_cache *make(size_t bytes, uint32_t stale_s)
{
	struct mf_dns_cache_options o = { .bytes_max = bytes, .stale_s = stale_s };
	struct mf_dns_cache *c;

	assert_int_equal(mf_dns_cache_new(&o, &c, NULL), 0);
	return c;
}

static uint8_t out[MF_DNS_MESSAGE_MAX];

// The TTL of the first answer that the cache gives at @now_ms; -1: none is given
static int64_t found_ttl(struct mf_dns_cache *c, const struct mf_dns_query *q, uint64_t now_ms,
			 bool stale)
{
	int len = mf_dns_cache_find(c, q, now_ms, stale, out);
	struct mf_dns_walk w;
	struct mf_dns_record r;

	if (len == MF_E_NOENT)
		return -1;
	assert_true(len > 0);
	assert_int_equal(mf_dns_begin_walk(mf_span_of(out, (size_t)len), q, 0, &w), 0);
	return mf_dns_next_record(&w, &r) == 1 ? (int64_t)r.ttl_s : 0;
}

static void ttls_are_counted_down_and_end(void **state)
{
	struct mf_dns_cache *c = make(0, 0);
	struct mf_dns_query q = query_of("www.example", MF_DNS_A);
	struct response r;

	(void)state;
	begin(&r, &q, 0);
	add(&r, 0, MF_DNS_A, 300, "\xc0\0\2\1", 4);
	add(&r, 0, MF_DNS_A, 100, "\xc0\0\2\2", 4); // the smallest counts for all
	mf_dns_cache_keep(c, &q, span_of(&r), 5000);
	assert_int_equal(found_ttl(c, &q, 5000, false), 300);
	assert_int_equal(found_ttl(c, &q, 5999, false), 300);
	assert_int_equal(found_ttl(c, &q, 64000, false), 241);
	assert_int_equal(found_ttl(c, &q, 104999, false), 201);
	assert_int_equal(found_ttl(c, &q, 105000, false), -1);
	mf_dns_cache_free(c);
}

static void only_the_same_question_is_answered(void **state)
{
	struct mf_dns_cache *c = make(0, 0);
	struct mf_dns_query q = query_of("WWW.Example", MF_DNS_A), other;
	struct response r;

	(void)state;
	begin(&r, &q, 0);
	add(&r, 0, MF_DNS_A, 300, "\xc0\0\2\1", 4);
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	other = query_of("www.eXample", MF_DNS_A);
	assert_int_equal(found_ttl(c, &other, 0, false), 300);
	other = query_of("www.example", MF_DNS_AAAA);
	assert_int_equal(found_ttl(c, &other, 0, false), -1);
	other = query_of("ww.example", MF_DNS_A);
	assert_int_equal(found_ttl(c, &other, 0, false), -1);
	other = q;
	other.class = 3;
	assert_int_equal(found_ttl(c, &other, 0, false), -1);
	other = q;
	other.dnssec_ok = true;
	assert_int_equal(found_ttl(c, &other, 0, false), -1);
	other = q;
	other.checking_disabled = true;
	assert_int_equal(found_ttl(c, &other, 0, false), -1);
	mf_dns_cache_free(c);
}

static void what_may_not_be_kept_is_not(void **state)
{
	struct mf_dns_cache *c = make(0, 0);
	struct mf_dns_query q = query_of("www.example", MF_DNS_A);
	struct response r;

	(void)state;
	begin(&r, &q, MF_DNS_SERVFAIL);
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	begin(&r, &q, 0);
	add(&r, 0, MF_DNS_A, 0, "\xc0\0\2\1", 4);
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	begin(&r, &q, 0);
	add(&r, 0, MF_DNS_A, 0x80000001, "\xc0\0\2\1", 4); // RFC 2181: zero
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	begin(&r, &q, 0);
	add(&r, 0, MF_DNS_A, 60, "\xc0\0\2\1", 4);
	r.bytes[2] |= 2; // truncated
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	begin(&r, &q, MF_DNS_NXDOMAIN); // negative, and nobody says for how long
	add(&r, 1, NS, 300, "\1a\0", 3);
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	begin(&r, &q, 0);
	add(&r, 0, MF_DNS_A, 60, "\xc0\0\2\1", 4);
	r.bytes[7] = 9; // more records than there are
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	assert_int_equal(found_ttl(c, &q, 0, true), -1);
	mf_dns_cache_free(c);
}

static void negative_answers_live_as_their_soa_says(void **state)
{
	static const struct {
		unsigned rcode;
		uint32_t ttl, minimum, lives;
	} cases[] = { { MF_DNS_NXDOMAIN, 600, 60, 60 },
		      { MF_DNS_NXDOMAIN, 30, 600, 30 },
		      { MF_DNS_NOERROR, 900, 120, 120 },
		      { MF_DNS_NXDOMAIN, 86400, 86400, 3600 } };
	struct mf_dns_query q = query_of("missing.example", MF_DNS_A);
	struct response r;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_dns_cache *c = make(0, 0);

		begin(&r, &q, cases[i].rcode);
		add_soa(&r, cases[i].ttl, cases[i].minimum);
		mf_dns_cache_keep(c, &q, span_of(&r), 0);
		assert_int_equal(found_ttl(c, &q, cases[i].lives * 1000 - 1, false), 0);
		assert_int_equal(out[3] & 15, cases[i].rcode);
		assert_int_equal(found_ttl(c, &q, cases[i].lives * 1000, false), -1);
		mf_dns_cache_free(c);
	}
}

static void an_alias_without_an_end_is_negative(void **state)
{
	struct mf_dns_cache *c = make(0, 0);
	struct mf_dns_query q = query_of("alias.example", MF_DNS_A);
	struct response r;

	(void)state;
	begin(&r, &q, 0);
	add(&r, 0, MF_DNS_CNAME, 300, "\1a\0", 3);
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	assert_int_equal(found_ttl(c, &q, 0, false), -1);
	add_soa(&r, 600, 20);
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	assert_int_equal(found_ttl(c, &q, 19999, false), 281);
	assert_int_equal(found_ttl(c, &q, 20000, false), -1);
	mf_dns_cache_free(c);
}

static void expired_answers_are_given_on_request_for_a_while(void **state)
{
	struct mf_dns_cache *c = make(0, 600);
	struct mf_dns_query q = query_of("www.example", MF_DNS_A);
	struct mf_dns_cache_stats st;
	struct response r;

	(void)state;
	begin(&r, &q, 0);
	add(&r, 0, MF_DNS_A, 60, "\xc0\0\2\1", 4);
	mf_dns_cache_keep(c, &q, span_of(&r), 0);
	assert_int_equal(found_ttl(c, &q, 59000, true), 1);
	assert_int_equal(found_ttl(c, &q, 60000, false), -1);
	assert_int_equal(found_ttl(c, &q, 60000, true), MF_DNS_STALE_TTL_S);
	assert_int_equal(found_ttl(c, &q, 659999, true), MF_DNS_STALE_TTL_S);
	assert_int_equal(found_ttl(c, &q, 660000, true), -1);
	mf_dns_cache_get_stats(c, &st);
	assert_int_equal(st.stale_hits, 2);
	assert_int_equal(st.entries, 0);
	assert_int_equal(st.bytes, 0);
	mf_dns_cache_free(c);
}

static void memory_is_bounded_and_the_least_used_goes(void **state)
{
	struct mf_dns_cache *c = make(20000, 0);
	struct mf_dns_cache_stats st;
	struct response r;
	char name[64];

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		struct mf_dns_query q, first = query_of("n0.example", MF_DNS_A);

		snprintf(name, sizeof(name), "n%u.example", i);
		q = query_of(name, MF_DNS_A);
		begin(&r, &q, 0);
		add(&r, 0, MF_DNS_A, 60, "\xc0\0\2\1", 4);
		mf_dns_cache_keep(c, &q, span_of(&r), 0);
		assert_int_equal(found_ttl(c, &first, 0, false), 60); // used, so it stays
		mf_dns_cache_get_stats(c, &st);
		assert_true(st.bytes <= 20000);
	}
	assert_true(st.evicted > 4000);
	assert_true(st.entries > 50);
	assert_int_equal(st.entries + st.evicted, 5000);
	// one response may not push out all others
	{
		struct mf_dns_query q = query_of("big.example", 16);
		uint8_t *big = calloc(1, 2000);

		begin(&r, &q, 0);
		add(&r, 0, 16, 60, "x", 1);
		memcpy(big, r.bytes, r.len);
		mf_dns_cache_keep(c, &q, mf_span_of(big, 2000), 0);
		free(big);
		assert_int_equal(found_ttl(c, &q, 0, false), -1);
	}
	mf_dns_cache_free(c);
}

static void *hammer(void *ctx)
{
	struct mf_dns_cache *c = ctx;
	uint8_t *mine = malloc(MF_DNS_MESSAGE_MAX);
	struct response r;
	char name[64];

	for (unsigned i = 0; i < 20000; i++) {
		struct mf_dns_query q;

		snprintf(name, sizeof(name), "n%u.example", i % 300);
		q = query_of(name, MF_DNS_A);
		if (mf_dns_cache_find(c, &q, i, false, mine) < 0) {
			begin(&r, &q, 0);
			add(&r, 0, MF_DNS_A, 1, "\xc0\0\2\1", 4);
			mf_dns_cache_keep(c, &q, span_of(&r), i);
		}
	}
	free(mine);
	return NULL;
}

static void sessions_of_two_threads_may_share_one(void **state)
{
	struct mf_dns_cache *c = make(20000, 5);
	struct mf_dns_cache_stats st;
	pthread_t threads[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, c), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	mf_dns_cache_get_stats(c, &st);
	assert_int_equal(st.hits + st.misses, 40000);
	mf_dns_cache_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ttls_are_counted_down_and_end),
		cmocka_unit_test(only_the_same_question_is_answered),
		cmocka_unit_test(what_may_not_be_kept_is_not),
		cmocka_unit_test(negative_answers_live_as_their_soa_says),
		cmocka_unit_test(an_alias_without_an_end_is_negative),
		cmocka_unit_test(expired_answers_are_given_on_request_for_a_while),
		cmocka_unit_test(memory_is_bounded_and_the_least_used_goes),
		cmocka_unit_test(sessions_of_two_threads_may_share_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
