// SPDX-License-Identifier: Apache-2.0
// QUIC's Initial packets: the vectors of RFC 9001 and RFC 9369, hellos in any order and any pieces, hostile ones.
#include "tests/unit/test.h"

#include "core/base/err.h"
#include "core/wire/quic_initial.h"

static struct mf_quic_crypto *crypto;

struct bytes {
	uint8_t ptr[65536];
	size_t len;
};

static void load(const char *name, struct bytes *b)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), MF_TEST_DATA "/%s", name);
	f = fopen(path, "rb");
	assert_non_null(f);
	b->len = fread(b->ptr, 1, sizeof(b->ptr), f);
	fclose(f);
}

static void expect_hex(const uint8_t *got, size_t len, const char *hex)
{
	char text[256];

	assert_true(2 * len < sizeof(text));
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", got[i]);
	assert_string_equal(text, hex);
}

// --- keys and packets

static const uint8_t rfc_dcid[] = { 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08 };

static void test_keys_of_the_rfcs(void **state)
{
	static const struct {
		uint32_t version;
		bool server;
		const char *key, *iv, *hp;
	} want[] = {
		{ MF_QUIC_V1, false, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
		  "9f50449e04a0e810283a1e9933adedd2" },
		{ MF_QUIC_V1, true, "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e",
		  "c206b8d9b9f0f37644430b490eeaa314" },
		{ MF_QUIC_V2, false, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f",
		  "45b95e15235d6f45a6b19cbcb0294ba9" },
		{ MF_QUIC_V2, true, "82db637861d55e1d011f19ea71d5d2a7", "dd13c276499c0249d3310652",
		  "edf6d05c83121201b436e16877593c3a" },
	};
	struct mf_quic_keys k;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(want); i++) {
		assert_int_equal(mf_quic_derive_keys(want[i].version, mf_span_of(rfc_dcid, 8),
						     want[i].server, &k),
				 0);
		expect_hex(k.key, 16, want[i].key);
		expect_hex(k.iv, 12, want[i].iv);
		expect_hex(k.hp, 16, want[i].hp);
	}
	assert_int_equal(mf_quic_derive_keys(0xff00001d, mf_span_of(rfc_dcid, 8), false, &k),
			 MF_E_UNSUPPORTED);
}

// Whole packets of the RFCs: opened here, read, and sealed again to the same bytes.
static void test_packets_of_the_rfcs(void **state)
{
	static const char *const files[] = { "quic/rfc9001-a2.bin", "quic/rfc9369-a2.bin" };
	static struct bytes b;
	static uint8_t again[2048], clear[2048];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct mf_quic_reader r;
		struct mf_quic_packet p;
		struct mf_tls_hello h;
		struct mf_span s, payload;
		struct mf_quic_draft d;
		int64_t number;

		load(files[i], &b);
		s = mf_span_of(b.ptr, b.len);
		assert_int_equal(mf_quic_next_packet(&s, &p), 0);
		assert_int_equal(s.len, 0);
		assert_int_equal(p.type, MF_QUIC_INITIAL);
		assert_int_equal(p.version, i ? MF_QUIC_V2 : MF_QUIC_V1);
		assert_true(mf_span_eq(p.dcid, mf_span_of(rfc_dcid, 8)));
		assert_int_equal(p.scid.len + p.token.len, 0);
		assert_int_equal(p.number_at, 18);

		assert_int_equal(mf_quic_reader_begin(&r, &p), 0);
		assert_int_equal(mf_quic_open(crypto, &r.keys, &p, -1, &payload, &number), 0);
		assert_int_equal(number, 2);
		assert_int_equal(payload.len, 1162);
		memcpy(clear, payload.ptr, payload.len);
		assert_int_equal(mf_quic_reader_take(crypto, &r, &p), 0);
		assert_int_equal(mf_quic_reader_hello(&r, &h), 0);
		assert_int_equal(h.message.len, 241);
		assert_true(mf_span_eq(h.sni, mf_span_str("example.com")));
		assert_true(mf_span_eq(h.alpn[0], mf_span_str("alpn")));
		assert_true(mf_quic_reader_settled(&r));
		assert_int_equal(mf_quic_reader_hello(&r, &h), MF_E_AGAIN);

		d = (struct mf_quic_draft){ .version = p.version,
					    .dcid = p.dcid,
					    .frames = mf_span_of(clear, 1162),
					    .number = 2,
					    .number_len = 4 };
		assert_int_equal(mf_quic_seal(crypto, &r.keys, &d, again, sizeof(again)), 1200);
		assert_memory_equal(again, b.ptr, 1200);
		mf_quic_reader_end(&r);
	}
}

