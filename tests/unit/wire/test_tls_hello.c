// SPDX-License-Identifier: Apache-2.0
// Reading and rewriting ClientHellos: recorded ones of real clients, cut in every way, and malformed ones.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/tls_hello.h"

static const char *const clients[] = {
	"openssl", "openssl-tls12", "openssl-nosni", "openssl-alpn", "openssl-psk", "openssl-early",
	"curl",	   "curl-http11",   "gnutls",	     "wget",	     "busybox",	    "python",
	"node",	   "git",	    "chromium",	     "firefox",	     "go",	    "java",
	"erlang",  "botan",	    "mbedtls",	     "wolfssl",
};

struct wire {
	uint8_t bytes[MF_TLS_WIRE_MAX];
	size_t len;
};

static struct mf_span span_of(const struct wire *w)
{
	return mf_span_of(w->bytes, w->len);
}

static void load(const char *client, const char *ext, struct wire *w)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), MF_TEST_DATA "/hello/%s.%s", client, ext);
	f = fopen(path, "rb");
	assert_non_null(f);
	w->len = fread(w->bytes, 1, sizeof(w->bytes) - 1, f);
	w->bytes[w->len] = 0;
	fclose(f);
}

// Exactly as large as the bytes, so that AddressSanitizer sees a read past their end.
static int scan_copy(struct mf_tls_scan *scan, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, bytes, len);
	r = mf_tls_scan_hello(scan, mf_span_of(copy, len));
	free(copy);
	return r;
}

static int read_all(const struct wire *w, uint8_t *buf, struct mf_tls_hello *h)
{
	struct mf_tls_scan scan = { 0 };
	int r = mf_tls_scan_hello(&scan, span_of(w));

	return r ? r : mf_tls_read_hello(&scan, span_of(w), buf, h);
}

// The text that record.py writes, from our reading.
static void describe(const struct mf_tls_hello *h, char *out, size_t size)
{
	char ja4[MF_TLS_JA4_LEN + 1], alpn[256] = "", versions[128] = "";

	for (unsigned i = 0; i < h->alpn_cnt; i++)
		snprintf(alpn + strlen(alpn), sizeof(alpn) - strlen(alpn), "%s%.*s", i ? "," : "",
			 (int)h->alpn[i].len, (const char *)h->alpn[i].ptr);
	for (unsigned i = 0; i < h->version_cnt; i++)
		snprintf(versions + strlen(versions), sizeof(versions) - strlen(versions), "%s%s",
			 i ? "," : "", mf_tls_version_name(h->versions[i]));
	mf_tls_format_ja4(h, false, ja4);
	snprintf(
		out, size,
		"sni=%.*s\nalpn=%s\nversions=%s\nech=%d\npsk=%d\nearly=%d\nextensions=%d\nja4=%s\n",
		(int)h->sni.len, (const char *)h->sni.ptr, alpn, versions, h->ech, h->has_psk,
		h->has_early_data, h->extension_cnt, ja4);
}

static void recorded_hellos_read_as_an_independent_reader_describes_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(clients); i++) {
		struct wire w, golden;
		uint8_t buf[MF_TLS_HELLO_MAX];
		struct mf_tls_hello h;
		char text[1024];

		load(clients[i], "bin", &w);
		load(clients[i], "txt", &golden);
		assert_int_equal(read_all(&w, buf, &h), 0);
		describe(&h, text, sizeof(text));
		assert_string_equal(text, (char *)golden.bytes);
	}
}

// A ClientHello that consists of nothing but what a fingerprint is made of.
struct parts {
	const char *sni, *alpn;
	uint16_t suites[32], extensions[32], sigalgs[16], versions[4]; // zeros end each list
};

static size_t put_u16s(uint8_t *p, const uint16_t *v)
{
	size_t n = 0;

	for (; v[n]; n++)
		mf_store_be16(p + 2 * n, v[n]);
	return 2 * n;
}

