// SPDX-License-Identifier: Apache-2.0
// DNS messages: questions of programs, answers of ours, answers of resolvers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/dns_wire.h"

static const struct mf_dns_copy copy_60 = { .ttl_max_s = 60, .ede = MF_DNS_EDE_NONE };
static const struct mf_dns_copy copy_3600 = { .ttl_max_s = 3600, .ede = MF_DNS_EDE_NONE };

struct msg {
	uint8_t bytes[4096];
	size_t len;
};

static struct mf_span span_of(const struct msg *m)
{
	return mf_span_of(m->bytes, m->len);
}

// The corpus of the fuzzer has the messages of real shape.
static void load(const char *name, struct msg *m)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), MF_SOURCE_DIR "/tests/fuzz/corpus/dns_wire/%s", name);
	f = fopen(path, "rb");
	assert_non_null(f);
	m->len = fread(m->bytes, 1, sizeof(m->bytes), f);
	fclose(f);
}

static struct mf_dns_query query_of(const char *name, uint16_t type)
{
	struct mf_dns_query q = {
		.id = 0x1234, .type = type, .class = 1, .udp_size = 512, .recursion = true
	};

	assert_int_equal(mf_dns_parse_name(name, &q.name), 0);
	return q;
}

static int read_exact(const uint8_t *bytes, size_t len, struct mf_dns_query *q)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, bytes, len);
	r = mf_dns_read_query(mf_span_of(copy, len), q);
	free(copy);
	return r;
}

static void a_question_is_read_with_its_case_and_edns(void **state)
{
	struct mf_dns_query q;
	struct msg m;
	char text[MF_DNS_TEXT_MAX];

	(void)state;
	load("query-a", &m);
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), 0);
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.type, MF_DNS_A);
	assert_int_equal(q.udp_size, 4096);
	assert_true(q.has_edns && q.dnssec_ok && q.recursion);
	assert_int_equal(mf_dns_format_name(&q.name, text, sizeof(text)), 0);
	assert_string_equal(text, "WwW.eXample.com");
	for (size_t n = 0; n < m.len; n++)
		assert_true(read_exact(m.bytes, n, &q) < 0);
}

static void questions_that_are_none_are_refused(void **state)
{
	struct mf_dns_query q;
	struct msg m, good;

	(void)state;
	load("query-plain", &good);
	m = good;
	m.bytes[2] |= 0x80; // a response
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), MF_E_BAD);
	m = good;
	m.bytes[2] |= 0x28; // an update
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), MF_E_UNSUPPORTED);
	m = good;
	m.bytes[5] = 2; // two questions
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), MF_E_UNSUPPORTED);
	m = good;
	m.bytes[5] = 0;
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), MF_E_UNSUPPORTED);
	m = good;
	m.bytes[7] = 1; // an answer in a question
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), MF_E_BAD);
	m = good;
	m.bytes[12] = 0xc0; // a name that points at itself
	m.bytes[13] = 12;
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), MF_E_BAD);
	m = good;
	m.bytes[12] = 0x40; // a label type that was never
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), MF_E_BAD);
}

static void a_label_with_a_dot_or_a_nul_does_not_become_text(void **state)
{
	struct mf_dns_name dot = { .len = 5, .wire = "\3a.b" }, nul = { .len = 4, .wire = "\2a\0" };
	struct mf_dns_name root = { .len = 1 };
	char text[MF_DNS_TEXT_MAX];

	(void)state;
	assert_int_equal(mf_dns_format_name(&dot, text, sizeof(text)), MF_E_SYNTAX);
	assert_int_equal(mf_dns_format_name(&nul, text, sizeof(text)), MF_E_SYNTAX);
	assert_int_equal(mf_dns_format_name(&root, text, sizeof(text)), 0);
	assert_string_equal(text, ".");
}

static void names_of_text_are_checked(void **state)
{
	struct mf_dns_name n;
	char label[66], name[300] = "";

	(void)state;
	memset(label, 'a', 64);
	label[64] = '\0';
	assert_int_equal(mf_dns_parse_name(label, &n), MF_E_SYNTAX);
	assert_int_equal(mf_dns_parse_name(label + 1, &n), 0);
	assert_int_equal(mf_dns_parse_name("a..b", &n), MF_E_SYNTAX);
	assert_int_equal(mf_dns_parse_name("a.b.", &n), 0);
	assert_int_equal(n.len, 5);
	for (int i = 0; i < 5; i++)
		snprintf(name + strlen(name), sizeof(name) - strlen(name), "%s.", label + 2);
	assert_int_equal(mf_dns_parse_name(name, &n), MF_E_SYNTAX);
}