// What browsers send: hellos with post-quantum key shares, in two datagrams, cut up and shuffled on purpose.
static void test_datagrams_of_real_clients(void **state)
{
	static const struct {
		const char *file, *sni, *ja4;
		size_t datagrams;
	} clients[] = {
		{ "quic/chromium.bin", "api.vendor.example", "q13d0312h3_55b375c5d22e_", 2 },
		{ "quic/firefox.bin", "api.vendor.example", "q13d0315h3_55b375c5d22e_", 2 },
		{ "quic/ngtcp2.bin", "localhost", "q13d0415h3_9caa18292e23_", 1 },
	};
	static struct bytes b;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(clients); i++) {
		for (unsigned backwards = 0; backwards < 2; backwards++) {
			struct mf_span datagrams[4] = { { NULL, 0 } };
			struct mf_quic_reader r = { .version = 0 };
			char ja4[MF_TLS_JA4_LEN + 1];
			struct mf_tls_hello h;
			size_t cnt = 0;

			load(clients[i].file, &b);
			for (size_t at = 0; at < b.len; at += 2 + datagrams[cnt++].len)
				datagrams[cnt] = mf_span_of(b.ptr + at + 2,
							    (size_t)b.ptr[at] << 8 | b.ptr[at + 1]);
			assert_int_equal(cnt, clients[i].datagrams);
			for (size_t n = 0; n < cnt; n++) {
				struct mf_span d = datagrams[backwards ? cnt - 1 - n : n];
				struct mf_quic_packet p;

				assert_int_equal(mf_quic_next_packet(&d, &p), 0);
				if (n == 0)
					assert_int_equal(mf_quic_reader_begin(&r, &p), 0);
				else
					assert_int_equal(mf_quic_reader_hello(&r, &h), MF_E_AGAIN);
				assert_int_equal(mf_quic_reader_take(crypto, &r, &p), 0);
			}
			assert_int_equal(mf_quic_reader_hello(&r, &h), 0);
			assert_true(mf_quic_reader_settled(&r));
			assert_true(mf_span_eq(h.sni, mf_span_str(clients[i].sni)));
			assert_true(mf_span_eq(h.alpn[0], mf_span_str("h3")));
			mf_tls_format_ja4(&h, true, ja4);
			assert_memory_equal(ja4, clients[i].ja4, strlen(clients[i].ja4));
			mf_quic_reader_end(&r);
		}
	}
}

