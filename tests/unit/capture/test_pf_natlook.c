/* SPDX-License-Identifier: Apache-2.0 */
/* test_pf_natlook.c - questions to macOS' kernel and messages to the broker, byte by byte */
#include "tests/unit/test.h"

#include "capture/pf.h"
#include "core/base/bytes.h"

static struct mf_endpoint endpoint(const char *text)
{
	struct mf_endpoint ep = { 0 };
	const char *host;
	size_t len;

	assert_int_equal(mf_hostport_parse(text, strlen(text), &host, &len, &ep.port), 0);
	assert_int_equal(mf_addr_parse(host, len, &ep.addr), 0);
	return ep;
}

static struct mf_pf_question question(enum mf_proto proto, const char *peer, const char *local)
{
	return (struct mf_pf_question){ .proto = proto,
					.peer = endpoint(peer),
					.local = endpoint(local) };
}

/* "0a 0b" and so on; blanks do not matter. */
static void assert_bytes(const void *got, size_t len, const char *want)
{
	char text[3 * 128];
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x",
				      ((const uint8_t *)got)[i]);
	for (size_t i = 0, k = 0;; k++) {
		while (want[k] == ' ')
			k++;
		if (text[i] != want[k])
			fail_msg("byte %zu of %s", i / 2, text);
		if (i++ == n)
			break;
	}
}

#define ZERO4  "00000000"
#define ZERO16 ZERO4 ZERO4 ZERO4 ZERO4

static void an_ip4_question_has_these_84_bytes(void **state)
{
	struct mf_pf_question q = question(MF_TCP, "192.168.1.20:51234", "127.0.0.1:8443");
	struct mf_pf_natlook nl;

	(void)state;
	memset(&nl, 0xaa, sizeof(nl));
	assert_true(mf_pf_natlook_fill(&nl, &q, 0));
	assert_bytes(&nl, sizeof(nl),
		     "c0a80114" ZERO4 ZERO4 ZERO4 " 7f000001" ZERO4 ZERO4 ZERO4 ZERO16 ZERO16
		     " c8220000 20fb0000 00000000 00000000 02 06 00 02");
	assert_true(mf_pf_natlook_fill(&nl, &q, 1));
	assert_int_equal(nl.direction, 1);
	assert_false(mf_pf_natlook_fill(&nl, &q, 2));
	q.scope = 1;
	assert_false(mf_pf_natlook_fill(&nl, &q, 2)); /* nothing link-local in it */
	assert_false(mf_pf_natlook_fill(&nl, &q, 4));
}

static void an_ip6_question_has_these_84_bytes(void **state)
{
	struct mf_pf_question q = question(MF_UDP, "[2001:db8::20]:53535", "[fe80::1]:5353");
	struct mf_pf_natlook nl;

	(void)state;
	assert_true(mf_pf_natlook_fill(&nl, &q, 0));
	assert_bytes(
		&nl, sizeof(nl),
		"20010db8 00000000 00000000 00000020 fe800000 00000000 00000000 00000001" ZERO16
			ZERO16 " d11f0000 14e90000 00000000 00000000 1e 11 00 02");
	assert_false(mf_pf_natlook_fill(&nl, &q, 2)); /* the interface is not known */
	q.scope = 0x0102;
	assert_true(mf_pf_natlook_fill(&nl, &q, 2));
	assert_bytes(nl.daddr, 16, "fe800102 00000000 00000000 00000001");
	assert_bytes(nl.saddr, 16, "20010db8 00000000 00000000 00000020");
	assert_int_equal(nl.direction, 2);
	assert_true(mf_pf_natlook_fill(&nl, &q, 3));
	assert_int_equal(nl.direction, 1);
	q.scope = 0x10000;
	assert_false(mf_pf_natlook_fill(&nl, &q, 2));
}

static void what_cannot_be_asked_is_not_asked(void **state)
{
	struct mf_pf_question q = question(MF_TCP, "192.168.1.20:51234", "[::1]:8443");
	struct mf_pf_natlook nl;

	(void)state;
	assert_false(mf_pf_natlook_fill(&nl, &q, 0)); /* two families */
	q = question(MF_TCP, "192.168.1.20:51234", "127.0.0.1:8443");
	q.local.port = 0;
	assert_false(mf_pf_natlook_fill(&nl, &q, 0));
	q.local.port = 1;
	q.peer.port = 0;
	assert_false(mf_pf_natlook_fill(&nl, &q, 0));
	q.peer.port = 1;
	q.proto = (enum mf_proto)9;
	assert_false(mf_pf_natlook_fill(&nl, &q, 0));
	memset(&q, 0, sizeof(q));
	assert_false(mf_pf_natlook_fill(&nl, &q, 0));
}

static void assert_answer(const struct mf_pf_natlook *nl, const char *want)
{
	char text[MF_ENDPOINT_TEXT_MAX];
	struct mf_endpoint ep;

	assert_int_equal(mf_pf_natlook_read(nl, &ep), 0);
	assert_string_equal(mf_endpoint_format(&ep, text, sizeof(text)), want);
}

