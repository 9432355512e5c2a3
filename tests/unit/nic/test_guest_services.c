/* SPDX-License-Identifier: Apache-2.0 */
/* test_guest_services.c - what a guest's router says: DHCPv4, DHCPv6, advertisements; pure parts */
#include <moonfence/moonfence.h>
#include <string.h>

#include "core/base/bytes.h"
#include "nic/dhcp4.h"
#include "nic/dhcp6.h"
#include "nic/frame_socket.h"
#include "nic/nd6.h"
#include "tests/unit/test.h"

static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

static struct mf_dhcp4_lease lease_of(void)
{
	static const uint8_t search[] = "\3lab\7example";
	struct mf_dhcp4_lease l = { .address = { 10, 0, 2, 15 },
				    .netmask = { 255, 255, 255, 0 },
				    .router = { 10, 0, 2, 2 },
				    .dns = { { 10, 0, 2, 3 } },
				    .dns_cnt = 1,
				    .ntp = { { 192, 0, 2, 1 }, { 192, 0, 2, 2 } },
				    .ntp_cnt = 2,
				    .mtu = 1400,
				    .lease_s = 86400,
				    .domain = "lab.example",
				    .search = search,
				    .search_len = sizeof(search) };

	memcpy(l.mac, mac, 6);
	return l;
}

/* A question with @options behind the cookie. Return: length */
static size_t ask4(uint8_t *buf, const uint8_t *options, size_t len)
{
	memset(buf, 0, 240);
	buf[0] = buf[1] = 1;
	buf[2] = 6;
	mf_store_be32(buf + 4, 0xabcd1234);
	memcpy(buf + 28, mac, 6);
	mf_store_be32(buf + 236, 0x63825363);
	memcpy(buf + 240, options, len);
	return 240 + len;
}

/* Return: the value of an option, its length in *ret_len; NULL */
static const uint8_t *find4(const uint8_t *msg, size_t len, uint8_t code, size_t *ret_len)
{
	for (size_t at = 240; at < len && msg[at] != 255;) {
		if (!msg[at]) {
			at++;
			continue;
		}
		*ret_len = msg[at + 1];
		if (msg[at] == code)
			return msg + at + 2;
		at += 2u + msg[at + 1];
	}
	return NULL;
}

static void assert_option4(const uint8_t *msg, size_t len, uint8_t code, const void *want,
			   size_t want_len)
{
	size_t n = 0;
	const uint8_t *v = find4(msg, len, code, &n);

	assert_non_null(v);
	assert_int_equal(n, want_len);
	assert_memory_equal(v, want, want_len);
}

static void test_dhcp4_offer_has_all_that_was_settled(void **state)
{
	static const uint8_t options[] = { 53, 1, 1, 61, 3, 9, 8, 7, 255 };
	struct mf_dhcp4_lease l = lease_of();
	struct mf_dhcp4_answer a;
	uint8_t q[512], buf[MF_DHCP4_ANSWER_MAX];
	size_t len = ask4(q, options, sizeof(options));

	(void)state;
	assert_int_equal(mf_dhcp4_answer(&l, q, len, buf, &a), 0);
	assert_int_equal(a.type, 2);
	assert_memory_equal(a.to, l.address, 4); /* no broadcast flag */
	assert_true(a.len >= MF_DHCP4_MIN && a.len <= MF_DHCP4_ANSWER_MAX);
	assert_int_equal(buf[0], 2);
	assert_int_equal(mf_load_be32(buf + 4), 0xabcd1234);
	assert_memory_equal(buf + 16, l.address, 4);
	assert_memory_equal(buf + 28, mac, 6);
	assert_option4(buf, a.len, 53, "\2", 1);
	assert_option4(buf, a.len, 54, l.router, 4);
	assert_option4(buf, a.len, 51, "\0\1\x51\x80", 4);
	assert_option4(buf, a.len, 1, l.netmask, 4);
	assert_option4(buf, a.len, 3, l.router, 4);
	assert_option4(buf, a.len, 6, l.dns, 4);
	assert_option4(buf, a.len, 42, l.ntp, 8);
	assert_option4(buf, a.len, 26, "\x05\x78", 2);
	assert_option4(buf, a.len, 15, "lab.example", 11);
	assert_option4(buf, a.len, 119, "\3lab\7example", 13);
	assert_option4(buf, a.len, 61, "\x09\x08\x07", 3);
	q[10] = 0x80;
	assert_int_equal(mf_dhcp4_answer(&l, q, len, buf, &a), 0);
	assert_memory_equal(a.to, "\xff\xff\xff\xff", 4);
}