// Every bit of a packet is covered by its tag.
static void test_a_changed_packet_is_nobodys(void **state)
{
	static struct bytes b;

	(void)state;
	load("quic/rfc9001-a2.bin", &b);
	for (size_t bit = 0; bit < b.len * 8; bit += bit < 400 ? 1 : 97) {
		struct mf_span s = mf_span_of(b.ptr, b.len);
		struct mf_quic_reader r = { .version = 0 };
		struct mf_quic_packet p;

		b.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (mf_quic_next_packet(&s, &p) == 0 && p.type == MF_QUIC_INITIAL &&
		    mf_quic_reader_begin(&r, &p) == 0) {
			assert_int_equal(mf_quic_reader_take(crypto, &r, &p), MF_E_NOT_MINE);
			assert_false(r.broken);
		}
		mf_quic_reader_end(&r);
		b.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static int next(const void *ptr, size_t len, struct mf_quic_packet *p)
{
	struct mf_span s = mf_span_of(ptr, len);

	return mf_quic_next_packet(&s, p);
}

static void test_headers(void **state)
{
	static const uint8_t v1_retry[] = { 0xf0, 0, 0, 0, 1, 0, 2, 0xaa, 0xbb, 't', 'o' };
	static const uint8_t v2_retry[] = { 0xc0, 0x6b, 0x33, 0x43, 0xcf, 0, 0, 't' };
	static const uint8_t negotiation[] = { 0x80, 0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 1 };
	static const uint8_t draft[] = { 0xc0, 0xff, 0, 0, 0x1d, 1, 7, 1, 8, 0 };
	static const uint8_t rtp[] = { 0x80, 0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
	static const uint8_t zero_rtt[] = { 0xd0, 0, 0, 0, 1, 1, 7, 0, 3, 1, 2, 3, 0x40, 9 };
	static const uint8_t long_id[] = { 0xc0, 0, 0, 0, 1, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
					   0,	 0, 0, 0, 0, 0,	 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct mf_span s = mf_span_of(zero_rtt, sizeof(zero_rtt));
	struct mf_quic_packet p;

	(void)state;
	assert_int_equal(next("", 0, &p), MF_E_NOT_MINE);
	assert_int_equal(next("\x40short header", 13, &p), MF_E_NOT_MINE);
	assert_int_equal(next(v1_retry, sizeof(v1_retry), &p), 0);
	assert_int_equal(p.type, MF_QUIC_RETRY);
	assert_int_equal(p.scid.len, 2);
	assert_int_equal(next(v2_retry, sizeof(v2_retry), &p), 0);
	assert_int_equal(p.type, MF_QUIC_RETRY);
	assert_int_equal(next(negotiation, sizeof(negotiation), &p), 0);
	assert_int_equal(p.type, MF_QUIC_NEGOTIATION);
	assert_int_equal(next(draft, sizeof(draft), &p), MF_E_UNSUPPORTED);
	assert_int_equal(p.version, 0xff00001d);
	assert_true(mf_quic_is_foreign(draft, sizeof(draft)));
	assert_false(mf_quic_is_foreign(rtp, sizeof(rtp)));
	assert_false(mf_quic_is_foreign(negotiation, sizeof(negotiation)));
	assert_false(mf_quic_is_foreign(zero_rtt, sizeof(zero_rtt)));
	assert_int_equal(next(long_id, sizeof(long_id), &p), MF_E_BAD);
	// coalesced: a length, then what is left
	assert_int_equal(mf_quic_next_packet(&s, &p), 0);
	assert_int_equal(p.type, MF_QUIC_ZERO_RTT);
	assert_int_equal(p.whole.len, 12);
	assert_int_equal(s.len, 2);
	assert_int_equal(mf_quic_next_packet(&s, &p), MF_E_NOT_MINE);
	// every prefix of a header is refused and nothing is read past its end
	for (size_t n = 0; n < sizeof(v1_retry); n++) {
		uint8_t *copy = malloc(n + 1);

		memcpy(copy, zero_rtt, n);
		assert_true(next(copy, n, &p) < 0);
		free(copy);
	}
	// a token and a length that claim more than there is
	assert_int_equal(next("\xc0\0\0\0\1\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 15, &p),
			 MF_E_BAD);
	assert_int_equal(next("\xc0\0\0\0\1\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16, &p),
			 MF_E_BAD);
	assert_int_equal(next("\xc0\0\0\0\1\0\0\0\x44", 9, &p), MF_E_BAD);
}

// --- hellos in pieces

// A hello of a real client, without its record, and larger: as those with post-quantum key shares are.
static void make_hello(struct bytes *b, size_t padding)
{
	static struct bytes wire;
	uint32_t at, extensions;

	load("hello/curl.bin", &wire);
	b->len = wire.len - 5;
	memcpy(b->ptr, wire.ptr + 5, b->len);
	if (!padding)
		return;
	at = 4 + 2 + 32 + 1 + b->ptr[38];
	at += 2 + (uint32_t)(b->ptr[at] << 8 | b->ptr[at + 1]);
	at += 1u + b->ptr[at];
	extensions = (uint32_t)(b->ptr[at] << 8 | b->ptr[at + 1]) + 4 + (uint32_t)padding;
	b->ptr[at] = (uint8_t)(extensions >> 8);
	b->ptr[at + 1] = (uint8_t)extensions;
	// an extension type that nobody has, for the client may have padding of its own
	memcpy(b->ptr + b->len, "\xfe\x01", 2);
	b->ptr[b->len + 2] = (uint8_t)(padding >> 8);
	b->ptr[b->len + 3] = (uint8_t)padding;
	memset(b->ptr + b->len + 4, 0x5a, padding);
	b->len += 4 + padding;
	b->ptr[1] = 0;
	b->ptr[2] = (uint8_t)((b->len - 4) >> 8);
	b->ptr[3] = (uint8_t)(b->len - 4);
}

struct frames {
	uint8_t ptr[4096];
	size_t len;
};

static void add_varint(struct frames *f, uint32_t v)
{
	f->ptr[f->len++] = (uint8_t)(0x80 | v >> 24);
	f->ptr[f->len++] = (uint8_t)(v >> 16);
	f->ptr[f->len++] = (uint8_t)(v >> 8);
	f->ptr[f->len++] = (uint8_t)v;
}

static void add_crypto(struct frames *f, uint32_t offset, const uint8_t *ptr, size_t len)
{
	f->ptr[f->len++] = 6;
	add_varint(f, offset);
	add_varint(f, (uint32_t)len);
	if (len)
		memcpy(f->ptr + f->len, ptr, len);
	f->len += len;
}

static struct mf_quic_reader *new_reader(uint32_t version)
{
	struct mf_quic_reader *r = malloc(sizeof(*r));
	struct mf_quic_packet p = { .version = version, .dcid = mf_span_of(rfc_dcid, 8) };

	assert_int_equal(mf_quic_reader_begin(r, &p), 0);
	return r;
}

static void end_reader(struct mf_quic_reader *r)
{
	mf_quic_reader_end(r);
	free(r);
}

// Seal frames as a client, and let the reader have them.
static int take_version(struct mf_quic_reader *r, const struct frames *f, uint32_t version)
{
	static uint8_t out[8192];
	static const uint8_t padding[64];
	struct frames padded = *f;
	struct mf_quic_draft d = { .version = version,
				   .dcid = mf_span_of(rfc_dcid, 8),
				   .scid = mf_span_of("source", 6),
				   .token = mf_span_of("a token of a retry", 18),
				   .number = (uint32_t)(r->largest + 1),
				   .number_len = (uint8_t)(1 + f->len % 4) };
	struct mf_quic_keys keys;
	struct mf_quic_packet p;
	struct mf_span s;
	int n;

	if (padded.len < 4) {
		memcpy(padded.ptr + padded.len, padding, 4);
		padded.len += 4;
	}
	d.frames = mf_span_of(padded.ptr, padded.len);
	assert_int_equal(mf_quic_derive_keys(version, d.dcid, false, &keys), 0);
	n = mf_quic_seal(crypto, &keys, &d, out, sizeof(out));
	assert_true(n > 0);
	s = mf_span_of(out, (size_t)n);
	assert_int_equal(mf_quic_next_packet(&s, &p), 0);
	return mf_quic_reader_take(crypto, r, &p);
}

static int take(struct mf_quic_reader *r, const struct frames *f)
{
	return take_version(r, f, r->version);
}

static void test_any_order_and_any_pieces(void **state)
{
	static struct bytes hello;
	uint64_t random = 1;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct mf_quic_reader *r = new_reader(round % 2 ? MF_QUIC_V1 : MF_QUIC_V2);
		uint32_t at[2048], len[2048], cnt = 0;
		struct mf_tls_hello h;
		int got = MF_E_AGAIN;

		make_hello(&hello, round % 3 ? round * 7 : 0);
		for (uint32_t pos = 0; pos < hello.len; cnt++) {
			at[cnt] = pos;
			len[cnt] = 1 + test_below(&random, round % 5 ? 700 : 20);
			if (len[cnt] > hello.len - pos)
				len[cnt] = (uint32_t)hello.len - pos;
			pos += len[cnt];
			if (len[cnt] > 3 && test_below(&random, 2))
				pos -= 2; // the next one says the end again
			else if (cnt && test_below(&random, 8) == 0) {
				cnt++; // once more, as after a loss
				at[cnt] = at[cnt - 2];
				len[cnt] = len[cnt - 2];
			}
		}
		for (uint32_t left = cnt; left;) {
			struct frames f = { .len = 0 };

			while (left && f.len < 900) {
				uint32_t i = test_below(&random, left--);

				if (test_below(&random, 3) == 0)
					f.ptr[f.len++] = (uint8_t)test_below(&random, 2);
				add_crypto(&f, at[i], hello.ptr + at[i], len[i]);
				at[i] = at[left];
				len[i] = len[left];
			}
			assert_int_equal(take(r, &f), 0);
			if (got == MF_E_AGAIN)
				got = mf_quic_reader_hello(r, &h);
			assert_true(got == 0 || !mf_quic_reader_settled(r));
		}
		assert_int_equal(got, 0);
		assert_true(mf_quic_reader_settled(r));
		assert_int_equal(h.message.len, hello.len);
		assert_memory_equal(h.message.ptr, hello.ptr, hello.len);
		assert_true(mf_span_eq(h.sni, mf_span_str("api.vendor.example")));
		end_reader(r);
	}
}

static void test_gaps_are_waited_for(void **state)
{
	struct mf_quic_reader *r = new_reader(MF_QUIC_V1);
	static struct bytes hello;
	struct frames f = { .len = 0 };
	struct mf_tls_hello h;

	(void)state;
	make_hello(&hello, 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), MF_E_AGAIN);
	add_crypto(&f, 1, hello.ptr + 1, hello.len - 1);
	assert_int_equal(take(r, &f), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), MF_E_AGAIN);
	assert_false(mf_quic_reader_settled(r));
	f.len = 0;
	add_crypto(&f, 0, hello.ptr, 1);
	assert_int_equal(take(r, &f), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), 0);
	assert_true(mf_quic_reader_settled(r));
	end_reader(r);
}

static void test_other_frames(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int want;
	} cases[] = {
		{ "\0\0\0\1\1\1\0", 7, 0 },
		{ "\2\7\x40\1\0\7", 6, 0 },				      // ACK
		{ "\2\x52\x11\1\2\3\0\0\1\1", 10, 0 },			      // two ranges more
		{ "\3\7\0\0\1\1\2\3", 8, 0 },				      // with ECN
		{ "\x1c\x41\x70\0\3why", 8, 0 },			      // CONNECTION_CLOSE
		{ "\6\0\0\0", 4, 0 },					      // CRYPTO with nothing
		{ "\2\7\0\xff\xff\xff\xff\xff\xff\xff\xff\0", 12, MF_E_BAD }, // ranges without end
		{ "\2\7\0\0\x40", 5, MF_E_BAD },
		{ "\3\7\0\0\1\1\2", 7, MF_E_BAD },
		{ "\x1c\0\0\4why", 7, MF_E_BAD },
		{ "\x1d\0\0\0", 4, MF_E_BAD }, // an application's close
		{ "\6\0\4abc", 6, MF_E_BAD },
		{ "\6\0\0\6\x40", 5, MF_E_BAD },
		{ "\x40\6\0\0", 4, MF_E_BAD }, // a frame type in more bytes than needed
		{ "\x08\0abcd", 6, MF_E_BAD }, // STREAM
		{ "\x1e\0\0\0", 4, MF_E_BAD }, // HANDSHAKE_DONE
		{ "\x30\0\0\0", 4, MF_E_BAD }, // DATAGRAM
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_quic_reader *r = new_reader(MF_QUIC_V1);
		struct frames f = { .len = cases[i].len };

		memcpy(f.ptr, cases[i].bytes, cases[i].len);
		assert_int_equal(take(r, &f), cases[i].want);
		assert_int_equal(r->broken, cases[i].want < 0);
		// what is broken stays so
		f = (struct frames){ .len = 0 };
		add_crypto(&f, 0, (const uint8_t *)"\1", 1);
		assert_int_equal(take(r, &f), cases[i].want);
		end_reader(r);
	}
}

static int take_crypto(struct mf_quic_reader *r, uint32_t offset, const void *ptr, size_t len)
{
	struct frames f = { .len = 0 };

	add_crypto(&f, offset, ptr, len);
	return take(r, &f);
}

static void test_what_two_could_read_in_two_ways_is_refused(void **state)
{
	struct mf_quic_reader *r = new_reader(MF_QUIC_V1);
	static struct bytes hello;
	struct mf_tls_hello h;

	(void)state;
	make_hello(&hello, 0);
	// one byte is another one, in the middle of what came before, before the hello is whole
	assert_int_equal(take_crypto(r, 0, hello.ptr, 200), 0);
	hello.ptr[150] ^= 1;
	assert_int_equal(take_crypto(r, 100, hello.ptr + 100, 60), MF_E_BAD);
	assert_int_equal(mf_quic_reader_hello(r, &h), MF_E_BAD);
	assert_false(mf_quic_reader_settled(r));
	end_reader(r);
	// and after it was judged
	r = new_reader(MF_QUIC_V1);
	assert_int_equal(take_crypto(r, 0, hello.ptr, hello.len), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), 0);
	assert_int_equal(take_crypto(r, 0, hello.ptr, hello.len), 0);
	assert_true(mf_quic_reader_settled(r));
	hello.ptr[150] ^= 1;
	assert_int_equal(take_crypto(r, 140, hello.ptr + 140, 20), MF_E_BAD);
	assert_false(mf_quic_reader_settled(r));
	end_reader(r);
	// no ClientHello: refused by its first byte
	r = new_reader(MF_QUIC_V1);
	assert_int_equal(take_crypto(r, 0, "\2", 1), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), MF_E_BAD);
	end_reader(r);
	// a ClientHello whose inside does not fit
	r = new_reader(MF_QUIC_V1);
	assert_int_equal(take_crypto(r, 0, "\1\0\0\4\3\3\0\0", 8), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), MF_E_BAD);
	end_reader(r);
}

