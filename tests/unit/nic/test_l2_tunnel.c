/* SPDX-License-Identifier: Apache-2.0 */
/* test_l2_tunnel.c - messages of Aero's L2 tunnel: the vectors of its own project, limits, structured errors */
#include <jansson.h>

#include "core/base/hex.h"
#include "nic/l2_tunnel.h"
#include "tests/unit/test.h"

#define ROOM 8192u

struct bytes {
	size_t len;
	uint8_t *ptr; /* exactly as large, so that AddressSanitizer sees a byte too many */
};

static int digit64(int c)
{
	static const char all[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(all, c) : NULL;

	return at ? (int)(at - all) : -1;
}

/* @text: hexadecimal or base64 */
static struct bytes bytes_of(const char *text, bool hex)
{
	uint8_t buf[ROOM];
	uint32_t bits = 0;
	unsigned have = 0, per = hex ? 4 : 6;
	struct bytes b = { 0 };

	for (; *text && *text != '='; text++) {
		int d = hex ? mf_hex_digit(*text) : digit64(*text);

		assert_true(d >= 0 && b.len < ROOM);
		bits = bits << per | (uint32_t)d;
		have += per;
		if (have >= 8) {
			have -= 8;
			buf[b.len++] = (uint8_t)(bits >> have);
		}
	}
	b.ptr = malloc(b.len ? b.len : 1);
	assert_non_null(b.ptr);
	memcpy(b.ptr, buf, b.len);
	return b;
}

static struct bytes field(const json_t *v, const char *key, bool hex)
{
	const char *text = json_string_value(json_object_get(v, key));

	assert_non_null(text);
	return bytes_of(text, hex);
}

static void check_structure(const json_t *v, struct mf_span payload)
{
	const json_t *inner = json_object_get(v, "structured");
	const char *text = json_string_value(json_object_get(inner ? inner : v, "message"));
	json_int_t code = json_integer_value(json_object_get(inner ? inner : v, "code"));
	struct mf_l2_error e;
	uint8_t again[256];
	size_t len;

	if (!text) {
		assert_int_equal(mf_l2_error_read(payload, &e), MF_E_NOT_MINE);
		return;
	}
	assert_int_equal(mf_l2_error_read(payload, &e), 0);
	assert_int_equal(e.code, code);
	assert_true(mf_span_eq(e.text, mf_span_str(text)));
	len = mf_l2_error_write((uint16_t)code, mf_span_str(text), again, sizeof(again));
	assert_true(mf_span_eq(payload, mf_span_of(again, len)));
}

static void check_valid(const json_t *v, bool hex)
{
	struct bytes wire = field(v, hex ? "wireHex" : "wire_b64", hex);
	struct bytes payload = field(v, hex ? "payloadHex" : "payload_b64", hex);
	json_int_t type = json_integer_value(json_object_get(v, hex ? "msgType" : "type"));
	struct mf_l2_message m;
	uint8_t again[ROOM];

	assert_int_equal(mf_l2_decode(mf_span_of(wire.ptr, wire.len), NULL, &m, NULL), 0);
	assert_int_equal(m.type, type);
	assert_int_equal(m.flags, json_integer_value(json_object_get(v, "flags")));
	assert_true(mf_span_eq(m.payload, mf_span_of(payload.ptr, payload.len)));
	assert_int_equal(mf_l2_encode(m.type, mf_span_of(payload.ptr, payload.len), NULL, again,
				      sizeof(again)),
			 wire.len);
	assert_memory_equal(again, wire.ptr, wire.len);
	if (type == MF_L2_ERROR)
		check_structure(v, m.payload);
	free(wire.ptr);
	free(payload.ptr);
}

/* What Aero's servers and ours answer alike: a class in one file, words in the other. */
static void check_invalid(const json_t *v, bool hex)
{
	static const struct {
		const char *code, *words;
		int r;
	} kinds[] = { { "too_short", "message too short", MF_E_BAD },
		      { "invalid_magic", "invalid magic", MF_E_NOT_MINE },
		      { "unsupported_version", "unsupported version", MF_E_UNSUPPORTED },
		      { "payload_too_large", "payload too large", MF_E_LIMIT } };
	struct bytes wire = field(v, hex ? "wireHex" : "wire_b64", hex);
	const char *code = json_string_value(json_object_get(v, "errorCode"));
	const char *words = json_string_value(json_object_get(v, "errorContains"));
	struct mf_l2_message m;
	struct mf_err err = { 0 };
	int r = mf_l2_decode(mf_span_of(wire.ptr, wire.len), NULL, &m, &err);
	bool known = false;

	for (unsigned i = 0; i < MF_ARRAY_SIZE(kinds); i++) {
		if (code ? strcmp(code, kinds[i].code) : strcmp(words, kinds[i].words))
			continue;
		known = true;
		assert_int_equal(r, kinds[i].r);
		assert_non_null(strstr(err.msg, kinds[i].words));
	}
	assert_true(known);
	free(wire.ptr);
}

static void test_vectors_of_the_protocol(void **state)
{
	json_t *doc = json_load_file(MF_TEST_DATA "/aero/l2-tunnel-v1.json", 0, NULL), *v;
	size_t i, valid = 0, invalid = 0;

	(void)state;
	assert_non_null(doc);
	json_array_foreach(json_object_get(doc, "vectors"), i, v)
	{
		if (json_is_true(json_object_get(v, "expectError"))) {
			check_invalid(v, false);
			invalid++;
		} else {
			check_valid(v, false);
			valid++;
		}
	}
	assert_int_equal(valid, 5);
	assert_int_equal(invalid, 5);
	json_decref(doc);
}

static void test_vectors_of_conformance(void **state)
{
	static const char *const files[] = { MF_TEST_DATA "/aero/aero-vectors-v1.json",
					     MF_TEST_DATA "/aero/aero-vectors-v2.json" };

	(void)state;
	for (unsigned n = 0; n < MF_ARRAY_SIZE(files); n++) {
		json_t *doc = json_load_file(files[n], 0, NULL), *l2, *v;
		size_t i;

		assert_non_null(doc);
		l2 = json_object_get(doc, "aero-l2-tunnel-v1");
		assert_int_equal(json_array_size(json_object_get(l2, "valid")), 5);
		assert_true(json_array_size(json_object_get(l2, "invalid")) >= 5);
		json_array_foreach(json_object_get(l2, "valid"), i, v) check_valid(v, true);
		json_array_foreach(json_object_get(l2, "invalid"), i, v) check_invalid(v, true);
		json_decref(doc);
	}
}

static void test_limits_are_exact_and_of_a_type(void **state)
{
	static const struct mf_l2_limits own = { .frame = 100, .control = 10 };
	static const uint8_t types[] = { MF_L2_FRAME, MF_L2_PING, MF_L2_PONG, MF_L2_ERROR, 0x55 };
	static uint8_t payload[MF_L2_FRAME_MAX + 1], buf[MF_L2_HEAD + sizeof(payload)];

	(void)state;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(types); i++) {
		for (unsigned custom = 0; custom < 2; custom++) {
			const struct mf_l2_limits *limits = custom ? &own : NULL;
			size_t max = types[i] == MF_L2_FRAME ? (custom ? 100 : MF_L2_FRAME_MAX)
							     : (custom ? 10 : MF_L2_CONTROL_MAX);
			struct mf_l2_message m;

			assert_int_equal(mf_l2_encode(types[i], mf_span_of(payload, max), limits,
						      buf, sizeof(buf)),
					 MF_L2_HEAD + max);
			assert_int_equal(
				mf_l2_decode(mf_span_of(buf, MF_L2_HEAD + max), limits, &m, NULL),
				0);
			assert_int_equal(m.payload.len, max);
			assert_int_equal(mf_l2_encode(types[i], mf_span_of(payload, max + 1),
						      limits, buf, sizeof(buf)),
					 MF_E_LIMIT);
			assert_int_equal(mf_l2_decode(mf_span_of(buf, MF_L2_HEAD + max + 1), limits,
						      &m, NULL),
					 MF_E_LIMIT);
		}
	}
	assert_int_equal(mf_l2_encode(MF_L2_PING, mf_span_of(payload, 8), NULL, buf, 11),
			 MF_E_FULL);
	assert_int_equal(mf_l2_encode(MF_L2_PING, mf_span_of(NULL, 0), NULL, buf, 4), 4);
}