static size_t put_extension_body(uint8_t *p, uint16_t type, const struct parts *c)
{
	size_t n = 0;

	switch (type) {
	case 0xffff: // stands for server_name, whose type would end the list
		n = strlen(c->sni);
		mf_store_be16(p, (uint16_t)(n + 3));
		p[2] = 0;
		mf_store_be16(p + 3, (uint16_t)n);
		memcpy(p + 5, c->sni, n);
		return n + 5;
	case 13:
		n = put_u16s(p + 2, c->sigalgs);
		mf_store_be16(p, (uint16_t)n);
		return n + 2;
	case 16:
		n = strlen(c->alpn);
		mf_store_be16(p, (uint16_t)(n + 1));
		p[2] = (uint8_t)n;
		memcpy(p + 3, c->alpn, n);
		return n + 3;
	case 43:
		n = put_u16s(p + 1, c->versions);
		p[0] = (uint8_t)n;
		return n + 1;
	case 0xfe0d:
		memcpy(p, "\0\0\1\0\1\7\0\1k\0\1p", 12);
		return 12;
	default:
		return 0;
	}
}

static void build_parts(const struct parts *c, struct wire *w)
{
	uint8_t *p = w->bytes, *at = p + 44;
	size_t n = put_u16s(at + 2, c->suites), exts;

	memcpy(p, "\x16\x03\x01", 3);
	p[5] = 1;
	memcpy(p + 9, "\x03\x03", 2);
	memset(p + 11, 7, 32);
	p[43] = 0;
	mf_store_be16(at, (uint16_t)n);
	at += 2 + n;
	*at++ = 1;
	*at++ = 0;
	exts = (size_t)(at - p);
	at += 2;
	for (size_t i = 0; c->extensions[i]; i++) {
		uint16_t type = c->extensions[i];

		n = put_extension_body(at + 4, type, c);
		mf_store_be16(at, type == 0xffff ? 0 : type);
		mf_store_be16(at + 2, (uint16_t)n);
		at += 4 + n;
	}
	w->len = (size_t)(at - p);
	mf_store_be16(p + 3, (uint16_t)(w->len - 5));
	mf_store_be24(p + 6, (uint32_t)(w->len - 9));
	mf_store_be16(p + exts, (uint16_t)(w->len - exts - 2));
}

// Fingerprints that others have published, with the lists (in wire order, GREASE put back) that they are of.
static void fingerprints_are_those_that_others_published(void **state)
{
	static const struct {
		const char *ja4;
		struct parts parts;
	} cases[] = {
		{ "t13d1516h2_8daaf6152771_e5627efa2ab1", // Chrome, in the description of JA4
		  { "a.example",
		    "h2",
		    { 0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9,
		      0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035 },
		    { 0xfafa, 0xffff, 0x0017, 0xff01, 0x000a, 0x000b, 0x0023, 0x0010, 0x0005,
		      0x000d, 0x0012, 0x0033, 0x002d, 0x002b, 0x001b, 0x4469, 0x0a0a, 0x0015 },
		    { 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601 },
		    { 0x3a3a, 0x0304, 0x0303 } } },
		{ "t13d1517h2_8daaf6152771_cb7bf5808d99", // a later Chrome, which greases its algorithms
		  { "optimizationguide-pa.googleapis.com",
		    "h2",
		    { 0x8a8a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9,
		      0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035 },
		    { 0x2a2a, 0xfe0d, 0x0010, 0x0017, 0x0033, 0x44cd, 0xff01, 0x000a, 0x000d,
		      0x0023, 0x002b, 0x000b, 0xca34, 0x002d, 0xffff, 0x0005, 0x001b, 0x0012,
		      0xcaca },
		    { 0x7a7a, 0x0904, 0x0905, 0x0906, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805,
		      0x0501, 0x0806, 0x0601 },
		    { 0x0304, 0x0303 } } },
		{ "t13d1715h2_5b57614c22b0_3d5424432f57", // Firefox
		  { "contile.services.mozilla.com",
		    "h2",
		    { 0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030,
		      0xc00a, 0xc009, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035 },
		    { 0xffff, 0x0017, 0xff01, 0x000a, 0x000b, 0x0023, 0x0010, 0x0005, 0x0022,
		      0x0033, 0x002b, 0x000d, 0x002d, 0x001c, 0x0015 },
		    { 0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601,
		      0x0203, 0x0201 },
		    { 0x0304, 0x0303 } } },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct wire w;
		uint8_t buf[MF_TLS_HELLO_MAX];
		struct mf_tls_hello h;
		char ja4[MF_TLS_JA4_LEN + 1];

		build_parts(&cases[i].parts, &w);
		assert_int_equal(read_all(&w, buf, &h), 0);
		mf_tls_format_ja4(&h, false, ja4);
		assert_string_equal(ja4, cases[i].ja4);
		mf_tls_format_ja4(&h, true, ja4);
		assert_int_equal(ja4[0], 'q');
	}
}

