// SPDX-License-Identifier: Apache-2.0
// sock_diag's answers: fixed bytes of a dump, and everything that can be wrong with lengths; the kernel's own.
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxies/dev_linux.h"
#include "proxies/sock.h"
#include "tests/unit/test.h"

/* [::]:5173 that leaves IPv4 out, user 1000, inode 0x12345, cookie 0x200000001; recorded, then zeroed where it says nothing */
static const uint8_t recorded[] = {
	0x50, 0,    0,	0, 20, 0, 2, 0, 1, 0, 0, 0, 0,	  0, 0, 0, /* head, 80 bytes */
	10,   10,   0,	0,					   /* family, state */
	0x14, 0x35, 0,	0,					   /* ports */
	0,    0,    0,	0, 0,  0, 0, 0, 0, 0, 0, 0, 0,	  0, 0, 0, /* source */
	0,    0,    0,	0, 0,  0, 0, 0, 0, 0, 0, 0, 0,	  0, 0, 0, /* destination */
	0,    0,    0,	0, 1,  0, 0, 0, 2, 0, 0, 0,		   /* device, cookie */
	0,    0,    0,	0, 0,  0, 0, 0, 0, 1, 0, 0, 0xe8, 3, 0, 0,
	0x45, 0x23, 1,	0,		/* queues, uid, inode */
	5,    0,    11, 0, 1,  0, 0, 0, /* SKV6ONLY */
};
#define BODY_LEN (sizeof(recorded) - 16)

/* The recorded message as one of its true length. */
static size_t put_listener(uint8_t *at)
{
	uint32_t len = sizeof(recorded);

	memcpy(at, recorded, sizeof(recorded));
	memcpy(at, &len, 4);
	return sizeof(recorded);
}

static size_t put_head(uint8_t *at, uint32_t len, uint16_t type)
{
	struct nlmsghdr h = { .nlmsg_len = len, .nlmsg_type = type };

	memcpy(at, &h, sizeof(h));
	return sizeof(h);
}

static void a_recorded_listener_is_read(void **state)
{
	_Alignas(4) uint8_t buf[512];
	struct mf_dev_listener l[2];
	char text[MF_ENDPOINT_TEXT_MAX];
	size_t len = put_listener(buf), cnt = 0;

	(void)state;
	assert_int_equal(BODY_LEN, sizeof(struct inet_diag_msg) + 8);
	len += put_listener(buf + len);
	len += put_head(buf + len, 16, NLMSG_DONE);
	len += put_listener(buf + len); /* behind the end */
	assert_int_equal(mf_dev_netlink_read(mf_span_of(buf, len), l, &cnt, 2), 1);
	assert_int_equal(cnt, 2);
	assert_string_equal(mf_endpoint_format(&l[1].at, text, sizeof(text)), "[::]:5173");
	assert_int_equal(l[1].uid, 1000);
	assert_int_equal(l[1].inode, 0x12345);
	assert_true(l[1].cookie == UINT64_C(0x200000001));
	assert_true(l[1].only_v6);
	/* more than there is room for: counted */
	cnt = 0;
	assert_int_equal(mf_dev_netlink_read(mf_span_of(buf, len), l, &cnt, 1), 1);
	assert_int_equal(cnt, 2);
}

static void what_is_no_listener_is_passed_over(void **state)
{
	_Alignas(4) uint8_t buf[512];
	struct mf_dev_listener l[4];
	size_t len, cnt = 0;

	(void)state;
	len = put_listener(buf);
	buf[17] = TCP_ESTABLISHED;
	len += put_listener(buf + len);
	buf[len - sizeof(recorded) + 16] = AF_UNIX;
	len += put_listener(buf + len);
	buf[len - sizeof(recorded) + 4] = 99; /* a message of another kind */
	assert_int_equal(mf_dev_netlink_read(mf_span_of(buf, len), l, &cnt, 4), 0);
	assert_int_equal(cnt, 0);
	put_head(buf, 36, NLMSG_ERROR);
	assert_int_equal(mf_dev_netlink_read(mf_span_of(buf, 36), l, &cnt, 4), MF_E_IO);
}

