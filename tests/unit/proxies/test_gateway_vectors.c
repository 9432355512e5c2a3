/* SPDX-License-Identifier: Apache-2.0 */
/* test_gateway_vectors.c - the gateway's codecs against the vectors of tests/data/gateway, every one of them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include <jansson.h>
#include <moonfence/moonfence.h>
#include <openssl/evp.h>

#include "core/base/err.h"
#include "proxies/gateway/host.h"
#include "proxies/gateway/jwt_keys.h"
#include "proxies/gateway/mux.h"
#include "proxies/gateway/origin.h"
#include "proxies/gateway/token.h"
#include "proxies/gateway/udp_frame.h"

static json_t *load(const char *name)
{
	char path[512];
	json_error_t err;
	json_t *json;

	snprintf(path, sizeof(path), "%s/gateway/%s", MF_TEST_DATA, name);
	json = json_load_file(path, 0, &err);
	assert_non_null(json);
	return json;
}

static const char *text_of(const json_t *v, const char *key)
{
	return json_string_value(json_object_get(v, key));
}

static int64_t int_of(const json_t *v, const char *key)
{
	return json_integer_value(json_object_get(v, key));
}

static bool is_error(const json_t *v)
{
	return json_is_true(json_object_get(v, "expectError"));
}

static struct mf_span span_of(const json_t *text)
{
	return mf_span_of(json_string_value(text), json_string_length(text));
}

/* Base64 with padding, into memory of exactly that size, so that a reader that goes too far is caught. */
static struct mf_span bytes_of(const json_t *v, uint8_t **ret)
{
	struct mf_span text = span_of(v);
	uint8_t *buf = malloc(text.len + 3);
	int len;

	assert_non_null(buf);
	len = EVP_DecodeBlock(buf, text.ptr, (int)text.len);
	assert_true(len >= 0);
	while (len && text.len && text.ptr[text.len - 1] == '=') {
		text.len--;
		len--;
	}
	*ret = malloc(len ? (size_t)len : 1);
	assert_non_null(*ret);
	memcpy(*ret, buf, (size_t)len);
	free(buf);
	return mf_span_of(*ret, (size_t)len);
}

static void tell(const json_t *v)
{
	if (text_of(v, "name"))
		print_message("  %s\n", text_of(v, "name"));
}

/* --- origins -------------------------------------------------------------------------------------------------------------- */

static void origins_normalize_as_the_vectors_say(void **state)
{
	json_t *file = load("origin.json"), *more = load("origin-allowlist-test-vectors.json"), *v;
	char buf[MF_ORIGIN_ROOM];
	size_t i, cnt = 0;

	(void)state;
	json_array_foreach(json_object_get(file, "normalize"), i, v)
	{
		int r = mf_origin_normalize(span_of(json_object_get(v, "rawOriginHeader")), buf);

		tell(v);
		assert_true(is_error(v) == (r < 0));
		if (r >= 0)
			assert_string_equal(buf, text_of(v, "normalizedOrigin"));
		cnt++;
	}
	json_array_foreach(more, i, v)
	{
		const char *want = text_of(v, "normalized");
		int r = mf_origin_normalize(span_of(json_object_get(v, "raw")), buf);

		print_message("  %s\n", text_of(v, "raw"));
		assert_true((want == NULL) == (r < 0));
		if (want)
			assert_string_equal(buf, want);
		cnt++;
	}
	assert_int_equal(cnt, 58 + 63);
	json_decref(file);
	json_decref(more);
}

static void origins_are_allowed_as_the_vectors_say(void **state)
{
	json_t *file = load("origin.json"), *v, *entry;
	static char list[16][MF_ORIGIN_ROOM];
	const char *allowed[16];
	char buf[MF_ORIGIN_ROOM];
	size_t i, k, seen = 0;

	(void)state;
	json_array_foreach(json_object_get(file, "allow"), i, v)
	{
		bool ok = mf_origin_normalize(span_of(json_object_get(v, "rawOriginHeader")),
					      buf) >= 0;
		size_t cnt = 0;

		tell(v);
		json_array_foreach(json_object_get(v, "allowedOrigins"), k, entry)
		{
			const char *text = json_string_value(entry);

			assert_true(cnt < 16);
			if (strcmp(text, "*") == 0)
				strcpy(list[cnt], "*");
			else
				assert_true(mf_origin_normalize(mf_span_str(text), list[cnt]) > 0);
			allowed[cnt] = list[cnt];
			cnt++;
		}
		ok = ok && mf_origin_is_allowed(buf, allowed, cnt,
						span_of(json_object_get(v, "requestHost")));
		assert_true(ok == json_is_true(json_object_get(v, "expectAllowed")));
		seen++;
	}
	assert_int_equal(seen, 30);
	json_decref(file);
}