static void every_prefix_asks_for_more_and_a_scan_goes_on_where_it_stopped(void **state)
{
	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(clients); i++) {
		struct mf_tls_scan grown = { 0 };
		struct wire w;

		load(clients[i], "bin", &w);
		for (size_t n = 0; n < w.len; n++) {
			struct mf_tls_scan fresh = { 0 };

			assert_int_equal(scan_copy(&fresh, w.bytes, n), MF_E_AGAIN);
			assert_int_equal(scan_copy(&grown, w.bytes, n), MF_E_AGAIN);
		}
		assert_int_equal(scan_copy(&grown, w.bytes, w.len), 0);
		assert_int_equal(grown.wire_len, w.len);
	}
}

// The same handshake bytes in records of @size.
static void fragment(const struct wire *in, size_t size, struct wire *out)
{
	const uint8_t *msg = in->bytes + 5;
	size_t len = in->len - 5;

	out->len = 0;
	for (size_t off = 0; off < len; off += size) {
		size_t n = len - off < size ? len - off : size;

		memcpy(out->bytes + out->len, in->bytes, 3);
		mf_store_be16(out->bytes + out->len + 3, (uint16_t)n);
		memcpy(out->bytes + out->len + 5, msg + off, n);
		out->len += 5 + n;
	}
}

static void fragmentation_into_records_changes_nothing(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 4, 5, 7, 64, 200, 511 };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(clients); i++) {
		for (size_t k = 0; k < MF_ARRAY_SIZE(sizes); k++) {
			struct mf_tls_scan scan = { 0 };
			struct wire w, cut, golden;
			uint8_t buf[MF_TLS_HELLO_MAX];
			struct mf_tls_hello h;
			char text[1024];

			load(clients[i], "bin", &w);
			load(clients[i], "txt", &golden);
			fragment(&w, sizes[k], &cut);
			for (size_t n = 0; n < cut.len; n += 3)
				assert_int_equal(scan_copy(&scan, cut.bytes, n), MF_E_AGAIN);
			assert_int_equal(scan_copy(&scan, cut.bytes, cut.len), 0);
			assert_int_equal(mf_tls_read_hello(&scan, span_of(&cut), buf, &h), 0);
			describe(&h, text, sizeof(text));
			assert_string_equal(text, (char *)golden.bytes);
		}
	}
}

static void bytes_behind_the_hello_are_left_alone(void **state)
{
	struct mf_tls_scan scan = { 0 };
	struct wire w;

	(void)state;
	load("curl", "bin", &w);
	memcpy(w.bytes + w.len, "\x14\x03\x03\x00\x01\x01", 6);
	assert_int_equal(mf_tls_scan_hello(&scan, mf_span_of(w.bytes, w.len + 6)), 0);
	assert_int_equal(scan.wire_len, w.len);
}

// Two hellos say the same but for the name.
static void assert_same_but_name(const struct mf_tls_hello *a, const struct mf_tls_hello *b)
{
	const uint8_t *pa = a->message.ptr, *pb = b->message.ptr;
	size_t head = a->extensions_at, rest_a, rest_b;

	// everything before the extensions, but for the length of the message
	assert_memory_equal(pa, pb, 1);
	assert_memory_equal(pa + 4, pb + 4, head - 4);
	if (a->sni_at) {
		assert_int_equal(a->sni_at, b->sni_at);
		assert_memory_equal(pa + head + 2, pb + head + 2, a->sni_at - head - 2);
		rest_a = a->sni_at + a->sni_len;
	} else {
		rest_a = head + 2;
	}
	rest_b = b->sni_at + b->sni_len;
	assert_int_equal(a->message.len - rest_a, b->message.len - rest_b);
	assert_memory_equal(pa + rest_a, pb + rest_b, a->message.len - rest_a);
}