// Writes an answer and walks it again.
static unsigned answer_records(struct mf_dns_query *q, const struct mf_dns_answer *a,
			       struct mf_dns_record *recs, struct mf_dns_walk *w, size_t limit)
{
	static uint8_t out[MF_DNS_MESSAGE_MAX];
	int n = mf_dns_write_answer(q, a, out, sizeof(out), limit);
	unsigned cnt = 0;

	assert_true(n > 0 && (size_t)n <= limit);
	assert_int_equal(mf_dns_begin_walk(mf_span_of(out, (size_t)n), q, q->id, w), 0);
	while (cnt < 8 && mf_dns_next_record(w, &recs[cnt]) == 1)
		cnt++;
	return cnt;
}

static void a_synthetic_answer_has_the_addresses_of_the_asked_family(void **state)
{
	static const struct mf_addr addrs[] = { { .family = 4, .bytes = { 10, 0, 0, 7 } },
						{ .family = 6, .bytes = { 0xfd, 1 } } };
	struct mf_dns_answer a = {
		.addrs = addrs, .addr_cnt = 2, .ttl_s = 60, .soa = true, .ede = MF_DNS_EDE_NONE
	};
	static const struct {
		uint16_t type;
		unsigned cnt;
	} cases[] = { { MF_DNS_A, 1 },	  { MF_DNS_AAAA, 1 },  { MF_DNS_HTTPS, 0 },
		      { MF_DNS_SVCB, 0 }, { MF_DNS_CNAME, 0 }, { 16, 0 },
		      { MF_DNS_ANY, 2 } };
	struct mf_dns_record r[8];
	struct mf_dns_walk w;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_dns_query q = query_of("registry.npm.example", cases[i].type);

		assert_int_equal(answer_records(&q, &a, r, &w, 512), cases[i].cnt);
		if (cases[i].cnt)
			assert_int_equal(r[0].ttl_s, 60);
		// nothing there: an SOA says for how long
		assert_int_equal(mf_load_be16(w.msg.ptr + 8), cases[i].cnt ? 0 : 1);
	}
}

static void a_cname_answer_ties_the_addresses_to_its_target(void **state)
{
	static const struct mf_addr addr = { .family = 4, .bytes = { 192, 0, 2, 9 } };
	struct mf_dns_query q = query_of("a.example", MF_DNS_A);
	struct mf_dns_name target;
	struct mf_dns_answer a = {
		.addrs = &addr, .addr_cnt = 1, .cname = &target, .ede = MF_DNS_EDE_NONE
	};
	struct mf_dns_record r[8];
	struct mf_dns_walk w;

	(void)state;
	assert_int_equal(mf_dns_parse_name("b.example", &target), 0);
	assert_int_equal(answer_records(&q, &a, r, &w, 512), 2);
	assert_int_equal(r[0].type, MF_DNS_CNAME);
	assert_true(mf_dns_name_eq(&r[0].target, &target));
	assert_true(mf_dns_name_eq(&r[1].owner, &target));
	assert_true(mf_addr_eq(&r[1].addr, &addr));
}

static void a_refusal_carries_its_reason_to_those_who_speak_edns(void **state)
{
	static uint8_t out[2048];
	struct mf_dns_query q = query_of("evil.example", MF_DNS_A);
	struct mf_dns_answer a = { .rcode = MF_DNS_REFUSED,
				   .ede = MF_DNS_EDE_BLOCKED,
				   .ede_text = "no trackers" };
	char longest[2000];
	int n;

	(void)state;
	q.has_edns = true;
	n = mf_dns_write_answer(&q, &a, out, sizeof(out), 512);
	assert_int_equal(out[3] & 15, MF_DNS_REFUSED);
	assert_non_null(memmem(out, (size_t)n, "\0\x0f\0\x0d\0\x0fno trackers", 17));
	q.has_edns = false;
	n = mf_dns_write_answer(&q, &a, out, sizeof(out), 512);
	assert_null(memmem(out, (size_t)n, "no trackers", 11));
	// a code may stand alone
	q.has_edns = true;
	a.ede_text = NULL;
	n = mf_dns_write_answer(&q, &a, out, sizeof(out), 512);
	assert_non_null(memmem(out, (size_t)n, "\0\x0f\0\2\0\x0f", 6));
	// cut between characters
	for (size_t i = 0; i < sizeof(longest) - 1; i++)
		longest[i] = i % 2 ? '\xa9' : '\xc3';
	longest[sizeof(longest) - 1] = '\0';
	a.ede_text = longest;
	n = mf_dns_write_answer(&q, &a, out, sizeof(out), 512);
	assert_true(n > 0 && n <= 512);
	assert_int_equal(out[n - 1], 0xa9);
}