static void test_dhcp4_tells_firmware_what_to_load(void **state)
{
	static const uint8_t discover[] = { 53, 1, 1, 255 };
	struct mf_dhcp4_lease l = lease_of();
	struct mf_dhcp4_answer a;
	char longest[257];
	uint8_t q[512], buf[MF_DHCP4_ANSWER_MAX];
	size_t len = ask4(q, discover, sizeof(discover)), n;

	(void)state;
	assert_int_equal(mf_dhcp4_answer(&l, q, len, buf, &a), 0);
	assert_memory_equal(buf + 20, l.router, 4);
	assert_null(find4(buf, a.len, 67, &n));
	l.boot_file = "http://boot.example/start.ipxe";
	assert_int_equal(mf_dhcp4_answer(&l, q, len, buf, &a), 0);
	assert_string_equal((char *)buf + 108, l.boot_file);
	assert_option4(buf, a.len, 67, l.boot_file, strlen(l.boot_file));
	assert_null(find4(buf, a.len, 66, &n));
	memcpy(l.boot_server, "\xc0\0\2\7", 4);
	assert_int_equal(mf_dhcp4_answer(&l, q, len, buf, &a), 0);
	assert_memory_equal(buf + 20, l.boot_server, 4);
	assert_option4(buf, a.len, 66, "192.0.2.7", 9);
	/* without room for the NUL only the option says it; what fits into no option nobody does */
	memset(longest, 'x', sizeof(longest));
	longest[128] = 0;
	l.boot_file = longest;
	l.search_len = 0;
	assert_int_equal(mf_dhcp4_answer(&l, q, len, buf, &a), 0);
	assert_int_equal(buf[108], 0);
	assert_option4(buf, a.len, 67, longest, 128);
	longest[128] = 'x';
	longest[256] = 0;
	assert_int_equal(mf_dhcp4_answer(&l, q, len, buf, &a), 0);
	assert_null(find4(buf, a.len, 67, &n));
	assert_true(a.len <= MF_DHCP4_ANSWER_MAX);
}

static void test_dhcp4_request(void **state)
{
	static const uint8_t
		right[] = { 53, 1, 3, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2, 255 },
		wrong[] = { 53, 1, 3, 50, 4, 10, 0, 2, 77, 255 },
		elsewhere[] = { 53, 1, 3, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 9, 255 },
		renew[] = { 0, 0, 53, 1, 3, 255 }, release[] = { 53, 1, 7, 255 },
		inform[] = { 53, 1, 8, 255 };
	struct mf_dhcp4_lease l = lease_of();
	struct mf_dhcp4_answer a;
	uint8_t q[512], buf[MF_DHCP4_ANSWER_MAX];
	size_t n;

	(void)state;
	assert_int_equal(mf_dhcp4_answer(&l, q, ask4(q, right, sizeof(right)), buf, &a), 0);
	assert_int_equal(a.type, 5);
	assert_int_equal(mf_dhcp4_answer(&l, q, ask4(q, wrong, sizeof(wrong)), buf, &a), 0);
	assert_int_equal(a.type, 6);
	assert_memory_equal(a.to, "\xff\xff\xff\xff", 4);
	assert_null(find4(buf, a.len, 51, &n));
	assert_memory_equal(buf + 16, "\0\0\0", 4);
	assert_int_equal(mf_dhcp4_answer(&l, q, ask4(q, elsewhere, sizeof(elsewhere)), buf, &a),
			 MF_E_NOT_MINE);
	ask4(q, renew, sizeof(renew));
	memcpy(q + 12, l.address, 4);
	assert_int_equal(mf_dhcp4_answer(&l, q, 240 + sizeof(renew), buf, &a), 0);
	assert_int_equal(a.type, 5);
	assert_memory_equal(a.to, l.address, 4);
	assert_int_equal(mf_dhcp4_answer(&l, q, ask4(q, release, sizeof(release)), buf, &a),
			 MF_E_NOT_MINE);
	assert_int_equal(mf_dhcp4_answer(&l, q, ask4(q, inform, sizeof(inform)), buf, &a), 0);
	assert_null(find4(buf, a.len, 51, &n));
	assert_memory_equal(buf + 16, "\0\0\0", 4);
}