/* --- tokens --------------------------------------------------------------------------------------------------------------- */

static void session_tokens_are_what_the_vectors_say(void **state)
{
	json_t *file = load("auth-tokens.json"), *v;
	size_t i, seen = 0;

	(void)state;
	json_array_foreach(json_object_get(json_object_get(file, "sessionTokens"), "vectors"), i, v)
	{
		const char *secret = text_of(v, "secret");
		struct mf_token t;
		int r = mf_token_read(span_of(json_object_get(v, "token")),
				      mf_span_str(secret ? secret : "test-session-secret"),
				      int_of(v, "nowMs"), &t);

		tell(v);
		assert_true(is_error(v) == (r < 0));
		if (r == 0) {
			assert_string_equal(t.sid, text_of(v, "sid"));
			assert_true(t.exp_s == json_number_value(json_object_get(v, "exp")));
		}
		seen++;
	}
	assert_int_equal(seen, 25);
	json_decref(file);
}

static void a_minted_token_is_the_reference_s_and_reads_back(void **state)
{
	struct mf_span secret = mf_span_str("test-session-secret");
	char text[MF_TOKEN_MINT_ROOM];
	struct mf_token t;
	int len = mf_token_mint("sid-1234567890", 1700000060, secret, text);

	(void)state;
	assert_string_equal(text, "eyJ2IjoxLCJzaWQiOiJzaWQtMTIzNDU2Nzg5MCIsImV4cCI6MTcwMDAwMDA2MH0."
				  "zcesNltUxXmW1SpDGWoATMZj1GLX1LMz0TIdVRzO8l8");
	assert_int_equal(len, (int)strlen(text));
	len = mf_token_mint("\"\\\xc3\xbc\n", 99, secret, text);
	assert_true(len > 0);
	assert_int_equal(mf_token_read(mf_span_str(text), secret, 98999, &t), 0);
	assert_string_equal(t.sid, "\"\\\xc3\xbc\n");
	assert_int_equal(mf_token_read(mf_span_str(text), secret, 99000, &t), MF_E_BAD);
	assert_int_equal(mf_token_mint("\xff", 99, secret, text), MF_E_BAD);
}

static void a_token_with_any_byte_changed_is_none(void **state)
{
	struct mf_span secret = mf_span_str("s");
	char text[MF_TOKEN_MINT_ROOM];
	struct mf_token t;
	int len = mf_token_mint("abc", 4000000000, secret, text);

	(void)state;
	assert_int_equal(mf_token_read(mf_span_of(text, (size_t)len), secret, 0, &t), 0);
	for (int i = 0; i < len; i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(mf_token_read(mf_span_of(text, (size_t)len), secret, 0, &t),
				 MF_E_BAD);
		assert_int_equal(mf_token_read(mf_span_of(text, (size_t)i), secret, 0, &t),
				 MF_E_BAD);
		text[i] = was;
	}
}

static void jwts_are_what_the_vectors_say(void **state)
{
	json_t *file = load("auth-tokens.json"), *v;
	static struct mf_jwt t;
	size_t i, seen = 0;

	(void)state;
	json_array_foreach(json_object_get(json_object_get(file, "jwtTokens"), "vectors"), i, v)
	{
		const char *secret = text_of(v, "secret");
		struct mf_jwt_keys *keys = mf_jwt_keys_new();
		int r = mf_jwt_keys_add_secret(keys,
					       mf_span_str(secret ? secret : "test-jwt-secret"));

		tell(v);
		assert_int_equal(r, 0);
		r = mf_jwt_read(span_of(json_object_get(v, "token")), keys, int_of(v, "nowSec"),
				&t);
		mf_jwt_keys_free(keys);
		assert_true(is_error(v) == (r < 0));
		if (r == 0) {
			assert_string_equal(t.sid, text_of(v, "sid"));
			assert_true(t.exp_s == int_of(v, "exp") && t.iat_s == int_of(v, "iat"));
			assert_true(t.has_origin == (text_of(v, "origin") != NULL));
			assert_string_equal(t.origin, t.has_origin ? text_of(v, "origin") : "");
			assert_string_equal(t.aud, t.has_aud ? text_of(v, "aud") : "");
			assert_string_equal(t.iss, t.has_iss ? text_of(v, "iss") : "");
		}
		seen++;
	}
	assert_int_equal(seen, 44);
	json_decref(file);
}

/* --- mux ------------------------------------------------------------------------------------------------------------------ */