static void an_answer_that_does_not_fit_is_truncated(void **state)
{
	struct mf_addr addrs[64];
	struct mf_dns_query q = query_of("many.example", MF_DNS_A);
	struct mf_dns_answer a = { .addrs = addrs, .addr_cnt = 64, .ede = MF_DNS_EDE_NONE };
	struct mf_dns_record r[8];
	struct mf_dns_walk w;

	(void)state;
	memset(addrs, 0, sizeof(addrs));
	for (unsigned i = 0; i < 64; i++)
		addrs[i].family = 4;
	assert_int_equal(answer_records(&q, &a, r, &w, 512), 0);
	assert_true(w.truncated);
	assert_int_equal(answer_records(&q, &a, r, &w, MF_DNS_MESSAGE_MAX), 8);
	assert_false(w.truncated);
}

static void what_leaves_is_the_question_and_nothing_else(void **state)
{
	uint8_t out[512];
	struct mf_dns_query q, again;
	struct msg m;
	int n;

	(void)state;
	load("query-a", &m);
	// an option that carries data out of the session
	m.bytes[m.len - 1] = 8;
	memcpy(m.bytes + m.len, "\xfd\xe9\0\4data", 8);
	m.len += 8;
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), 0);
	n = mf_dns_write_query(&q, 99, NULL, out, sizeof(out));
	assert_int_equal(mf_dns_read_query(mf_span_of(out, (size_t)n), &again), 0);
	assert_int_equal(again.id, 99);
	assert_memory_equal(again.name.wire, q.name.wire, q.name.len);
	assert_null(memmem(out, (size_t)n, "data", 4));
}

// A plain question with an OPT that has the given version and options.
static void make_edns(struct msg *m, uint8_t version, const char *options, size_t len)
{
	load("query-plain", m);
	m->bytes[11] = 1;
	memcpy(m->bytes + m->len, "\0\0\x29\x10\0\0\0\0\0\0", 10);
	m->bytes[m->len + 6] = version;
	m->bytes[m->len + 10] = (uint8_t)len;
	memcpy(m->bytes + m->len + 11, options, len);
	m->len += 11 + len;
}

#define COOKIE_16      \
	"\0\x0a\0\x10" \
	"abcdefghABCDEFGH"

static void a_cookie_is_for_the_next_hop_only(void **state)
{
	static uint8_t out[1024];
	const struct mf_dns_cookie ours = { .len = 8, .bytes = "OURCOOKI" };
	struct mf_dns_answer a = { .ede = MF_DNS_EDE_NONE };
	struct mf_dns_query q, again;
	struct mf_dns_opt opt;
	struct msg m;
	int n;

	(void)state;
	make_edns(&m, 0, COOKIE_16, 20);
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), 0);
	// the server's half is not believed, so it is not kept
	assert_int_equal(q.cookie.len, 8);
	assert_memory_equal(q.cookie.bytes, "abcdefgh", 8);
	n = mf_dns_write_query(&q, 1, &ours, out, sizeof(out));
	assert_true(n > 0 && n <= MF_DNS_QUERY_MAX);
	assert_int_equal(mf_dns_read_query(mf_span_of(out, (size_t)n), &again), 0);
	assert_memory_equal(again.cookie.bytes, "OURCOOKI", 8);
	memcpy(q.cookie.bytes + 8, "87654321", 8);
	q.cookie.len = 16;
	n = mf_dns_write_answer(&q, &a, out, sizeof(out), 512);
	assert_int_equal(mf_dns_read_opt(mf_span_of(out, (size_t)n), &opt), 0);
	assert_int_equal(opt.cookie.len, 16);
	assert_memory_equal(opt.cookie.bytes, "abcdefgh87654321", 16);
}

