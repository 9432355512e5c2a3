/* SPDX-License-Identifier: Apache-2.0 */
/* test_translate.c - conversations through the NAT core: what leaves as the proxy's comes back as the server's */
#include "core/packet/build.h"
#include "core/packet/translate.h"
#include "golden.h"
#include "nat_fixture.h"

#define NOW (100 * S)

static struct mf_nat *new_table(const struct mf_flow *f, bool redirect)
{
	struct mf_nat_options o = { .size = sizeof(o), .entries_max = 8 };
	struct mf_nat_insert in = { .flow = *f, .pid = 5, .isn = 1 };
	struct mf_nat *nat;

	if (redirect)
		in.to = to_proxy(f);
	assert_int_equal(mf_nat_new(&o, &nat, NULL), 0);
	assert_int_equal(mf_nat_insert(nat, &in, NOW), 0);
	return nat;
}

static size_t make(const struct mf_flow *f, uint8_t flags, uint8_t *pkt, size_t room)
{
	struct mf_tcp_fields tcp = { .seq = 1, .flags = flags };
	size_t len;

	if (f->proto == MF_PROTO_TCP)
		assert_int_equal(mf_build_tcp(f, &tcp, mf_span_str("hello"), pkt, room, &len), 0);
	else
		assert_int_equal(mf_build_udp(f, mf_span_str("hello"), pkt, room, &len), 0);
	return len;
}

static enum mf_translation translate(struct mf_nat *nat, uint8_t *pkt, size_t len,
				     struct mf_flow *ret_flow)
{
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);
	struct mf_nat_hit hit;
	enum mf_translation t = mf_translate_packet(nat, &v, pkt, MF_CSUM_FULL, NOW, &hit);

	// Whatever was done, the bytes are a packet with right checksums, and the view knows it.
	assert_int_not_equal(mf_csum_verify_ip4(&v), MF_CSUM_BAD);
	assert_int_not_equal(mf_csum_verify(&v), MF_CSUM_BAD);
	*ret_flow = v.flow;
	v = golden_view(pkt, len, MF_VIEW_IP);
	assert_memory_equal(ret_flow, &v.flow, sizeof(v.flow));
	return t;
}

static void each_flow(void (*fn)(const struct mf_flow *f))
{
	struct mf_flow flows[] = { flow4(MF_PROTO_TCP, 1), flow6(MF_PROTO_TCP, 1),
				   flow4(MF_PROTO_UDP, 1), flow6(MF_PROTO_UDP, 1) };

	for (int i = 0; i < 4; i++)
		fn(&flows[i]);
}

