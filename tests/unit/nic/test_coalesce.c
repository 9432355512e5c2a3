/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coalesce.c - packets that were joined and are cut again are what they were, byte by byte; what may not be joined is not;
 * packets that the stack left unfinished
 */
#include "core/base/bytes.h"
#include "core/packet/checksum.h"
#include "core/packet/flow.h"
#include "nic/coalesce.h"
#include "nic/guest_net.h"
#include "tests/unit/test.h"

static const uint8_t guest_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

struct frame {
	size_t len;
	uint8_t bytes[2048];
};

struct world {
	struct mf_frame_source source; /* first: the guest's wire */
	struct mf_guest_net *net;
	struct mf_guest *guest;
	struct mf_coalesce c;
	struct frame out[256];
	unsigned out_cnt, joined, alone, room;
};

/* ---- the wire ---------------------------------------------------------------------------------------------------- */

static int wire_send(struct mf_frame_source *s, const uint8_t *head, size_t head_len,
		     const uint8_t *body, size_t body_len)
{
	struct world *w = (struct world *)s;
	struct frame *f = &w->out[w->out_cnt];

	if (w->room && w->out_cnt >= w->room)
		return MF_E_AGAIN;
	assert_true(w->out_cnt < MF_ARRAY_SIZE(w->out) && head_len + body_len <= sizeof(f->bytes));
	memcpy(f->bytes, head, head_len);
	memcpy(f->bytes + head_len, body, body_len);
	f->len = head_len + body_len;
	w->out_cnt++;
	return 0;
}

static int wire_run(struct mf_frame_source *s, unsigned max)
{
	(void)s;
	(void)max;
	return 0;
}

static void wire_nothing(struct mf_frame_source *s)
{
	(void)s;
}

static const struct mf_frame_ops wire_ops = { "test", wire_run, wire_send, wire_nothing,
					      wire_nothing };

static void no_packet(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len)
{
	(void)ctx;
	(void)guest;
	(void)pkt;
	(void)len;
}

static uint64_t no_time(void *ctx)
{
	(void)ctx;
	return 1;
}

static void begin(struct world *w)
{
	const struct mf_guest_net_options o = { .size = sizeof(o) };
	const struct mf_guest_net_ops ops = { .packet = no_packet, .now = no_time, .ctx = w };
	uint8_t hello[60] = { 0 };

	memset(w, 0, sizeof(*w));
	w->source = (struct mf_frame_source){ .ops = &wire_ops, .fd = -1 };
	mf_coalesce_init(&w->c);
	assert_int_equal(mf_guest_net_new(&o, &ops, &w->net, NULL), 0);
	assert_int_equal(mf_guest_attach(w->net, &w->source, &w->guest, NULL), 0);
	memcpy(hello + 6, guest_mac, 6);
	w->source.receiver(w->source.ctx, hello, sizeof(hello));
	assert_int_equal(mf_guest_address4(w->guest)[3], 15);
}

static void end(struct world *w)
{
	mf_guest_net_free(w->net);
}