static void an_ipv4_address_in_ipv6_is_ipv4(void **state)
{
	_Alignas(4) uint8_t buf[128];
	static const uint8_t mapped[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 };
	struct mf_dev_listener l;
	char text[MF_ENDPOINT_TEXT_MAX];
	size_t cnt = 0;

	(void)state;
	put_listener(buf);
	memcpy(buf + 24, mapped, 16);
	assert_int_equal(mf_dev_netlink_read(mf_span_of(buf, sizeof(recorded)), &l, &cnt, 1), 0);
	assert_string_equal(mf_endpoint_format(&l.at, text, sizeof(text)), "127.0.0.1:5173");
}

static void lengths_that_lie_are_refused(void **state)
{
	static const uint32_t lies[] = { 0, 1, 15, 81, 4096, 0x7fffffff, 0xffffffff };
	_Alignas(4) uint8_t buf[256];
	struct mf_dev_listener l[4];
	size_t cnt = 0;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(lies); i++) {
		put_listener(buf);
		memcpy(buf, &lies[i], 4);
		assert_int_equal(mf_dev_netlink_read(mf_span_of(buf, sizeof(recorded)), l, &cnt, 4),
				 MF_E_BAD);
	}
	/* every truncation, each in a block of its own so that reading past it is seen */
	for (size_t len = 1; len < sizeof(recorded); len++) {
		uint8_t *cut = malloc(len);

		put_listener(buf);
		memcpy(cut, buf, len);
		assert_int_equal(mf_dev_netlink_read(mf_span_of(cut, len), l, &cnt, 4), MF_E_BAD);
		free(cut);
	}
	assert_int_equal(cnt, 0);
	/* and of the message with its length mended: less than a listener is none */
	for (uint32_t len = 16; len <= sizeof(recorded); len++) {
		uint8_t *cut = malloc(len);

		put_listener(buf);
		memcpy(cut, buf, len);
		memcpy(cut, &len, 4);
		cnt = 0;
		assert_int_equal(mf_dev_netlink_read(mf_span_of(cut, len), l, &cnt, 4), 0);
		assert_int_equal(cnt, len >= 16 + sizeof(struct inet_diag_msg));
		free(cut);
	}
}

static void attributes_that_lie_end_the_search(void **state)
{
	_Alignas(4) uint8_t buf[256];
	struct mf_dev_listener l;

	(void)state;
	for (int len = 0; len < 256; len++) {
		size_t cnt = 0;

		put_listener(buf);
		buf[sizeof(recorded) - 8] = (uint8_t)len;
		assert_int_equal(
			mf_dev_netlink_read(mf_span_of(buf, sizeof(recorded)), &l, &cnt, 1), 0);
		assert_int_equal(l.only_v6, len >= 5 && len <= 8);
	}
}

/* The kernel's table has a listener of ours, with what /proc says of its owner. */
static void the_kernel_s_own_table(void **state)
{
	static const struct mf_endpoint any_port = { .addr = { .family = 4,
							       .bytes = { 127, 0, 0, 1 } } };
	static struct mf_dev_listener l[MF_DEV_LISTEN_MAX];
	struct mf_dev_facts f = { 0 };
	struct mf_dev_source source;
	struct mf_endpoint at;
	struct mf_err err;
	int fd, n;

	(void)state;
	assert_int_equal(mf_sock_start(), 0);
	if (mf_dev_source_open(&source, &err) < 0)
		skip(); /* a sandbox without netlink */
	fd = mf_sock_listen(&any_port, true, 1);
	assert_true(fd >= 0 && mf_sock_local(fd, &at));
	n = source.list(source.ctx, l, MF_DEV_LISTEN_MAX);
	assert_true(n > 0 && n <= MF_DEV_LISTEN_MAX);
	for (int i = 0; i < n; i++)
		if (memcmp(&l[i].at, &at, sizeof(at)) == 0) {
			f.inode = l[i].inode;
			f.uid = l[i].uid;
		}
	assert_true(f.inode != 0);
	source.look_up(&f, 1);
	assert_int_equal(f.pid, getpid());
	assert_string_equal(f.process, "test_dev_netlink_linux");
	assert_true(f.cwd[0] == '/');
	mf_sock_close(fd);
	source.close(source.ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recorded_listener_is_read),
		cmocka_unit_test(what_is_no_listener_is_passed_over),
		cmocka_unit_test(an_ipv4_address_in_ipv6_is_ipv4),
		cmocka_unit_test(lengths_that_lie_are_refused),
		cmocka_unit_test(attributes_that_lie_end_the_search),
		cmocka_unit_test(the_kernel_s_own_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