static void test_a_second_hello(void **state)
{
	struct mf_quic_reader *r = new_reader(MF_QUIC_V2);
	static struct bytes hello;
	struct mf_tls_hello h;
	uint32_t len;

	(void)state;
	make_hello(&hello, 0);
	len = (uint32_t)hello.len;
	assert_int_equal(take_crypto(r, 0, hello.ptr, len), 0);
	assert_int_equal(take_crypto(r, len, hello.ptr, 50), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), 0);
	assert_false(mf_quic_reader_settled(r)); // its beginning is here
	assert_int_equal(mf_quic_reader_hello(r, &h), MF_E_AGAIN);
	assert_int_equal(take_crypto(r, len + 50, hello.ptr + 50, len - 50), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), 0);
	assert_ptr_equal(h.message.ptr, r->bytes + len);
	assert_true(mf_quic_reader_settled(r));
	end_reader(r);
}

// A server may move its client to the other version in the middle (RFC 9368).
static void test_both_versions_in_one_attempt(void **state)
{
	struct mf_quic_reader *r = new_reader(MF_QUIC_V1);
	static struct bytes hello;
	struct frames f = { .len = 0 };
	struct mf_tls_hello h;

	(void)state;
	make_hello(&hello, 0);
	add_crypto(&f, 0, hello.ptr, 100);
	assert_int_equal(take(r, &f), 0);
	f.len = 0;
	add_crypto(&f, 100, hello.ptr + 100, hello.len - 100);
	assert_int_equal(take_version(r, &f, MF_QUIC_V2), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), 0);
	hello.ptr[40] ^= 1;
	f.len = 0;
	add_crypto(&f, 0, hello.ptr, 100);
	assert_int_equal(take_version(r, &f, MF_QUIC_V2), MF_E_BAD);
	end_reader(r);
}