static void test_dhcp4_hostile(void **state)
{
	static const uint8_t discover[] = { 53, 1, 1, 255 }, cut[] = { 53, 1, 1, 50, 200, 1 },
			     no_length[] = { 53, 1, 1, 50 };
	struct mf_dhcp4_lease l = lease_of();
	struct mf_dhcp4_answer a;
	uint8_t q[512], buf[MF_DHCP4_ANSWER_MAX];
	size_t len = ask4(q, discover, sizeof(discover));

	(void)state;
	for (size_t i = 0; i < len; i++)
		assert_true(i >= 243 || mf_dhcp4_answer(&l, q, i, buf, &a) < 0);
	q[28] ^= 1; /* another client's */
	assert_int_equal(mf_dhcp4_answer(&l, q, len, buf, &a), MF_E_NOT_MINE);
	q[28] ^= 1;
	q[0] = 2;
	assert_int_equal(mf_dhcp4_answer(&l, q, len, buf, &a), MF_E_SYNTAX);
	assert_int_equal(mf_dhcp4_answer(&l, q, ask4(q, cut, sizeof(cut)), buf, &a), MF_E_SYNTAX);
	assert_int_equal(mf_dhcp4_answer(&l, q, ask4(q, no_length, sizeof(no_length)), buf, &a),
			 MF_E_SYNTAX);
}

static void test_dhcp6_information(void **state)
{
	static const uint8_t ask[] = { 11, 1, 2, 3, 0, 1, 0, 4, 9, 9, 9, 9, 0, 6, 0, 2, 0, 23 },
			     solicit[] = { 1, 1, 2, 3 }, cut[] = { 11, 1, 2, 3, 0, 1, 0, 4, 9 },
			     other[] = { 11, 1, 2, 3, 0, 2, 0, 2, 1, 1 };
	struct mf_dhcp6_info info = { .dns = { 0xfd, [15] = 3 } };
	uint8_t buf[MF_DHCP6_ANSWER_MAX];
	int n;

	(void)state;
	memcpy(info.mac, mac, 6);
	n = mf_dhcp6_answer(&info, ask, sizeof(ask), buf);
	/* server, client, name server, refresh time */
	assert_int_equal(n, 4 + 14 + 8 + 20 + 8);
	assert_memory_equal(buf, "\7\1\2\3\0\2\0\12\0\3\0\1", 12);
	assert_memory_equal(buf + 12, mac, 6);
	assert_memory_equal(buf + 18, "\0\1\0\4\11\11\11\11\0\27\0\20\xfd", 13);
	assert_int_equal(mf_dhcp6_answer(&info, solicit, sizeof(solicit), buf), MF_E_NOT_MINE);
	assert_int_equal(mf_dhcp6_answer(&info, cut, sizeof(cut), buf), MF_E_SYNTAX);
	assert_int_equal(mf_dhcp6_answer(&info, other, sizeof(other), buf), MF_E_NOT_MINE);
	assert_int_equal(mf_dhcp6_answer(&info, ask, 3, buf), MF_E_SYNTAX);
}