static void answers_are_read_and_scopes_taken_out(void **state)
{
	struct mf_pf_natlook nl = { .af = 2,
				    .rdaddr = { 203, 0, 113, 9 },
				    .rdxport = { 0x01, 0xbb, 9, 9 } };

	(void)state;
	assert_answer(&nl, "203.0.113.9:443");
	/* What stands behind four bytes of IPv4 is not part of it. */
	memset(nl.rdaddr + 4, 0xff, 12);
	assert_answer(&nl, "203.0.113.9:443");
	nl = (struct mf_pf_natlook){ .af = 30,
				     .rdaddr = { 0xfe, 0x80, 0, 5, [15] = 9 },
				     .rdxport = { 0, 80 } };
	assert_answer(&nl, "[fe80::9]:80");
	nl.rdaddr[0] = 0xff;
	nl.rdaddr[1] = 2;
	assert_answer(&nl, "[ff02::9]:80");
	nl.rdaddr[0] = 0x20;
	nl.rdaddr[1] = 1;
	assert_answer(&nl, "[2001:5::9]:80"); /* no link-local one: it means what it says */
	nl = (struct mf_pf_natlook){ .af = 30,
				     .rdaddr = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
				     .rdxport = { 0, 80 } };
	assert_answer(&nl, "192.0.2.1:80");
}