static void test_limits(void **state)
{
	struct mf_quic_reader *r = new_reader(MF_QUIC_V1);
	struct mf_tls_hello h;
	uint32_t room;

	(void)state;
	// the last byte that may come makes the largest buffer there is
	assert_int_equal(take_crypto(r, MF_QUIC_STREAM_MAX - 1, "x", 1), 0);
	room = r->room;
	assert_int_equal(room, MF_QUIC_STREAM_MAX);
	assert_int_equal(take_crypto(r, MF_QUIC_STREAM_MAX, "x", 1), MF_E_LIMIT);
	assert_true(r->broken);
	end_reader(r);
	r = new_reader(MF_QUIC_V1);
	assert_int_equal(take_crypto(r, 0x3fffffff, "x", 1), MF_E_LIMIT);
	assert_null(r->bytes);
	end_reader(r);
	// a message that says that it is longer than a stream may be
	r = new_reader(MF_QUIC_V1);
	assert_int_equal(take_crypto(r, 0, "\1\0\x3f\xfd", 4), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), MF_E_BAD);
	end_reader(r);
	r = new_reader(MF_QUIC_V1);
	assert_int_equal(take_crypto(r, 0, "\1\0\x3f\xfc", 4), 0);
	assert_int_equal(mf_quic_reader_hello(r, &h), MF_E_AGAIN);
	end_reader(r);
}