/* What was joined goes back to the guest's wire, cut. */
static void done(void *ctx, const struct mf_coalesced *p)
{
	struct world *w = ctx;
	const struct mf_guest_unfinished how = { p->csum_start, 16, p->segment };

	if (p->segment) {
		w->joined++;
		assert_int_equal(mf_guest_net_packet_unfinished(w->net, p->ptr, p->len, &how), 0);
	} else {
		w->alone++;
		assert_int_equal(mf_guest_net_packet(w->net, p->ptr, p->len), 0);
	}
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

struct shape {
	bool six;
	uint32_t seq;
	uint16_t id, port;
	size_t options, payload;
	uint8_t flags;
};

static void finish(uint8_t *p, size_t len)
{
	struct mf_flow flow = { .proto = MF_PROTO_TCP, .family = p[0] >> 4 == 4 ? 4 : 6 };
	size_t start = flow.family == 4 ? 20 : 40;

	if (flow.family == 4) {
		mf_store_be16(p + 2, (uint16_t)len);
		mf_store_be16(p + 10, 0);
		mf_store_be16(p + 10, mf_csum_ip4_header(p, 20));
		memcpy(flow.src, p + 12, 4);
		memcpy(flow.dst, p + 16, 4);
	} else {
		mf_store_be16(p + 4, (uint16_t)(len - 40));
		memcpy(flow.src, p + 8, 16);
		memcpy(flow.dst, p + 24, 16);
	}
	mf_store_be16(p + start + 16, 0);
	mf_store_be16(p + start + 16, mf_csum_transport(&flow, p + start, len - start));
}

/* To the guest, with checksums. Return: length */
static size_t make(const struct world *w, const struct shape *s, uint8_t *p)
{
	size_t start = s->six ? 40 : 20, head = start + 20 + s->options;

	memset(p, 0, head);
	if (s->six) {
		p[0] = 0x60;
		p[6] = MF_PROTO_TCP;
		p[7] = 64;
		p[8] = 0x20;
		p[23] = 9;
		memcpy(p + 24, mf_guest_prefix6(w->guest), 8);
		p[39] = 7;
	} else {
		p[0] = 0x45;
		mf_store_be16(p + 4, s->id);
		p[6] = 0x40;
		p[8] = 64;
		p[9] = MF_PROTO_TCP;
		memcpy(p + 12, "\xc0\0\2\1", 4);
		memcpy(p + 16, mf_guest_address4(w->guest), 4);
	}
	mf_store_be16(p + start, s->port);
	mf_store_be16(p + start + 2, 443);
	mf_store_be32(p + start + 4, s->seq);
	mf_store_be32(p + start + 8, 77);
	p[start + 12] = (uint8_t)((20 + s->options) << 2);
	p[start + 13] = s->flags ? s->flags : 0x10;
	mf_store_be16(p + start + 14, 1000);
	memset(p + start + 20, 1, s->options);
	for (size_t i = 0; i < s->payload; i++)
		p[head + i] = (uint8_t)(s->seq + i * 3);
	finish(p, head + s->payload);
	return head + s->payload;
}

static void assert_frame(const struct world *w, unsigned i, const uint8_t *pkt, size_t len)
{
	assert_true(i < w->out_cnt);
	assert_int_equal(w->out[i].len, len + 14 < 60 ? 60 : len + 14);
	assert_memory_equal(w->out[i].bytes, guest_mac, 6);
	assert_memory_equal(w->out[i].bytes + 14, pkt, len);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

/* Both families, odd and even sizes, with and without options, a shorter last one, sequence numbers that wrap. */
static void test_joined_and_cut_is_what_it_was(void **state)
{
	static struct world w;
	static uint8_t sent[40][2048], copy[2048];
	static const size_t sizes[] = { 1460, 1448, 1001, 536, 256 }, last[] = { 1, 3, 255, 0 };

	(void)state;
	for (unsigned n = 0; n < 2 * MF_ARRAY_SIZE(sizes) * MF_ARRAY_SIZE(last); n++) {
		size_t size = sizes[n / 2 % MF_ARRAY_SIZE(sizes)], tail = last[n % 4], lens[40];
		struct shape s = { .six = n & 1,
				   .seq = 0xffffe000u,
				   .id = 0xfff0,
				   .port = 5000,
				   .options = n / 4 % 2 * 12,
				   .payload = size };
		unsigned cnt = tail ? 21 : 20;

		begin(&w);
		for (unsigned i = 0; i < cnt; i++) {
			if (i == 20)
				s.payload = tail;
			s.flags = i == cnt - 1 ? 0x19 : 0x10; /* ACK, PSH, FIN behind all */
			lens[i] = make(&w, &s, sent[i]);
			memcpy(copy, sent[i], lens[i]);
			mf_coalesce_add(&w.c, copy, lens[i], done, &w);
			s.seq += (uint32_t)s.payload;
			s.id++;
		}
		assert_int_equal(w.joined, 1);
		assert_int_equal(w.alone, 0);
		assert_int_equal(w.out_cnt, cnt);
		for (unsigned i = 0; i < cnt; i++)
			assert_frame(&w, i, sent[i], lens[i]);
		end(&w);
	}
}

/* No more than fits into a packet, and the next one begins another. */
static void test_what_is_joined_has_a_bound(void **state)
{
	static struct world w;
	static uint8_t copy[2048];
	struct shape s = { .payload = 1460, .port = 1 };

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 100; i++) {
		mf_coalesce_add(&w.c, copy, make(&w, &s, copy), done, &w);
		s.seq += 1460;
		s.id++;
	}
	assert_int_equal(w.out_cnt, 88); /* 44 a time */
	mf_coalesce_flush(&w.c, done, &w);
	mf_coalesce_flush(&w.c, done, &w);
	assert_int_equal(w.joined, 3);
	assert_int_equal(w.out_cnt, 100);
	end(&w);
}

/* Each change makes the second packet one that is not joined to the first; both arrive as they were, in order. */
static void test_what_is_not_joined(void **state)
{
	static const struct {
		size_t at;
		uint8_t value; /* xor */
	} changes4[] = {
		{ 1, 0x02 },  { 4, 0x40 },  { 6, 0x20 },  { 6, 0x80 },	{ 8, 1 },    { 12, 1 },	   { 20, 1 },
		{ 22, 1 },    { 24, 1 },    { 27, 1 },	  { 28, 1 },	{ 33, 0x02 }, { 33, 0x04 }, { 33, 0x20 },
		{ 33, 0x40 }, { 33, 0x80 }, { 33, 0x10 }, { 34, 1 },	{ 38, 1 },    { 40, 2 },
	}, changes6[] = {
		{ 1, 0x10 }, { 3, 1 }, { 7, 1 }, { 9, 1 }, { 42, 1 }, { 47, 1 }, { 53, 0x02 }, { 54, 1 }, { 60, 2 },
	};
	static struct world w;
	static uint8_t a[2048], b[2048], copy[2048];

	(void)state;
	for (unsigned n = 0; n < MF_ARRAY_SIZE(changes4) + MF_ARRAY_SIZE(changes6); n++) {
		bool six = n >= MF_ARRAY_SIZE(changes4);
		size_t at = six ? changes6[n - MF_ARRAY_SIZE(changes4)].at : changes4[n].at;
		uint8_t x = six ? changes6[n - MF_ARRAY_SIZE(changes4)].value : changes4[n].value;
		struct shape s = { .six = six, .options = 12, .payload = 1000 };
		size_t len;

		begin(&w);
		len = make(&w, &s, a);
		s.seq += 1000;
		s.id++;
		(void)make(&w, &s, b);
		b[at] ^= x;
		memcpy(copy, a, len);
		mf_coalesce_add(&w.c, copy, len, done, &w);
		memcpy(copy, b, len);
		mf_coalesce_add(&w.c, copy, len, done, &w);
		mf_coalesce_flush(&w.c, done, &w);
		if (w.joined)
			print_error("joined: change %u, byte %u\n", n, (unsigned)at);
		assert_int_equal(w.joined, 0);
		assert_int_equal(w.out_cnt, 2);
		assert_frame(&w, 0, a, len);
		assert_frame(&w, 1, b, len);
		end(&w);
	}
}

static void test_other_packets_go_through_in_order(void **state)
{
	static struct world w;
	static uint8_t copy[2048];
	struct shape s = { .payload = 700 };
	static const uint8_t junk[][4] = { { 0x45 }, { 0x60 }, { 0x46 }, { 0 } };

	(void)state;
	begin(&w);
	mf_coalesce_add(&w.c, copy, make(&w, &s, copy), done, &w);
	for (unsigned i = 0; i < MF_ARRAY_SIZE(junk); i++) {
		/* not even headers: the callback gets them, behind what waited */
		uint8_t pkt[60] = { 0 };

		memcpy(pkt, junk[i], 4);
		memcpy(pkt + (pkt[0] >> 4 == 6 ? 24 : 16),
		       pkt[0] >> 4 == 6 ? mf_guest_prefix6(w.guest) : mf_guest_address4(w.guest),
		       4);
		if (pkt[0] >> 4 == 6)
			memcpy(pkt + 24, mf_guest_prefix6(w.guest), 8);
		if (pkt[0] >> 4 != 4 && pkt[0] >> 4 != 6)
			continue;
		mf_coalesce_add(&w.c, pkt, sizeof(pkt), done, &w);
	}
	assert_int_equal(w.alone, 4);
	/* one that is pushed does not wait, and nothing is joined to it */
	s.flags = 0x18;
	mf_coalesce_add(&w.c, copy, make(&w, &s, copy), done, &w);
	assert_int_equal(w.alone, 5);
	/* crumbs neither */
	s.flags = 0x10;
	s.payload = 255;
	mf_coalesce_add(&w.c, copy, make(&w, &s, copy), done, &w);
	assert_int_equal(w.alone, 6);
	assert_int_equal(w.joined, 0);
	end(&w);
}

static void test_identification_that_means_nothing(void **state)
{
	static struct world w;
	static uint8_t copy[2048];
	struct shape s = { .payload = 700 };

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 3; i++) {
		mf_coalesce_add(&w.c, copy, make(&w, &s, copy), done, &w);
		s.seq += 700;
	}
	mf_coalesce_flush(&w.c, done, &w);
	assert_int_equal(w.joined, 1);
	assert_int_equal(w.out_cnt, 3);
	end(&w);
}