static void talk(const struct mf_flow *f)
{
	struct mf_nat *nat = new_table(f, true);
	struct mf_flow to = to_proxy(f), back = mf_flow_reverse(&to), home = mf_flow_reverse(f), is;
	uint8_t pkt[256];

	assert_int_equal(translate(nat, pkt, make(f, MF_TCP_SYN, pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_REWRITTEN);
	assert_memory_equal(&is, &to, sizeof(is));
	assert_int_equal(
		translate(nat, pkt, make(&back, MF_TCP_SYN | MF_TCP_ACK, pkt, sizeof(pkt)), &is),
		MF_TRANSLATE_REWRITTEN);
	assert_memory_equal(&is, &home, sizeof(is));
	mf_nat_free(nat);
}

static void packets_of_both_directions_are_translated(void **state)
{
	(void)state;
	each_flow(talk);
}

/* An error of the proxy's side about the rewritten packet must reach the program as one about its own. */
static void complain(const struct mf_flow *f)
{
	struct mf_nat *nat = new_table(f, true);
	struct mf_flow is, home = mf_flow_reverse(f);
	uint8_t pkt[256], err[MF_BUILD_ANSWER_MAX];
	struct mf_view v, inner;
	struct mf_nat_entry before, after;
	size_t len;

	// Compared as bytes below, holes included.
	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	len = make(f, MF_TCP_SYN, pkt, sizeof(pkt));
	assert_int_equal(translate(nat, pkt, len, &is), MF_TRANSLATE_REWRITTEN);
	assert_int_equal(mf_nat_get(nat, f, NOW, &before), 0);
	v = golden_view(pkt, len, MF_VIEW_IP);
	assert_int_equal(mf_build_unreachable(&v, 1, err, sizeof(err), &len), 0);
	assert_int_equal(translate(nat, err, len, &is), MF_TRANSLATE_REWRITTEN);
	assert_memory_equal(is.src, home.src, 32);
	v = golden_view(err, len, MF_VIEW_IP);
	assert_int_equal(mf_view_quote(&v, &inner), 0);
	assert_memory_equal(&inner.flow, f, sizeof(*f));
	assert_int_equal(mf_nat_get(nat, f, NOW, &after), 0);
	assert_memory_equal(&after, &before, sizeof(after));

	// The other way round: the program refuses an answer.
	struct mf_flow to = to_proxy(f), back = mf_flow_reverse(&to);

	len = make(&back, MF_TCP_ACK, pkt, sizeof(pkt));
	assert_int_equal(translate(nat, pkt, len, &is), MF_TRANSLATE_REWRITTEN);
	v = golden_view(pkt, len, MF_VIEW_IP);
	assert_int_equal(mf_build_unreachable(&v, 1, err, sizeof(err), &len), 0);
	assert_int_equal(translate(nat, err, len, &is), MF_TRANSLATE_REWRITTEN);
	assert_memory_equal(is.src, to.src, 32);
	v = golden_view(err, len, MF_VIEW_IP);
	assert_int_equal(mf_view_quote(&v, &inner), 0);
	assert_memory_equal(&inner.flow, &back, sizeof(back));
	mf_nat_free(nat);
}

static void errors_are_translated_with_their_quote_and_refresh_nothing(void **state)
{
	(void)state;
	each_flow(complain);
}

static void pass(const struct mf_flow *f)
{
	struct mf_nat *nat = new_table(f, false);
	struct mf_flow is, home = mf_flow_reverse(f);
	uint8_t pkt[256];

	assert_int_equal(translate(nat, pkt, make(f, MF_TCP_ACK, pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_SAME);
	assert_memory_equal(&is, f, sizeof(is));
	assert_int_equal(translate(nat, pkt, make(&home, MF_TCP_ACK, pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_SAME);
	mf_nat_free(nat);
}

static void flows_that_may_pass_are_left_alone(void **state)
{
	(void)state;
	each_flow(pass);
}

static void without_an_entry_only_a_first_packet_is_asked_about(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1), g = flow4(MF_PROTO_TCP, 2),
		       u = flow4(MF_PROTO_UDP, 3), is;
	struct mf_nat *nat = new_table(&f, true);
	uint8_t pkt[2048];

	(void)state;
	assert_int_equal(translate(nat, pkt, make(&g, MF_TCP_SYN, pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_NEW);
	assert_int_equal(translate(nat, pkt, make(&g, MF_TCP_ACK, pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_OTHER);
	assert_int_equal(translate(nat, pkt, make(&g, MF_TCP_RST, pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_OTHER);
	assert_int_equal(
		translate(nat, pkt, make(&g, MF_TCP_SYN | MF_TCP_ACK, pkt, sizeof(pkt)), &is),
		MF_TRANSLATE_OTHER);
	assert_int_equal(translate(nat, pkt, make(&u, 0, pkt, sizeof(pkt)), &is), MF_TRANSLATE_NEW);
	assert_int_equal(translate(nat, pkt, golden_ip("ICMP echo request", pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_NEW);
	assert_int_equal(translate(nat, pkt, golden_ip("ICMP echo reply", pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_OTHER);
	assert_int_equal(translate(nat, pkt,
				   golden_ip("ICMP port unreachable quoting UDP", pkt, sizeof(pkt)),
				   &is),
			 MF_TRANSLATE_OTHER);
	assert_int_equal(translate(nat, pkt, golden_ip("UDP last fragment", pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_FRAGMENT);
	assert_int_equal(translate(nat, pkt,
				   golden_ip("UDP with loose source route", pkt, sizeof(pkt)), &is),
			 MF_TRANSLATE_REFUSED);
	mf_nat_free(nat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_both_directions_are_translated),
		cmocka_unit_test(errors_are_translated_with_their_quote_and_refresh_nothing),
		cmocka_unit_test(flows_that_may_pass_are_left_alone),
		cmocka_unit_test(without_an_entry_only_a_first_packet_is_asked_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
