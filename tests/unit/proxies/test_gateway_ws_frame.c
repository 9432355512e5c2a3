// SPDX-License-Identifier: Apache-2.0
// Frames of WebSockets: the specification's examples, every head that is wrong, masks of any length and place.
#include "tests/unit/test.h"

#include <moonfence/moonfence.h>

#include "core/base/span.h"
#include "proxies/gateway/ws_frame.h"

static int read_one(const uint8_t *bytes, size_t len, struct mf_ws_piece *ret, uint8_t *buf)
{
	static struct mf_ws_reader r;
	uint8_t *in = buf;

	r = (struct mf_ws_reader){ 0 };
	memcpy(buf, bytes, len);
	return mf_ws_read(&r, &in, &len, NULL, ret);
}

static void frames_of_the_specification_are_read(void **state)
{
	/* RFC 6455 §5.7: "Hello", masked */
	static const uint8_t hello[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
					 0x7f, 0x9f, 0x4d, 0x51, 0x58 };
	static const uint8_t ping[] = { 0x89, 0x85, 0x37, 0xfa, 0x21, 0x3d,
					0x7f, 0x9f, 0x4d, 0x51, 0x58 };
	struct mf_ws_piece p;
	uint8_t buf[64];

	(void)state;
	assert_true(read_one(hello, sizeof(hello), &p, buf) == 1);
	assert_true(p.opcode == MF_WS_TEXT && p.begins_message && p.ends_message && p.len == 5);
	assert_true(memcmp(p.ptr, "Hello", 5) == 0);
	assert_true(read_one(ping, sizeof(ping), &p, buf) == 1);
	assert_true(p.opcode == MF_WS_PING && p.len == 5 && memcmp(p.ptr, "Hello", 5) == 0);
	assert_true(read_one(ping, sizeof(ping) - 1, &p, buf) == 0);
}

static void heads_that_are_wrong_are_refused(void **state)
{
	static const uint8_t wrong[][14] = {
		{ 0x82, 0x05 },			    /* not masked */
		{ 0xc2, 0x85 },			    /* a reserved bit */
		{ 0xa2, 0x85 },			    /* ... */
		{ 0x92, 0x85 },			    /* ... */
		{ 0x83, 0x85 },			    /* opcodes that are none */
		{ 0x87, 0x85 },			    /* ... */
		{ 0x8b, 0x85 },			    /* ... */
		{ 0x8f, 0x85 },			    /* ... */
		{ 0x80, 0x85 },			    /* goes on with nothing */
		{ 0x09, 0x85 },			    /* a ping in pieces */
		{ 0x89, 0xfe },			    /* a long ping */
		{ 0x82, 0xfe, 0, 125, 1, 2, 3, 4 }, /* not the shortest form */
		{ 0x82, 0xff, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4 },
		{ 0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4 }, /* bit 63 */
	};
	struct mf_ws_piece p;
	uint8_t buf[64], head[MF_WS_HEAD_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_true(read_one(wrong[i], sizeof(wrong[i]), &p, buf) == MF_E_BAD);
	assert_true(mf_ws_head_write(MF_WS_BINARY, 125, head) == 2 && head[1] == 125);
	assert_true(mf_ws_head_write(MF_WS_BINARY, 126, head) == 4 && head[1] == 126 &&
		    head[3] == 126);
	assert_true(mf_ws_head_write(MF_WS_BINARY, 65535, head) == 4);
	assert_true(mf_ws_head_write(MF_WS_BINARY, 65536, head) == 10 && head[7] == 1 &&
		    head[9] == 0);
}

/* Byte by byte is how it is meant. */
static void masks_of_any_length_come_off_also_on_the_move(void **state)
{
	static uint8_t in[400], out[400];

	(void)state;
	for (size_t len = 0; len < 200; len++) {
		for (size_t apart = 0; apart < 40; apart++) {
			uint8_t mask[4] = { 1, 20, 37, 0xf9 }, turned[4];

			for (size_t i = 0; i < sizeof(in); i++)
				in[i] = (uint8_t)(i * 7 + len);
			for (size_t i = 0; i < len; i++)
				out[i] = in[apart + i] ^ mask[i & 3];
			for (size_t i = 0; i < 4; i++)
				turned[i] = mask[(i + len) & 3];
			mf_ws_unmask(in, in + apart, len, mask);
			assert_true(memcmp(in, out, len) == 0);
			assert_true(memcmp(mask, turned, 4) == 0);
		}
	}
}

static void codes_of_a_close(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int code;
	} cases[] = {
		{ "", 0, MF_WS_NO_CODE },
		{ "\x03", 1, MF_E_BAD },
		{ "\x03\xe8", 2, 1000 },
		{ "\x03\xe8"
		  "bye",
		  5, 1000 },
		{ "\x03\xe7", 2, MF_E_BAD },
		{ "\x03\xec", 2, MF_E_BAD },
		{ "\x03\xed", 2, MF_E_BAD },
		{ "\x03\xee", 2, MF_E_BAD },
		{ "\x03\xf7", 2, MF_E_BAD },
		{ "\x0b\xb8", 2, 3000 },
		{ "\x13\x87", 2, 4999 },
		{ "\x13\x88", 2, MF_E_BAD },
		{ "\x03\xe8\xff", 3, MF_E_SYNTAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_true(mf_ws_close_read(mf_span_of(cases[i].bytes, cases[i].len)) ==
			    cases[i].code);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_the_specification_are_read),
		cmocka_unit_test(heads_that_are_wrong_are_refused),
		cmocka_unit_test(masks_of_any_length_come_off_also_on_the_move),
		cmocka_unit_test(codes_of_a_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
