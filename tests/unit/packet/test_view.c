/* SPDX-License-Identifier: Apache-2.0 */
/* test_view.c - packet views against golden packets: captured ones, and one broken one for every reason */
#include "core/base/err.h"
#include "core/packet/checksum.h"
#include "golden.h"

static const char *const states[] = { "good", "bad", "none", "unknown" };

static void read_golden(const struct golden *g, void *ctx)
{
	char text[2 * MF_VIEW_TEXT_MAX], sums[64] = "";
	struct mf_view_stats *stats = ctx;
	struct mf_view v;
	int r;

	mf_view_init(&v, mf_span_of(g->bytes, g->len), g->link, 0, stats);
	r = mf_view_parse(&v, MF_VIEW_TRANSPORT);
	mf_view_format(&v, text, sizeof(text));
	if (!r)
		snprintf(sums, sizeof(sums), "%s %s", states[mf_csum_verify_ip4(&v)],
			 states[mf_csum_verify(&v)]);
	if (getenv("MF_GOLDEN_PRINT"))
		printf("%s\t%s\t%s\n", g->name, text, sums);
	else if (strcmp(text, g->text) != 0 || strcmp(sums, g->sums) != 0)
		fail_msg("%s:\n  is      %s | %s\n  must be %s | %s", g->name, text, sums, g->text,
			 g->sums);
}

static void golden_packets_read_as_their_text_says(void **state)
{
	(void)state;
	golden_each(read_golden, NULL);
}

static void every_reason_has_a_packet_that_is_counted_under_it(void **state)
{
	struct mf_view_stats stats = { 0 };
	uint64_t all = 0;
	unsigned cnt;

	(void)state;
	cnt = golden_each(read_golden, &stats);
	for (int i = MF_VIEW_FINE + 1; i < MF_VIEW_REASON_NUM; i++) {
		if (!stats.reasons[i])
			fail_msg("no golden packet for reason %s", mf_view_reason_name(i));
		all += i == MF_VIEW_QUOTE ? 0 : stats.reasons[i];
	}
	assert_int_equal(stats.reasons[MF_VIEW_FINE], 0);
	assert_int_equal(stats.parsed + all, cnt);
}

/* A packet that comes byte by byte is read as one that came at once, and before that asks for more. */
static void read_bytewise(const struct golden *g, void *ctx)
{
	char text[2 * MF_VIEW_TEXT_MAX];
	struct mf_view v;
	int r = MF_E_AGAIN;

	(void)ctx;
	if (strstr(g->text, "more input needed"))
		return;
	mf_view_init(&v, mf_span_of(g->bytes, 0), g->link, 0, NULL);
	for (size_t n = 0; n <= g->len && r == MF_E_AGAIN; n++) {
		uint8_t *part = malloc(n ? n : 1);

		assert_non_null(part);
		memcpy(part, g->bytes, n);
		mf_view_grow(&v, mf_span_of(part, n));
		r = mf_view_parse(&v, MF_VIEW_TRANSPORT);
		mf_view_grow(&v, mf_span_of(g->bytes, n));
		free(part);
	}
	mf_view_grow(&v, mf_span_of(g->bytes, g->len));
	mf_view_format(&v, text, sizeof(text));
	// Padding is seen only by who has it; everything before it must be the same.
	if (!strstr(g->text, "padding"))
		assert_string_equal(text, g->text);
}

static void read_both_ways(const uint8_t *bytes, size_t len, uint16_t flags)
{
	struct mf_view_stats stats = { 0 };
	struct mf_view quick, v;
	int r;

	mf_view_init(&v, mf_span_of(bytes, len), MF_VIEW_IP, flags, &stats);
	r = mf_view_parse(&v, MF_VIEW_TRANSPORT);
	assert_int_equal(mf_view_read_ip(&quick, mf_span_of(bytes, len), flags, &stats), r);
	assert_memory_equal(&quick, &v, sizeof(v));
	assert_int_equal(stats.parsed + stats.reasons[v.reason], 2);
}

/* As it is, cut, and with each byte of its headers changed. */
static void read_shortly(const struct golden *g, void *ctx)
{
	static const uint8_t changes[] = { 0x01, 0x10, 0x40, 0xff };
	size_t link_len = g->link == MF_VIEW_ETHERNET ? 14 : 0, all, len;
	uint8_t bytes[128];

	(void)ctx;
	if (g->len < link_len)
		return;
	all = g->len - link_len;
	read_both_ways(g->bytes + link_len, all, 0);
	read_both_ways(g->bytes + link_len, all, MF_VIEW_F_OFFLOAD);
	len = all < sizeof(bytes) ? all : sizeof(bytes);
	memcpy(bytes, g->bytes + link_len, len);
	for (size_t i = 0; i < len; i++) {
		read_both_ways(bytes, i, 0);
		for (size_t k = 0; k < MF_ARRAY_SIZE(changes); k++) {
			bytes[i] ^= changes[k];
			read_both_ways(bytes, len, 0);
			bytes[i] ^= changes[k];
		}
	}
}

static void the_short_way_reads_as_the_long_one(void **state)
{
	(void)state;
	assert_true(golden_each(read_shortly, NULL) > 0);
}