/* UDP of both families and TCP: the checksum is finished; UDP's never becomes 0. */
static void test_open_checksums_are_finished(void **state)
{
	static struct world w;
	uint8_t want[128], pkt[128];
	struct shape s = { .payload = 61 };

	(void)state;
	begin(&w);
	for (unsigned six = 0; six < 2; six++) {
		struct mf_flow flow = { .proto = MF_PROTO_TCP, .family = six ? 6 : 4 };
		size_t len, start = six ? 40 : 20;
		struct mf_guest_unfinished how = { (uint16_t)start, 16, 0 };

		s.six = six;
		len = make(&w, &s, want);
		memcpy(pkt, want, len);
		memcpy(flow.src, pkt + (six ? 8 : 12), six ? 16 : 4);
		memcpy(flow.dst, pkt + (six ? 24 : 16), six ? 16 : 4);
		mf_store_be16(pkt + start + 16,
			      mf_csum_fold(mf_csum_pseudo(&flow, (uint32_t)(len - start))));
		how.segment = six ? 1000 : 0; /* larger than it is: one packet */
		assert_int_equal(mf_guest_net_packet_unfinished(w.net, pkt, len, &how), 0);
		assert_frame(&w, six, want, len);
	}
	memset(pkt + 28, 0xff, 20); /* all ones: the sum's complement is 0 */
	memset(pkt, 0, 28);
	memcpy(pkt, "\x45\0\0\x30", 4);
	memcpy(pkt + 16, mf_guest_address4(w.guest), 4);
	assert_int_equal(mf_guest_net_packet_unfinished(w.net, pkt, 48,
							&(struct mf_guest_unfinished){ 20, 6, 0 }),
			 0);
	assert_memory_equal(w.out[2].bytes + 14 + 26, "\xff\xff", 2);
	end(&w);
}