/* Read @wire in pieces of @step and compare with @want, an array of frames; DATA's pieces are put together. */
static void check_stream(struct mf_span wire, size_t step, const json_t *want)
{
	struct mf_mux_reader r = { 0 };
	struct mf_mux_frame f;
	uint8_t data[256], *bytes;
	size_t data_len = 0, cnt = 0;

	for (size_t at = 0; at < wire.len; at += step) {
		uint8_t *copy = malloc(step);
		struct mf_span in = mf_span_sub(wire, at, step), payload;

		assert_non_null(copy);
		memcpy(copy, in.ptr, in.len);
		in.ptr = copy;
		while (mf_mux_read(&r, &in, &f) == 1) {
			const json_t *v = json_array_get(want, cnt);
			struct mf_span got = f.payload;

			assert_non_null(v);
			assert_int_equal(f.type, int_of(v, "msgType"));
			assert_int_equal(f.stream, int_of(v, "streamId"));
			if (f.type == MF_MUX_DATA) {
				assert_true(f.begins == (data_len == 0));
				memcpy(data + data_len, got.ptr, got.len);
				data_len += got.len;
				if (!f.ends)
					continue;
				got = mf_span_of(data, data_len);
				data_len = 0;
			}
			payload = bytes_of(json_object_get(v, "payload_b64"), &bytes);
			assert_true(mf_span_eq(got, payload));
			free(bytes);
			cnt++;
		}
		assert_int_equal(in.len, 0);
		free(copy);
	}
	assert_int_equal(cnt, json_array_size(want));
	assert_true(mf_mux_reader_is_idle(&r));
	mf_mux_reader_done(&r);
}

static void mux_frames_are_what_the_vectors_say(void **state)
{
	json_t *file = load("tcp-mux-v1.json"), *v, *one;
	uint8_t head[MF_MUX_HEAD], *bytes, *body;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(file, "frames"), i, v)
	{
		struct mf_span wire = bytes_of(json_object_get(v, "frame_b64"), &bytes);
		struct mf_span payload = bytes_of(json_object_get(v, "payload_b64"), &body);

		tell(v);
		mf_mux_head_write((uint8_t)int_of(v, "msgType"), (uint32_t)int_of(v, "streamId"),
				  (uint32_t)payload.len, head);
		assert_memory_equal(head, wire.ptr, MF_MUX_HEAD);
		one = json_pack("[O]", v);
		for (size_t step = 1; step <= wire.len; step++)
			check_stream(wire, step, one);
		json_decref(one);
		free(bytes);
		free(body);
	}
	assert_int_equal(i, 6);
	json_decref(file);
}

static void mux_streams_are_what_the_vectors_say(void **state)
{
	json_t *file = load("tcp-mux-v1.json"), *v, *chunk;
	size_t i, k;

	(void)state;
	json_array_foreach(json_object_get(file, "parserStreams"), i, v)
	{
		uint8_t wire[512], *bytes;
		struct mf_mux_reader r = { 0 };
		struct mf_mux_frame f;
		struct mf_span in;
		size_t len = 0;

		tell(v);
		json_array_foreach(json_object_get(v, "chunks_b64"), k, chunk)
		{
			in = bytes_of(chunk, &bytes);
			memcpy(wire + len, in.ptr, in.len);
			len += in.len;
			free(bytes);
		}
		if (is_error(v)) {
			in = mf_span_of(wire, len);
			while (mf_mux_read(&r, &in, &f) == 1)
				assert_false(f.ends);
			assert_false(mf_mux_reader_is_idle(&r));
			mf_mux_reader_done(&r);
			continue;
		}
		for (size_t step = 1; step <= len; step++)
			check_stream(mf_span_of(wire, len), step,
				     json_object_get(v, "expectFrames"));
	}
	assert_int_equal(i, 3);
	json_decref(file);
}