static void cookies_of_impossible_lengths_and_cut_options_are_refused(void **state)
{
	static const struct {
		const char *options;
		size_t len;
		int result;
	} cases[] = {
		{ "\0\x0a\0\x08"
		  "abcdefgh",
		  12, 0 },
		{ "\0\x0a\0\x07"
		  "abcdefg",
		  11, MF_E_BAD },
		{ "\0\x0a\0\x0c"
		  "abcdefghijkl",
		  16, MF_E_BAD },
		{ "\0\x0a\0\x08"
		  "abcdefg",
		  11, MF_E_BAD },
		{ "\0\x0a\0", 3, MF_E_BAD },
		{ "\xfd\xe9\0\0" COOKIE_16, 24, 0 },
	};
	struct mf_dns_query q;
	struct mf_dns_opt opt;
	struct msg m;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		make_edns(&m, 0, cases[i].options, cases[i].len);
		assert_int_equal(read_exact(m.bytes, m.len, &q), cases[i].result);
		assert_int_equal(mf_dns_read_opt(span_of(&m), &opt), cases[i].result);
	}
}

static void an_unknown_version_of_edns_is_told_so(void **state)
{
	static uint8_t out[512];
	struct mf_dns_answer a = { .rcode = MF_DNS_BADVERS, .ede = MF_DNS_EDE_NONE };
	struct mf_dns_query q;
	struct mf_dns_opt opt;
	struct msg m;
	int n;

	(void)state;
	make_edns(&m, 1, "", 0);
	assert_int_equal(mf_dns_read_query(span_of(&m), &q), 0);
	assert_int_equal(q.edns_version, 1);
	n = mf_dns_write_answer(&q, &a, out, sizeof(out), 512);
	assert_int_equal(mf_dns_read_opt(mf_span_of(out, (size_t)n), &opt), 0);
	assert_int_equal(out[3] & 15, 0);
	assert_int_equal(opt.rcode_high, 1);
	assert_int_equal(opt.version, 0);
}

static void only_the_answer_to_the_very_question_counts(void **state)
{
	struct mf_dns_query q = query_of("WWW.example.com", MF_DNS_A), other;
	struct mf_dns_walk w;
	struct msg m;

	(void)state;
	load("answer-cname", &m);
	assert_int_equal(mf_dns_begin_walk(span_of(&m), &q, 0x1234, &w), 0);
	assert_int_equal(mf_dns_begin_walk(span_of(&m), &q, 0x1235, &w), MF_E_NOT_MINE);
	other = query_of("www.example.org", MF_DNS_A);
	assert_int_equal(mf_dns_begin_walk(span_of(&m), &other, 0x1234, &w), MF_E_NOT_MINE);
	other = query_of("www.example.com", MF_DNS_AAAA);
	assert_int_equal(mf_dns_begin_walk(span_of(&m), &other, 0x1234, &w), MF_E_NOT_MINE);
	m.bytes[2] &= 0x7f; // a question
	assert_int_equal(mf_dns_begin_walk(span_of(&m), &q, 0x1234, &w), MF_E_NOT_MINE);
}

static void a_chain_is_walked_with_its_addresses(void **state)
{
	struct mf_dns_query q = query_of("www.example.com", MF_DNS_A);
	struct mf_dns_walk w;
	struct mf_dns_record r;
	struct msg m;
	char text[MF_DNS_TEXT_MAX];

	(void)state;
	load("answer-cname", &m);
	assert_int_equal(mf_dns_begin_walk(span_of(&m), &q, 0x1234, &w), 0);
	assert_int_equal(mf_dns_next_record(&w, &r), 1);
	assert_int_equal(mf_dns_format_name(&r.target, text, sizeof(text)), 0);
	assert_string_equal(text, "cdn.example.net");
	assert_int_equal(r.ttl_s, 60);
	assert_int_equal(mf_dns_next_record(&w, &r), 1);
	assert_int_equal(mf_dns_format_name(&r.owner, text, sizeof(text)), 0);
	assert_string_equal(text, "cdn.example.net");
	assert_int_equal(r.addr.bytes[0], 192);
	assert_int_equal(mf_dns_next_record(&w, &r), 1);
	assert_int_equal(mf_dns_next_record(&w, &r), 0);
}