static void answers_that_make_no_sense_are_refused(void **state)
{
	struct mf_pf_natlook nl = { .af = 2, .rdaddr = { 203, 0, 113, 9 } };
	struct mf_endpoint ep;

	(void)state;
	assert_int_equal(mf_pf_natlook_read(&nl, &ep), MF_E_BAD); /* port 0 */
	nl.rdxport[2] = 1;
	assert_int_equal(mf_pf_natlook_read(&nl, &ep), MF_E_BAD); /* not the port's bytes */
	nl.rdxport[1] = 1;
	nl.af = 10; /* AF_INET6 of Linux */
	assert_int_equal(mf_pf_natlook_read(&nl, &ep), MF_E_BAD);
	nl.af = 2;
	memset(nl.rdaddr, 0, 16);
	assert_int_equal(mf_pf_natlook_read(&nl, &ep), MF_E_BAD);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void a_lookup_has_these_64_bytes(void **state)
{
	struct mf_pf_message m = { .kind = MF_PF_LOOKUP,
				   .id = 0x1122334455667788,
				   .q = question(MF_TCP, "192.168.1.20:51234", "127.0.0.1:8443") };
	struct mf_pf_message again;
	uint8_t buf[MF_PF_WIRE_LEN];

	(void)state;
	mf_pf_wire_encode(&m, buf);
	assert_bytes(buf, sizeof(buf),
		     "6d667066 01 00 06 04 1122334455667788 c0a80114" ZERO4 ZERO4 ZERO4
		     " 7f000001" ZERO4 ZERO4 ZERO4 " c822 20fb 00000000 00000000 00000000");
	assert_int_equal(mf_pf_wire_decode(buf, &again), 0);
	assert_false(again.is_answer);
	assert_int_equal(again.id, m.id);
	assert_memory_equal(&again.q.peer, &m.q.peer, sizeof(m.q.peer));
	assert_memory_equal(&again.q.local, &m.q.local, sizeof(m.q.local));
	assert_int_equal(again.q.proto, MF_TCP);
}

static void answers_have_these_64_bytes(void **state)
{
	struct mf_pf_message m = { .kind = MF_PF_LOOKUP,
				   .is_answer = true,
				   .id = 7,
				   .server = endpoint("[2001:db8::9]:443") };
	struct mf_pf_message again;
	uint8_t buf[MF_PF_WIRE_LEN];

	(void)state;
	mf_pf_wire_encode(&m, buf);
	assert_bytes(
		buf, sizeof(buf),
		"6d667066 01 80 00 06 0000000000000007 20010db8 00000000 00000000 00000009" ZERO16
		" 01bb 0000 00000000 00000000 00000000");
	assert_int_equal(mf_pf_wire_decode(buf, &again), 0);
	assert_memory_equal(&again.server, &m.server, sizeof(m.server));
	m.status = MF_E_NOENT; /* no server then */
	mf_pf_wire_encode(&m, buf);
	assert_bytes(buf, sizeof(buf),
		     "6d667066 01 80 00 00 0000000000000007" ZERO16 ZERO16
		     " 0000 0000 fffffffd 00000000 00000000");
	assert_int_equal(mf_pf_wire_decode(buf, &again), 0);
	assert_int_equal(again.status, MF_E_NOENT);
	m = (struct mf_pf_message){
		.kind = MF_PF_CHECK, .is_answer = true, .id = 8, .value = MF_PF_OK_ALL
	};
	mf_pf_wire_encode(&m, buf);
	assert_bytes(buf, sizeof(buf),
		     "6d667066 01 82 00 00 0000000000000008" ZERO16 ZERO16
		     " 0000 0000 00000000 0000003f 00000000");
	assert_int_equal(mf_pf_wire_decode(buf, &again), 0);
	assert_int_equal(again.value, MF_PF_OK_ALL);
	m = (struct mf_pf_message){
		.kind = MF_PF_OWNER, .is_answer = true, .id = 9, .value = 4711
	};
	mf_pf_wire_encode(&m, buf);
	assert_bytes(buf, sizeof(buf),
		     "6d667066 01 81 00 00 0000000000000009" ZERO16 ZERO16
		     " 0000 0000 00000000 00001267 00000000");
	assert_int_equal(mf_pf_wire_decode(buf, &again), 0);
	assert_int_equal(again.value, 4711);
	m.value = 0; /* nobody, but with success */
	mf_pf_wire_encode(&m, buf);
	assert_int_equal(mf_pf_wire_decode(buf, &again), MF_E_BAD);
}

static void every_byte_counts(void **state)
{
	static const struct mf_pf_message kinds[] = {
		{ .kind = MF_PF_CHECK },
		{ .kind = MF_PF_RELOAD },
		{ .kind = MF_PF_STOP },
		{ .kind = MF_PF_STOP, .is_answer = true, .status = MF_E_IO },
		{ .kind = MF_PF_CHECK, .is_answer = true, .value = 1 },
		{ .kind = MF_PF_LOOKUP, .is_answer = true, .status = MF_E_PERM },
	};
	struct mf_pf_message m, lookup = { .kind = MF_PF_LOOKUP,
					   .q = question(MF_TCP, "1.2.3.4:5", "127.0.0.1:8443") };
	uint8_t buf[MF_PF_WIRE_LEN];

	(void)state;
	/* Nothing may be hidden in what a message does not use. */
	for (size_t k = 0; k < MF_ARRAY_SIZE(kinds); k++) {
		for (size_t i = 16; i < 52; i++) {
			mf_pf_wire_encode(&kinds[k], buf);
			assert_int_equal(mf_pf_wire_decode(buf, &m), 0);
			buf[i] = 1;
			assert_int_equal(mf_pf_wire_decode(buf, &m), MF_E_BAD);
		}
	}
	for (size_t i = 0; i < MF_PF_WIRE_LEN; i++) {
		mf_pf_wire_encode(&lookup, buf);
		buf[i] ^= 0x40;
		if (mf_pf_wire_decode(buf, &m) == 0)
			/* id, the addresses' first four bytes, the ports */
			assert_true((i >= 8 && i < 20) || (i >= 32 && i < 36) ||
				    (i >= 48 && i < 52));
	}
}

static void hostile_messages_are_refused(void **state)
{
	struct mf_pf_message m, lookup = { .kind = MF_PF_LOOKUP,
					   .q = question(MF_TCP, "[2001:db8::1]:5", "[::1]:8443") };
	uint8_t buf[MF_PF_WIRE_LEN];

	(void)state;
	memset(buf, 0, sizeof(buf));
	assert_int_equal(mf_pf_wire_decode(buf, &m), MF_E_BAD);
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(mf_pf_wire_decode(buf, &m), MF_E_BAD);
	mf_pf_wire_encode(&lookup, buf);
	buf[4] = 2; /* version */
	assert_int_equal(mf_pf_wire_decode(buf, &m), MF_E_BAD);
	mf_pf_wire_encode(&lookup, buf);
	buf[5] = MF_PF_REQUEST_NUM;
	assert_int_equal(mf_pf_wire_decode(buf, &m), MF_E_BAD);
	mf_pf_wire_encode(&lookup, buf);
	buf[7] = 0;
	assert_int_equal(mf_pf_wire_decode(buf, &m), MF_E_BAD);
	/* a mapped address is an IPv4 address and must say so */
	mf_pf_wire_encode(&lookup, buf);
	memset(buf + 16, 0, 10);
	buf[26] = buf[27] = 0xff;
	assert_int_equal(mf_pf_wire_decode(buf, &m), MF_E_BAD);
	/* a status that is no error of ours */
	m = (struct mf_pf_message){ .kind = MF_PF_STOP, .is_answer = true };
	mf_pf_wire_encode(&m, buf);
	mf_store_be32(buf + 52, 1);
	assert_int_equal(mf_pf_wire_decode(buf, &m), MF_E_BAD);
	mf_store_be32(buf + 52, (uint32_t)(MF_E_BUG - 1));
	assert_int_equal(mf_pf_wire_decode(buf, &m), MF_E_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ip4_question_has_these_84_bytes),
		cmocka_unit_test(an_ip6_question_has_these_84_bytes),
		cmocka_unit_test(what_cannot_be_asked_is_not_asked),
		cmocka_unit_test(answers_are_read_and_scopes_taken_out),
		cmocka_unit_test(answers_that_make_no_sense_are_refused),
		cmocka_unit_test(a_lookup_has_these_64_bytes),
		cmocka_unit_test(answers_have_these_64_bytes),
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(hostile_messages_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