static void packets_that_come_in_pieces_read_the_same(void **state)
{
	(void)state;
	golden_each(read_bytewise, NULL);
}

static void cut_golden(const struct golden *g, void *ctx)
{
	(void)ctx;
	for (size_t n = 0; n < g->len; n++) {
		uint8_t *part = malloc(n ? n : 1);
		char text[2 * MF_VIEW_TEXT_MAX];
		struct mf_view v;

		assert_non_null(part);
		memcpy(part, g->bytes, n);
		mf_view_init(&v, mf_span_of(part, n), g->link, 0, NULL);
		if (mf_view_parse(&v, MF_VIEW_TRANSPORT) == 0)
			assert_true(v.payload_end <= n);
		mf_view_format(&v, text, sizeof(text));
		free(part);
	}
}

static void packets_cut_anywhere_are_never_read_past_their_end(void **state)
{
	(void)state;
	golden_each(cut_golden, NULL);
}

static void layers_are_read_one_after_the_other_and_once(void **state)
{
	struct mf_view_stats stats = { 0 };
	uint8_t pkt[2048];
	size_t len = golden_ip("TCP SYN", pkt, sizeof(pkt));
	struct mf_view v;

	(void)state;
	mf_view_init(&v, mf_span_of(pkt, len), MF_VIEW_IP, 0, &stats);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_LINK), 0);
	assert_int_equal(v.layer, MF_VIEW_LINK);
	assert_int_equal(v.net, MF_NET_NONE);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_NET), 0);
	assert_int_equal(v.net, MF_NET_IP4);
	assert_int_equal(v.flow.dst_port, 0);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
	assert_int_equal(v.flow.dst_port, 8080);
	assert_int_equal(stats.parsed, 3);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_NET), 0);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
	assert_int_equal(stats.parsed, 3);
}

static void a_failure_is_final_and_counted_once(void **state)
{
	struct mf_view_stats stats = { 0 };
	uint8_t pkt[40] = { 0x44 };
	struct mf_view v;

	(void)state;
	mf_view_init(&v, mf_span_of(pkt, sizeof(pkt)), MF_VIEW_IP, 0, &stats);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), MF_E_BAD);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), MF_E_BAD);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_LINK), 0);
	assert_int_equal(stats.reasons[MF_VIEW_IP4_IHL], 1);
}

static void tcp_options_are_found_by_kind(void **state)
{
	uint8_t pkt[2048];
	size_t len = golden_ip("TCP SYN", pkt, sizeof(pkt));
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);
	struct mf_span opt;

	(void)state;
	assert_true(mf_view_tcp_option(&v, 2, &opt));
	assert_int_equal(opt.len, 2);
	assert_int_equal(mf_load_be16(opt.ptr), 1460);
	assert_true(mf_view_tcp_option(&v, 4, &opt));
	assert_int_equal(opt.len, 0);
	assert_false(mf_view_tcp_option(&v, 34, &opt));
}

static void flow_ends_are_canonical_and_flows_are_not(void **state)
{
	uint8_t pkt[2048];
	size_t len = golden_ip("mapped addresses on the wire", pkt, sizeof(pkt));
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);
	struct mf_endpoint ep = mf_flow_dst(&v.flow);
	char text[MF_ENDPOINT_TEXT_MAX];

	(void)state;
	assert_int_equal(v.flow.family, 6);
	assert_string_equal(mf_endpoint_format(&ep, text, sizeof(text)), "192.0.2.2:53");
}

static void offload_packets_are_not_judged_by_their_checksum_field(void **state)
{
	uint8_t pkt[2048];
	size_t len = golden_ip("DNS query over UDP over IPv6", pkt, sizeof(pkt));
	struct mf_view v;

	(void)state;
	mf_store_be16(pkt + 40 + 6, 0);
	mf_view_init(&v, mf_span_of(pkt, len), MF_VIEW_IP, 0, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), MF_E_BAD);
	mf_view_init(&v, mf_span_of(pkt, len), MF_VIEW_IP, MF_VIEW_F_OFFLOAD, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
}

static void reasons_have_different_names(void **state)
{
	(void)state;
	for (int i = 0; i < MF_VIEW_REASON_NUM; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(mf_view_reason_name(i), mf_view_reason_name(j));
	assert_string_equal(mf_view_reason_name(MF_VIEW_REASON_NUM), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_packets_read_as_their_text_says),
		cmocka_unit_test(every_reason_has_a_packet_that_is_counted_under_it),
		cmocka_unit_test(packets_that_come_in_pieces_read_the_same),
		cmocka_unit_test(the_short_way_reads_as_the_long_one),
		cmocka_unit_test(packets_cut_anywhere_are_never_read_past_their_end),
		cmocka_unit_test(layers_are_read_one_after_the_other_and_once),
		cmocka_unit_test(a_failure_is_final_and_counted_once),
		cmocka_unit_test(tcp_options_are_found_by_kind),
		cmocka_unit_test(flow_ends_are_canonical_and_flows_are_not),
		cmocka_unit_test(offload_packets_are_not_judged_by_their_checksum_field),
		cmocka_unit_test(reasons_have_different_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