static void a_pointer_that_leads_nowhere_new_ends_the_walk(void **state)
{
	struct mf_dns_query q = query_of("www.example.com", MF_DNS_A);
	static uint8_t out[4096];
	struct mf_dns_walk w;
	struct mf_dns_record r;
	struct msg m;

	(void)state;
	load("answer-loop", &m);
	assert_int_equal(mf_dns_begin_walk(span_of(&m), &q, 0x1234, &w), 0);
	assert_int_equal(mf_dns_next_record(&w, &r), MF_E_BAD);
	assert_int_equal(
		mf_dns_copy_response(span_of(&m), &q, &copy_60, out, sizeof(out), sizeof(out)),
		MF_E_BAD);
}

static void a_copied_answer_keeps_the_clients_case_and_loses_hints_and_ech(void **state)
{
	static uint8_t out[4096];
	struct mf_dns_query q = query_of("wWw.ExAmPlE.com", MF_DNS_HTTPS);
	struct mf_dns_walk w;
	struct mf_dns_record r;
	struct msg m;
	int n;

	(void)state;
	q.id = 77;
	load("answer-https", &m);
	n = mf_dns_copy_response(span_of(&m), &q, &copy_60, out, sizeof(out), sizeof(out));
	assert_true(n > 0);
	assert_int_equal(mf_dns_begin_walk(mf_span_of(out, (size_t)n), &q, 77, &w), 0);
	assert_memory_equal(out + MF_DNS_HEAD_LEN, q.name.wire, q.name.len);
	assert_int_equal(mf_dns_next_record(&w, &r), 1);
	assert_int_equal(r.ttl_s, 60);
	// priority, root, alpn: and that is all
	assert_int_equal(r.data.len, 2 + 1 + 4 + 6);
	assert_null(memmem(out, (size_t)n, "echconfig", 9));
}

static void names_inside_records_survive_the_copy(void **state)
{
	static uint8_t out[4096];
	struct mf_dns_query q = query_of("www.example.com", 15);
	struct mf_dns_walk w;
	struct mf_dns_record r;
	struct msg m;
	int n;

	(void)state;
	load("answer-mx", &m);
	n = mf_dns_copy_response(span_of(&m), &q, &copy_3600, out, sizeof(out), sizeof(out));
	assert_true(n > 0);
	assert_int_equal(mf_dns_begin_walk(mf_span_of(out, (size_t)n), &q, 0x1234, &w), 0);
	assert_int_equal(mf_dns_next_record(&w, &r), 1);
	assert_memory_equal(r.data.ptr, "\0\x0a\4mail\7example\3com", 20);
	q = query_of("www.example.com", MF_DNS_A);
	load("answer-nxdomain", &m);
	n = mf_dns_copy_response(span_of(&m), &q, &copy_3600, out, sizeof(out), sizeof(out));
	assert_true(n > 0);
	assert_int_equal(out[3] & 15, MF_DNS_NXDOMAIN);
	assert_int_equal(mf_load_be16(out + 8), 1);
	n = mf_dns_copy_response(span_of(&m), &q, &copy_3600, out, sizeof(out), 60);
	assert_true(n > 0 && n <= 60 && out[2] & 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_read_with_its_case_and_edns),
		cmocka_unit_test(questions_that_are_none_are_refused),
		cmocka_unit_test(a_label_with_a_dot_or_a_nul_does_not_become_text),
		cmocka_unit_test(names_of_text_are_checked),
		cmocka_unit_test(a_synthetic_answer_has_the_addresses_of_the_asked_family),
		cmocka_unit_test(a_cname_answer_ties_the_addresses_to_its_target),
		cmocka_unit_test(a_refusal_carries_its_reason_to_those_who_speak_edns),
		cmocka_unit_test(an_answer_that_does_not_fit_is_truncated),
		cmocka_unit_test(what_leaves_is_the_question_and_nothing_else),
		cmocka_unit_test(a_cookie_is_for_the_next_hop_only),
		cmocka_unit_test(cookies_of_impossible_lengths_and_cut_options_are_refused),
		cmocka_unit_test(an_unknown_version_of_edns_is_told_so),
		cmocka_unit_test(only_the_answer_to_the_very_question_counts),
		cmocka_unit_test(a_chain_is_walked_with_its_addresses),
		cmocka_unit_test(a_pointer_that_leads_nowhere_new_ends_the_walk),
		cmocka_unit_test(a_copied_answer_keeps_the_clients_case_and_loses_hints_and_ech),
		cmocka_unit_test(names_inside_records_survive_the_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