static void test_flags_are_not_looked_at(void **state)
{
	static const uint8_t msg[] = { 0xa2, 3, 1, 0xff, 7 };
	struct mf_l2_message m;

	(void)state;
	assert_int_equal(mf_l2_decode(mf_span_of(msg, sizeof(msg)), NULL, &m, NULL), 0);
	assert_int_equal(m.flags, 0xff);
	assert_int_equal(m.payload.ptr[0], 7);
}

static void test_words_of_errors(void **state)
{
	static const uint8_t magic[] = { 0xa1, 3, 0, 0 }, version[] = { 0xa2, 2, 0, 0 };
	static uint8_t large[MF_L2_HEAD + 300] = { 0xa2, 3, 1 };
	struct mf_l2_message m;
	struct mf_err err = { 0 };

	(void)state;
	(void)mf_l2_decode(mf_span_of(magic, 3), NULL, &m, &err);
	assert_string_equal(err.msg, "message too short: 3 < 4");
	(void)mf_l2_decode(mf_span_of(magic, 4), NULL, &m, &err);
	assert_string_equal(err.msg, "invalid magic: 0xa1");
	(void)mf_l2_decode(mf_span_of(version, 4), NULL, &m, &err);
	assert_string_equal(err.msg, "unsupported version: 0x02");
	(void)mf_l2_decode(mf_span_of(large, sizeof(large)), NULL, &m, &err);
	assert_string_equal(err.msg, "payload too large: 300 > 256");
}