// Numbers are sent cut short; they are completed from what came before (RFC 9000 §A.3).
static void test_packet_numbers(void **state)
{
	struct mf_quic_keys keys;
	static uint8_t out[2048];
	uint64_t random = 5;

	(void)state;
	assert_int_equal(mf_quic_derive_keys(MF_QUIC_V1, mf_span_of(rfc_dcid, 8), false, &keys), 0);
	for (unsigned i = 0; i < 500; i++) {
		uint32_t number = test_below(&random, 0x7fffffff) >> test_below(&random, 31);
		uint8_t len = (uint8_t)(1 + test_below(&random, 4));
		int64_t window = (INT64_C(1) << 8 * len) / 2;
		int64_t largest =
			(int64_t)number - 1 - window + 1 +
			test_below(&random, (uint32_t)(window > 1000000 ? 1000000 : window));
		struct mf_quic_draft d = { .version = MF_QUIC_V1,
					   .dcid = mf_span_of(rfc_dcid, 8),
					   .frames = mf_span_of("\0\0\0\0\0", 5),
					   .number = number,
					   .number_len = len };
		struct mf_quic_packet p;
		struct mf_span payload;
		int64_t got;
		int n;

		if (largest < -1)
			largest = -1;
		if (largest == -1 && number >= window) // cannot be meant
			continue;
		n = mf_quic_seal(crypto, &keys, &d, out, sizeof(out));
		assert_true(n > 0);
		assert_int_equal(next(out, (size_t)n, &p), 0);
		assert_int_equal(mf_quic_open(crypto, &keys, &p, largest, &payload, &got), 0);
		assert_int_equal(got, number);
	}
}