static void test_router_advert(void **state)
{
	struct mf_nd6_router r = { .prefix = { 0xfd, 1, [7] = 9 },
				   .dns = { 0xfd, [15] = 3 },
				   .mtu = 1400,
				   .lifetime_s = 1800,
				   .prefix_s = 86400 };
	uint8_t buf[MF_ND6_MAX];
	size_t len, at;

	(void)state;
	memcpy(r.mac, mac, 6);
	len = mf_nd6_router_advert(&r, buf);
	assert_int_equal(len, 16 + 8 + 8 + 32 + 24);
	assert_int_equal(buf[0], 134);
	assert_int_equal(buf[5], 0x40); /* other configuration by DHCPv6 */
	assert_int_equal(mf_load_be16(buf + 6), 1800);
	assert_memory_equal(buf + 16, "\1\1\x52\x54\0\1\2\3", 8);
	assert_int_equal(mf_load_be32(buf + 28), 1400);
	assert_memory_equal(buf + 32, "\3\4\x40\x40", 4); /* /64, autonomous, not on-link */
	assert_memory_equal(buf + 48, r.prefix, 16);
	assert_memory_equal(buf + 64, "\x19\3", 2);
	assert_memory_equal(buf + 72, r.dns, 16);
	r.search = (const uint8_t *)"\3lab\7example";
	r.search_len = 13;
	len = mf_nd6_router_advert(&r, buf);
	at = 88;
	assert_int_equal(len, at + 24);
	assert_memory_equal(buf + at, "\x1f\3", 2);
	assert_memory_equal(buf + at + 8, "\3lab\7example\0\0\0", 16);
}

static void test_neighbours(void **state)
{
	uint8_t msg[40] = { 135, [8] = 0xfe, 0x80, [23] = 2, 1, 1 }, buf[MF_ND6_MAX];
	const uint8_t *target;

	(void)state;
	assert_int_equal(mf_nd6_read_solicit(msg, 32, &target), 0);
	assert_ptr_equal(target, msg + 8);
	assert_int_equal(mf_nd6_read_solicit(msg, 23, &target), MF_E_SYNTAX);
	msg[25] = 0; /* an option without a length */
	assert_int_equal(mf_nd6_read_solicit(msg, 32, &target), MF_E_SYNTAX);
	msg[8] = 0xff; /* a group has no neighbour */
	assert_int_equal(mf_nd6_read_solicit(msg, 24, &target), MF_E_SYNTAX);
	assert_int_equal(mf_nd6_neighbour_advert(target, mac, 1, buf), 32);
	assert_int_equal(buf[4], 0xe0);
	assert_memory_equal(buf + 24, "\2\1\x52\x54\0\1\2\3", 8);
}

static void test_frames_of_a_stream(void **state)
{
	static const uint8_t two[] = { 0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0, 0, 0, 0, 9, 'c' };
	uint8_t large[4];
	size_t at;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(mf_frame_split(two, i, &at), MF_E_AGAIN);
	assert_int_equal(mf_frame_split(two, sizeof(two), &at), 2);
	assert_int_equal(at, 4);
	assert_int_equal(mf_frame_split(two + 6, sizeof(two) - 6, &at), 0);
	assert_int_equal(mf_frame_split(two + 10, sizeof(two) - 10, &at), MF_E_AGAIN);
	mf_store_be32(large, MF_FRAME_MAX);
	assert_int_equal(mf_frame_split(large, 4, &at), MF_E_AGAIN);
	mf_store_be32(large, MF_FRAME_MAX + 1);
	assert_int_equal(mf_frame_split(large, 4, &at), MF_E_SYNTAX);
	mf_store_be32(large, UINT32_MAX);
	assert_int_equal(mf_frame_split(large, 4, &at), MF_E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dhcp4_offer_has_all_that_was_settled),
		cmocka_unit_test(test_dhcp4_tells_firmware_what_to_load),
		cmocka_unit_test(test_dhcp4_request),
		cmocka_unit_test(test_dhcp4_hostile),
		cmocka_unit_test(test_dhcp6_information),
		cmocka_unit_test(test_router_advert),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_frames_of_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