static void test_what_does_not_fit_is_refused(void **state)
{
	static struct world w;
	static uint8_t pkt[2048], other[2048];
	struct shape s = { .payload = 1000 };
	size_t len;

	(void)state;
	begin(&w);
	len = make(&w, &s, pkt);
	static const struct mf_guest_unfinished wrong[] = {
		{ 0xffff, 16, 0 }, { 20, 0xffff, 0 }, { 1038, 1, 0 },	 { 20, 6, 100 },
		{ 16, 16, 100 },   { 24, 16, 100 },   { 1030, 16, 100 },
	};
	for (unsigned i = 0; i < MF_ARRAY_SIZE(wrong); i++) {
		memcpy(other, pkt, len);
		if (mf_guest_net_packet_unfinished(w.net, other, len, &wrong[i]) != MF_E_BAD)
			fail_msg("case %u", i);
	}
	memcpy(other, pkt, len);
	other[32] = 0x40; /* a TCP header of 16 bytes */
	assert_int_equal(mf_guest_net_packet_unfinished(
				 w.net, other, len, &(struct mf_guest_unfinished){ 20, 16, 100 }),
			 MF_E_BAD);
	other[32] = 0xf0; /* of 60, in a packet of 50 */
	assert_int_equal(mf_guest_net_packet_unfinished(
				 w.net, other, 50, &(struct mf_guest_unfinished){ 20, 16, 100 }),
			 MF_E_BAD);
	other[19] = 99; /* nobody's */
	assert_int_equal(mf_guest_net_packet_unfinished(
				 w.net, other, len, &(struct mf_guest_unfinished){ 20, 16, 100 }),
			 MF_E_NOENT);
	assert_int_equal(w.out_cnt, 0);
	/* a wire without room: the rest goes, too, and it is counted */
	w.room = 3;
	assert_int_equal(mf_guest_net_packet_unfinished(
				 w.net, pkt, len, &(struct mf_guest_unfinished){ 20, 16, 100 }),
			 MF_E_AGAIN);
	assert_int_equal(w.out_cnt, 3);
	{
		struct mf_guest_stats st;

		mf_guest_get_stats(w.guest, &st);
		assert_int_equal(st.dropped[MF_GUEST_DROP_QUEUE], 1);
	}
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_joined_and_cut_is_what_it_was),
		cmocka_unit_test(test_what_is_joined_has_a_bound),
		cmocka_unit_test(test_what_is_not_joined),
		cmocka_unit_test(test_other_packets_go_through_in_order),
		cmocka_unit_test(test_identification_that_means_nothing),
		cmocka_unit_test(test_open_checksums_are_finished),
		cmocka_unit_test(test_what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