static void mux_payloads_are_what_the_vectors_say(void **state)
{
	json_t *file = load("tcp-mux-v1.json"), *v;
	uint8_t out[MF_MUX_HEAD + 4 + MF_MUX_TEXT_MAX], *bytes;
	struct mf_mux_open open;
	struct mf_span p, text;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(file, "openPayloads"), i, v)
	{
		p = bytes_of(json_object_get(v, "payload_b64"), &bytes);
		assert_int_equal(mf_mux_open_read(p, &open), 0);
		assert_true(mf_span_eq(open.host, mf_span_str(text_of(v, "host"))));
		assert_int_equal(open.port, int_of(v, "port"));
		for (size_t len = 0; len < p.len; len++)
			assert_int_equal(mf_mux_open_read(mf_span_of(p.ptr, len), &open), MF_E_BAD);
		free(bytes);
	}
	json_array_foreach(json_object_get(file, "closePayloads"), i, v)
	{
		p = bytes_of(json_object_get(v, "payload_b64"), &bytes);
		assert_int_equal(mf_mux_close_read(p), int_of(v, "flags"));
		assert_int_equal(mf_mux_close_read(mf_span_of(p.ptr, 0)), MF_E_BAD);
		free(bytes);
	}
	json_array_foreach(json_object_get(file, "errorPayloads"), i, v)
	{
		p = bytes_of(json_object_get(v, "payload_b64"), &bytes);
		if (is_error(v)) {
			assert_int_equal(mf_mux_error_read(p, &text), MF_E_BAD);
		} else {
			assert_int_equal(mf_mux_error_read(p, &text), int_of(v, "code"));
			assert_true(mf_span_eq(text, mf_span_str(text_of(v, "message"))));
			assert_int_equal(mf_mux_error_write(7, (enum mf_mux_error)int_of(v, "code"),
							    text_of(v, "message"), out),
					 MF_MUX_HEAD + p.len);
			assert_memory_equal(out + MF_MUX_HEAD, p.ptr, p.len);
		}
		free(bytes);
	}
	json_decref(file);
}

static void mux_bounds(void **state)
{
	struct mf_mux_reader r = { 0 };
	struct mf_mux_frame f;
	uint8_t wire[MF_MUX_HEAD], out[MF_MUX_HEAD + 4 + MF_MUX_TEXT_MAX];
	char text[MF_MUX_TEXT_MAX + 8];
	static const uint8_t zeros[8192];
	struct mf_span in, said;

	(void)state;
	mf_mux_head_write(MF_MUX_DATA, 1, MF_MUX_FRAME_MAX, wire);
	in = mf_span_of(wire, sizeof(wire));
	assert_int_equal(mf_mux_read(&r, &in, &f), 0);
	mf_mux_reader_done(&r);
	mf_mux_head_write(MF_MUX_DATA, 1, MF_MUX_FRAME_MAX + 1, wire);
	in = mf_span_of(wire, sizeof(wire));
	assert_int_equal(mf_mux_read(&r, &in, &f), MF_E_BAD);
	mf_mux_reader_done(&r);
	/* what is too long to be kept is passed over, and told */
	mf_mux_head_write(MF_MUX_OPEN, 5, MF_MUX_KEPT_MAX + 1, wire);
	in = mf_span_of(wire, sizeof(wire));
	assert_int_equal(mf_mux_read(&r, &in, &f), 0);
	in = mf_span_of(zeros, MF_MUX_KEPT_MAX + 2);
	assert_int_equal(mf_mux_read(&r, &in, &f), 1);
	assert_true(f.too_long && f.type == MF_MUX_OPEN && f.stream == 5 && f.payload.len == 0);
	assert_int_equal(in.len, 1);
	mf_mux_reader_done(&r);
	/* a text is cut at a character: two bytes each */
	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xbc", 2);
	text[0] = 'x';
	memmove(text + 1, text + 2, sizeof(text) - 3);
	text[sizeof(text) - 2] = '\0';
	in = mf_span_of(out, mf_mux_error_write(1, MF_MUX_DIAL_FAILED, text, out));
	assert_int_equal(mf_mux_error_read(mf_span_sub(in, MF_MUX_HEAD, in.len), &said),
			 MF_MUX_DIAL_FAILED);
	assert_int_equal(said.len, MF_MUX_TEXT_MAX - 1);
}

/* --- UDP ------------------------------------------------------------------------------------------------------------------ */

static void udp_frames_are_what_the_vectors_say(void **state)
{
	json_t *file = load("udp-relay.json"), *v;
	uint8_t head[MF_UDP_FRAME_HEAD_MAX], *bytes, *body;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(file, "vectors"), i, v)
	{
		struct mf_span wire = bytes_of(json_object_get(v, "frame_b64"), &bytes), payload;
		char text[MF_ADDR_TEXT_MAX];
		struct mf_udp_frame f;
		int r = mf_udp_frame_read(wire, MF_UDP_PAYLOAD_MAX, &f);

		tell(v);
		assert_true(is_error(v) == (r < 0));
		if (r == 0) {
			payload = bytes_of(json_object_get(v, "payload_b64"), &body);
			assert_int_equal(f.version, int_of(v, "version"));
			assert_int_equal(f.guest_port, int_of(v, "guestPort"));
			assert_int_equal(f.remote.port, int_of(v, "remotePort"));
			assert_string_equal(mf_addr_format(&f.remote.addr, text, sizeof(text)),
					    text_of(v, "remoteIp"));
			assert_true(mf_span_eq(f.payload, payload));
			assert_int_equal(mf_udp_frame_head(&f, head), wire.len - payload.len);
			assert_memory_equal(head, wire.ptr, wire.len - payload.len);
			assert_int_equal(mf_udp_frame_read(wire, payload.len - 1, &f), MF_E_LIMIT);
			free(body);
		}
		free(bytes);
	}
	assert_int_equal(i, 9);
	json_decref(file);
}