static void test_structured_errors_only_where_all_is_right(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int r;
	} cases[] = {
		{ "\0\1\0\0", 4, 0 },
		{ "\0\1\0\2ab", 6, 0 },
		{ "\xff\xff\0\2\xc3\xa9", 6, 0 },
		{ "\0\1\0\2a", 5, MF_E_NOT_MINE },	      /* shorter than it says */
		{ "\0\1\0\1ab", 6, MF_E_NOT_MINE },	      /* longer */
		{ "\0\1\0", 3, MF_E_NOT_MINE },		      /* no head */
		{ "\0\1\0\2\xc3(", 6, MF_E_NOT_MINE },	      /* no UTF-8 */
		{ "\0\1\0\1\xc3", 5, MF_E_NOT_MINE },	      /* half a character */
		{ "\0\1\0\3\xed\xa0\x80", 7, MF_E_NOT_MINE }, /* a surrogate */
		{ "", 0, MF_E_NOT_MINE },
	};
	struct mf_l2_error e;

	(void)state;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(cases); i++)
		assert_int_equal(mf_l2_error_read(mf_span_of(cases[i].bytes, cases[i].len), &e),
				 cases[i].r);
}

static void test_texts_are_cut_between_characters(void **state)
{
	static const char text[] =
		"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"; /* 1, 2, 3, 4, 1 bytes */
	static const size_t want[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11 };
	uint8_t buf[32];

	(void)state;
	for (size_t room = 0; room < MF_ARRAY_SIZE(want); room++) {
		struct mf_l2_error e;

		memset(buf, 0xee, sizeof(buf));
		assert_int_equal(mf_l2_error_write(9, mf_span_str(text), buf, room + 4),
				 4 + want[room]);
		assert_int_equal(buf[4 + want[room]], 0xee);
		assert_int_equal(mf_l2_error_read(mf_span_of(buf, 4 + want[room]), &e), 0);
		assert_int_equal(e.code, 9);
		assert_memory_equal(e.text.ptr, text, want[room]);
	}
	for (size_t room = 0; room < 4; room++)
		assert_int_equal(mf_l2_error_write(9, mf_span_str(text), buf, room), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_of_the_protocol),
		cmocka_unit_test(test_vectors_of_conformance),
		cmocka_unit_test(test_limits_are_exact_and_of_a_type),
		cmocka_unit_test(test_flags_are_not_looked_at),
		cmocka_unit_test(test_words_of_errors),
		cmocka_unit_test(test_structured_errors_only_where_all_is_right),
		cmocka_unit_test(test_texts_are_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