static void a_rewritten_hello_has_the_new_name_and_all_else_as_before(void **state)
{
	char longest[256];
	const char *names[] = { "a", "llm.corp", "api.vendor.exampl2",
				"much.longer.name.than.before.example", longest };
	static const size_t sizes[] = { 0, 1, 100 };

	(void)state;
	memset(longest, 'x', 255);
	longest[255] = 0;
	for (size_t i = 0; i < MF_ARRAY_SIZE(clients); i++) {
		for (size_t k = 0; k < MF_ARRAY_SIZE(names) * MF_ARRAY_SIZE(sizes); k++) {
			struct mf_span name = mf_span_str(names[k / MF_ARRAY_SIZE(sizes)]);
			size_t size = sizes[k % MF_ARRAY_SIZE(sizes)];
			struct wire w, cut, out;
			uint8_t buf[MF_TLS_HELLO_MAX], buf2[MF_TLS_HELLO_MAX];
			struct mf_tls_hello h, h2;
			size_t record;
			int n;

			load(clients[i], "bin", &w);
			if (size)
				fragment(&w, size, &cut);
			else
				cut = w;
			assert_int_equal(read_all(&cut, buf, &h), 0);
			n = mf_tls_rewrite_sni(&h, span_of(&cut), name, out.bytes,
					       sizeof(out.bytes));
			if (h.has_psk) {
				assert_int_equal(n, MF_E_UNSUPPORTED);
				continue;
			}
			assert_true(n > 0);
			out.len = (size_t)n;
			assert_int_equal(read_all(&out, buf2, &h2), 0);
			assert_true(mf_span_eq(h2.sni, name));
			assert_same_but_name(&h, &h2);
			// what was whole stays whole, what was cut is cut alike
			record = size && size < h.message.len ? size : out.len - 5;
			assert_int_equal(mf_load_be16(out.bytes + 3),
					 record < out.len - 5 ? record : out.len - 5);
		}
	}
}

static void a_hello_that_would_not_fit_any_more_is_not_rewritten(void **state)
{
	struct wire w;
	uint8_t buf[MF_TLS_HELLO_MAX], out[600];
	struct mf_tls_hello h;

	(void)state;
	load("curl", "bin", &w);
	assert_int_equal(read_all(&w, buf, &h), 0);
	assert_int_equal(mf_tls_rewrite_sni(&h, span_of(&w), mf_span_str("llm.corp"), out, 100),
			 MF_E_LIMIT);
	assert_int_equal(mf_tls_rewrite_sni(&h, span_of(&w), mf_span_str(""), out, 600),
			 MF_E_INVAL);
	assert_int_equal(mf_tls_rewrite_sni(&h, span_of(&w), mf_span_of("a\0b", 3), out, 600),
			 MF_E_INVAL);
}

// A hello made by hand: fixed parts and the given extensions.
static void build(const uint8_t *exts, size_t len, struct wire *w)
{
	static const uint8_t suites[] = { 0, 2, 0x13, 0x01, 1, 0 };
	uint8_t *p = w->bytes;
	size_t body = 2 + 32 + 1 + sizeof(suites) + 2 + len;

	memcpy(p, "\x16\x03\x01", 3);
	mf_store_be16(p + 3, (uint16_t)(body + 4));
	p[5] = 1;
	mf_store_be24(p + 6, (uint32_t)body);
	memcpy(p + 9, "\x03\x03", 2);
	memset(p + 11, 7, 32);
	p[43] = 0;
	memcpy(p + 44, suites, sizeof(suites));
	mf_store_be16(p + 50, (uint16_t)len);
	memcpy(p + 52, exts, len);
	w->len = 52 + len;
}

static int read_exts(const char *exts, size_t len)
{
	uint8_t buf[MF_TLS_HELLO_MAX];
	struct mf_tls_hello h;
	struct wire w;

	build((const uint8_t *)exts, len, &w);
	return read_all(&w, buf, &h);
}

#define SNI_A "\0\0\0\6\0\4\0\0\1a"