// What refuses a connection: a server's packet, to where the client wants it.
static void test_close(void **state)
{
	static const char reason[] =
		"a reason that is much longer than anybody wants to see in one packet";
	static struct bytes b;
	struct mf_quic_packet p, close;
	struct mf_quic_keys keys;
	uint8_t out[MF_QUIC_CLOSE_MAX];
	struct mf_span s, payload;
	int64_t number;
	int n;

	(void)state;
	for (int v = 0; v < 2; v++) {
		load(v ? "quic/rfc9369-a2.bin" : "quic/rfc9001-a2.bin", &b);
		s = mf_span_of(b.ptr, b.len);
		assert_int_equal(mf_quic_next_packet(&s, &p), 0);
		p.scid = mf_span_of("a client's id of twenty", 20);
		n = mf_quic_write_close(crypto, &p, p.dcid, MF_TLS_UNRECOGNIZED_NAME, reason, out);
		assert_in_range(n, 60, MF_QUIC_CLOSE_MAX);
		assert_int_equal(next(out, (size_t)n, &close), 0);
		assert_int_equal(close.type, MF_QUIC_INITIAL);
		assert_true(mf_span_eq(close.dcid, p.scid) && mf_span_eq(close.scid, p.dcid));
		assert_int_equal(mf_quic_derive_keys(p.version, p.dcid, true, &keys), 0);
		assert_int_equal(mf_quic_open(crypto, &keys, &close, -1, &payload, &number), 0);
		assert_memory_equal(payload.ptr,
				    "\x1c\x41\x70\0\x3c"
				    "a reason",
				    13);
		assert_int_equal(payload.len, 5 + 60);
	}
}

static int set_up(void **state)
{
	(void)state;
	crypto = mf_quic_crypto_new();
	return crypto ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	mf_quic_crypto_free(crypto);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_of_the_rfcs),
		cmocka_unit_test(test_packets_of_the_rfcs),
		cmocka_unit_test(test_datagrams_of_real_clients),
		cmocka_unit_test(test_a_changed_packet_is_nobodys),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_any_order_and_any_pieces),
		cmocka_unit_test(test_gaps_are_waited_for),
		cmocka_unit_test(test_other_frames),
		cmocka_unit_test(test_what_two_could_read_in_two_ways_is_refused),
		cmocka_unit_test(test_a_second_hello),
		cmocka_unit_test(test_both_versions_in_one_attempt),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_packet_numbers),
		cmocka_unit_test(test_close),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