/* --- hosts ---------------------------------------------------------------------------------------------------------------- */

static void every_spelling_of_an_address_is_that_address(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused; "": a name */
	} cases[] = {
		{ "0x7f.1", "127.0.0.1" },
		{ "017700000001", "127.0.0.1" },
		{ "2130706433", "127.0.0.1" },
		{ "127.1.", "127.0.0.1" },
		{ "169.254.43518", "169.254.169.254" },
		{ "0", "0.0.0.0" },
		{ "0x", "0.0.0.0" },
		{ "1.2.3.4.5", NULL },
		{ "256.1", NULL },
		{ "1..2", NULL },
		{ "08", NULL },
		{ "4294967296", NULL },
		{ "99999999999999999999999", NULL },
		{ "a.0x1g", "" },
		{ "::1", "::1" },
		{ "[::ffff:127.0.0.1]", "127.0.0.1" },
		{ "[1.2.3.4]", "1.2.3.4" },
		{ "a.example", "" },
		{ "B\xc3\xbc"
		  "cher.example",
		  "" },
		{ "", NULL },
		{ "a b", NULL },
		{ "x.1", NULL },
		{ "fe80::1%eth0", NULL },
	};
	struct mf_gw_host h;
	char text[MF_ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		int r = mf_gw_host_read(mf_span_str(cases[i].text), &h);

		print_message("  %s\n", cases[i].text);
		assert_true((cases[i].want == NULL) == (r < 0));
		if (r == 0)
			assert_string_equal(mf_addr_format(&h.addr, text, sizeof(text)),
					    cases[i].want);
		if (r == 0 && !*cases[i].want)
			assert_true(h.name[0] && h.addr.family == 0);
	}
}

static void targets(void **state)
{
	struct mf_span host, port;
	uint16_t number;

	(void)state;
	assert_int_equal(mf_gw_target_read(mf_span_str("a.example:443"), &host, &port), 0);
	assert_true(mf_span_eq(host, mf_span_str("a.example")) &&
		    mf_span_eq(port, mf_span_str("443")));
	assert_int_equal(mf_gw_target_read(mf_span_str("[::1]:80"), &host, &port), 0);
	assert_true(mf_span_eq(host, mf_span_str("[::1]")));
	assert_int_equal(mf_gw_target_read(mf_span_str("::1:80"), &host, &port), MF_E_BAD);
	assert_int_equal(mf_gw_target_read(mf_span_str(":80"), &host, &port), MF_E_SYNTAX);
	assert_int_equal(mf_gw_target_read(mf_span_str("a.example"), &host, &port), MF_E_SYNTAX);
	assert_int_equal(mf_gw_target_read(mf_span_str(""), &host, &port), MF_E_SYNTAX);
	assert_int_equal(mf_gw_target_read(mf_span_str("[]:1"), &host, &port), MF_E_SYNTAX);
	assert_int_equal(mf_gw_port_read(mf_span_str("65535"), &number), 0);
	assert_int_equal(number, 65535);
	for (const char *const *bad =
		     (const char *const[]){ "", "0", "65536", "000080", "8a", "+8", "-1", NULL };
	     *bad; bad++)
		assert_int_equal(mf_gw_port_read(mf_span_str(*bad), &number), MF_E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(origins_normalize_as_the_vectors_say),
		cmocka_unit_test(origins_are_allowed_as_the_vectors_say),
		cmocka_unit_test(session_tokens_are_what_the_vectors_say),
		cmocka_unit_test(a_minted_token_is_the_reference_s_and_reads_back),
		cmocka_unit_test(a_token_with_any_byte_changed_is_none),
		cmocka_unit_test(jwts_are_what_the_vectors_say),
		cmocka_unit_test(mux_frames_are_what_the_vectors_say),
		cmocka_unit_test(mux_streams_are_what_the_vectors_say),
		cmocka_unit_test(mux_payloads_are_what_the_vectors_say),
		cmocka_unit_test(mux_bounds),
		cmocka_unit_test(udp_frames_are_what_the_vectors_say),
		cmocka_unit_test(every_spelling_of_an_address_is_that_address),
		cmocka_unit_test(targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