static void malformed_extensions_are_bad(void **state)
{
	static const struct {
		const char *what, *bytes;
		size_t len;
	} cases[] = {
#define CASE(what, bytes) { what, bytes, sizeof(bytes) - 1 }
		CASE("server_name twice", SNI_A SNI_A),
		CASE("another extension twice", "\0\x17\0\0\0\x17\0\0"),
		CASE("two names in one list", "\0\0\0\xa\0\x8\0\0\1a\0\0\1b"),
		CASE("list shorter than its extension", "\0\0\0\7\0\4\0\0\1ax"),
		CASE("list longer than its extension", "\0\0\0\6\0\5\0\0\1a"),
		CASE("name longer than its list", "\0\0\0\6\0\4\0\0\2a"),
		CASE("empty name", "\0\0\0\5\0\3\0\0\0"),
		CASE("empty extension", "\0\0\0\0"),
		CASE("a type of name that does not exist", "\0\0\0\6\0\4\1\0\1a"),
		CASE("NUL in the name", "\0\0\0\x8\0\6\0\0\3a\0b"),
		CASE("extension past the end", "\0\x17\0\5ab"),
		CASE("half an extension header", "\0\x17\0"),
		CASE("ALPN with an empty name", "\0\x10\0\3\0\1\0"),
		CASE("ALPN name past its list", "\0\x10\0\4\0\2\5a"),
		CASE("versions of odd length", "\0\x2b\0\4\3\3\4\3"),
		CASE("anything behind a pre_shared_key", "\0\x29\0\0\0\x17\0\0"),
		CASE("an inner ECH in the clear", "\xfe\x0d\0\1\1"),
#undef CASE
	};

	(void)state;
	assert_int_equal(read_exts(SNI_A, sizeof(SNI_A) - 1), 0);
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++)
		if (read_exts(cases[i].bytes, cases[i].len) != MF_E_BAD)
			fail_msg("not found: %s", cases[i].what);
}

static void lengths_that_disagree_are_bad(void **state)
{
	struct wire good, w;
	uint8_t buf[MF_TLS_HELLO_MAX];
	struct mf_tls_hello h;

	(void)state;
	build((const uint8_t *)SNI_A, sizeof(SNI_A) - 1, &good);
	assert_int_equal(read_all(&good, buf, &h), 0);
	w = good;
	w.bytes[8]--; // handshake shorter than its record
	assert_int_equal(read_all(&w, buf, &h), MF_E_BAD);
	w = good;
	w.bytes[51]--; // extensions shorter than the rest
	assert_int_equal(read_all(&w, buf, &h), MF_E_BAD);
	w = good;
	w.bytes[45] = 3; // odd list of ciphers
	assert_int_equal(read_all(&w, buf, &h), MF_E_BAD);
	w = good;
	w.bytes[43] = 33; // session id too long
	assert_int_equal(read_all(&w, buf, &h), MF_E_BAD);
	w = good;
	w.bytes[5] = 2; // a ServerHello
	assert_int_equal(read_all(&w, buf, &h), MF_E_BAD);
	w = good;
	mf_store_be16(w.bytes + 3, 0); // an empty record
	assert_int_equal(read_all(&w, buf, &h), MF_E_BAD);
	w = good;
	mf_store_be24(w.bytes + 6, MF_TLS_HELLO_MAX); // over the limit
	assert_int_equal(read_all(&w, buf, &h), MF_E_BAD);
}

static void another_record_inside_a_hello_is_bad(void **state)
{
	struct wire w, cut;
	struct mf_tls_scan scan = { 0 };

	(void)state;
	load("openssl", "bin", &w);
	fragment(&w, 50, &cut);
	cut.bytes[55] = 21; // an alert between two pieces
	assert_int_equal(mf_tls_scan_hello(&scan, span_of(&cut)), MF_E_BAD);
}

static void other_protocols_are_told_from_their_first_bytes(void **state)
{
	static const char *const others[] = { "GET / HTTP/1.1\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
					      "EHLO there\r\n",	    "\x16\x01",
					      "\x17\x03\x03",	    "\xff\xfd\x18",
					      "\x80\x10\x02" };
	struct mf_tls_scan scan;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(others); i++) {
		scan = (struct mf_tls_scan){ 0 };
		assert_int_equal(mf_tls_scan_hello(&scan, mf_span_str(others[i])), MF_E_NOT_MINE);
	}
	scan = (struct mf_tls_scan){ 0 };
	assert_int_equal(mf_tls_scan_hello(&scan, mf_span_of("", 0)), MF_E_AGAIN);
}

static void a_hello_of_sslv2_form_is_known_and_has_no_name(void **state)
{
	uint8_t w[2 + 9 + 3 + 16] = { 0x80, 9 + 3 + 16, 1, 3, 1, 0, 3, 0, 0, 0, 16, 1, 0, 0x80 };
	struct mf_tls_scan scan = { 0 };
	struct mf_tls_hello h;
	uint8_t buf[16], out[64];

	(void)state;
	for (size_t n = 0; n < sizeof(w); n++)
		assert_int_equal(mf_tls_scan_hello(&scan, mf_span_of(w, n)), MF_E_AGAIN);
	assert_int_equal(mf_tls_scan_hello(&scan, mf_span_of(w, sizeof(w))), 0);
	assert_int_equal(mf_tls_read_hello(&scan, mf_span_of(w, sizeof(w)), buf, &h), 0);
	assert_true(h.sslv2);
	assert_false(h.has_sni);
	assert_int_equal(h.versions[0], 0x0301);
	assert_int_equal(
		mf_tls_rewrite_sni(&h, mf_span_of(w, sizeof(w)), mf_span_str("a"), out, 64),
		MF_E_UNSUPPORTED);
}

static void an_ech_extension_is_seen(void **state)
{
	// outer, suite, config id, 4 bytes of key, 6 of payload
	static const char ech[] = "\xfe\x0d\0\x14\0\0\1\0\1\7\0\4keys\0\6hidden";
	uint8_t buf[MF_TLS_HELLO_MAX];
	struct mf_tls_hello h;
	struct wire w;

	(void)state;
	build((const uint8_t *)ech, sizeof(ech) - 1, &w);
	assert_int_equal(read_all(&w, buf, &h), 0);
	assert_true(h.ech);
}

static void a_hello_of_endless_small_records_ends_at_the_limit(void **state)
{
	static uint8_t w[MF_TLS_WIRE_MAX + 64];
	struct mf_tls_scan scan = { 0 };
	size_t len = 0;
	int r = MF_E_AGAIN;

	(void)state;
	// the largest allowed message, a byte a record: over the limit of the wire before it is complete
	for (size_t i = 0; i < MF_TLS_HELLO_MAX && len + 6 <= sizeof(w) && r == MF_E_AGAIN; i++) {
		static const uint8_t head[4] = { 1, 0, 0x3f, 0xfc };

		memcpy(w + len, "\x16\x03\x01\0\1", 5);
		w[len + 5] = i < 4 ? head[i] : 0;
		len += 6;
		r = mf_tls_scan_hello(&scan, mf_span_of(w, len));
	}
	assert_int_equal(r, MF_E_BAD);
	assert_true(len <= MF_TLS_WIRE_MAX + 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_hellos_read_as_an_independent_reader_describes_them),
		cmocka_unit_test(fingerprints_are_those_that_others_published),
		cmocka_unit_test(every_prefix_asks_for_more_and_a_scan_goes_on_where_it_stopped),
		cmocka_unit_test(fragmentation_into_records_changes_nothing),
		cmocka_unit_test(bytes_behind_the_hello_are_left_alone),
		cmocka_unit_test(a_rewritten_hello_has_the_new_name_and_all_else_as_before),
		cmocka_unit_test(a_hello_that_would_not_fit_any_more_is_not_rewritten),
		cmocka_unit_test(malformed_extensions_are_bad),
		cmocka_unit_test(lengths_that_disagree_are_bad),
		cmocka_unit_test(another_record_inside_a_hello_is_bad),
		cmocka_unit_test(other_protocols_are_told_from_their_first_bytes),
		cmocka_unit_test(a_hello_of_sslv2_form_is_known_and_has_no_name),
		cmocka_unit_test(an_ech_extension_is_seen),
		cmocka_unit_test(a_hello_of_endless_small_records_ends_at_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
