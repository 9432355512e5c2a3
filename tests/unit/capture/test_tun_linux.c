/* SPDX-License-Identifier: Apache-2.0 */
/* test_tun_linux.c - capture/tun_linux: headers and batches, over a socket pair that keeps datagrams apart as a device does */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/tun_linux.h"
#include "tests/unit/test.h"

struct fixture {
	int device, other; /* ours, and the kernel's side */
	struct mf_tun *tun;
	struct mf_backend backend;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int s[2], big = 1 << 20;
	struct mf_err err;

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s), 0);
	f->device = s[0];
	f->other = s[1];
	(void)setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	(void)setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	assert_int_equal(mf_tun_new(f->device, &f->tun, &err), 0);
	mf_tun_get_backend(f->tun, &f->backend);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	mf_tun_free(f->tun);
	close(f->device);
	close(f->other);
	free(f);
	return 0;
}

static void give(struct fixture *f, struct virtio_net_hdr h, size_t len, uint8_t fill)
{
	static uint8_t buf[1 << 17];

	memcpy(buf, &h, sizeof(h));
	memset(buf + sizeof(h), fill, len);
	assert_int_equal(send(f->other, buf, sizeof(h) + len, 0), sizeof(h) + len);
}

static ssize_t take(struct fixture *f, struct virtio_net_hdr *h, uint8_t *packet, size_t room)
{
	static uint8_t buf[1 << 17];
	ssize_t n = recv(f->other, buf, sizeof(buf), 0);

	if (n < (ssize_t)sizeof(*h))
		return -1;
	memcpy(h, buf, sizeof(*h));
	n -= (ssize_t)sizeof(*h);
	assert_true((size_t)n <= room);
	memcpy(packet, buf + sizeof(*h), (size_t)n);
	return n;
}

static void test_headers_become_what_the_pipeline_wants(void **state)
{
	static const struct {
		struct virtio_net_hdr h;
		int csum, segment; /* -1: dropped */
	} t[] = {
		{ { 0 }, MF_CSUM_FULL, 0 },
		{ { .flags = VIRTIO_NET_HDR_F_DATA_VALID }, MF_CSUM_FULL, 0 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 16 },
		  MF_CSUM_PARTIAL,
		  0 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		    .gso_size = 1448,
		    .csum_start = 20,
		    .csum_offset = 16 },
		  MF_CSUM_PARTIAL,
		  1448 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN,
		    .gso_size = 1428,
		    .csum_start = 40,
		    .csum_offset = 16 },
		  MF_CSUM_PARTIAL,
		  1428 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = 5 /* UDP_L4 */,
		    .gso_size = 1200,
		    .csum_start = 20,
		    .csum_offset = 6 },
		  MF_CSUM_PARTIAL,
		  1200 },
		/* past the end, segments of nothing, a kind that we never asked for */
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 2999, .csum_offset = 16 },
		  -1,
		  0 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .csum_start = 65535,
		    .csum_offset = 65535 },
		  -1,
		  0 },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0 }, -1, 0 },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1000 }, -1, 0 },
	};
	struct fixture *f = *state;
	struct mf_tun_stats stats;
	uint64_t bad = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(t); i++) {
		struct mf_packet p[2];
		int n;

		give(f, t[i].h, 3000, 0x5a);
		n = f->backend.receive(f->backend.ctx, p, 2);
		bad += t[i].csum < 0;
		assert_int_equal(n, t[i].csum >= 0);
		if (t[i].csum < 0)
			continue;
		assert_int_equal(p[0].len, 3000);
		assert_int_equal(p[0].csum, t[i].csum);
		assert_int_equal(p[0].segment_len, t[i].segment);
		assert_int_equal(p[0].ptr[0], 0x5a);
		assert_int_equal(p[0].ptr[2999], 0x5a);
		assert_int_equal((uintptr_t)p[0].ptr % 4, 0);
		assert_true(p[0].flags & MF_PACKET_OUTBOUND);
	}
	mf_tun_get_stats(f->tun, &stats);
	assert_int_equal(stats.bad_header, bad);
	assert_int_equal(stats.large, 3);
}

static void test_nothing_there_is_not_a_failure_and_too_short_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct mf_packet p;

	assert_int_equal(f->backend.receive(f->backend.ctx, &p, 1), 0);
	assert_true(mf_tun_is_drained(f->tun));
	assert_int_equal(send(f->other, "short", 5, 0), 5);
	give(f, (struct virtio_net_hdr){ 0 }, 0, 0);
	assert_int_equal(f->backend.receive(f->backend.ctx, &p, 1), 0);
}

static void test_a_batch_ends_by_number_and_by_bytes(void **state)
{
	struct fixture *f = *state;
	struct mf_packet p[MF_BACKEND_BATCH_MAX];
	int n;

	/* A socket pair queues few datagrams; three batches of what it takes. */
	for (uint8_t i = 0; i < 8; i++)
		give(f, (struct virtio_net_hdr){ 0 }, 100, i);
	assert_int_equal(f->backend.receive(f->backend.ctx, p, 3), 3);
	assert_false(mf_tun_is_drained(f->tun));
	assert_int_equal(f->backend.receive(f->backend.ctx, p, MF_BACKEND_BATCH_MAX), 5);
	assert_true(mf_tun_is_drained(f->tun));
	for (int i = 0; i < 5; i++)
		assert_int_equal(p[i].ptr[99], 3 + i);
	for (uint8_t i = 0; i < 3; i++)
		give(f, (struct virtio_net_hdr){ 0 }, 65535, i);
	n = f->backend.receive(f->backend.ctx, p, MF_BACKEND_BATCH_MAX);
	assert_int_equal(n, 3); /* 128 KiB are exceeded by the third; nobody looked for a fourth */
	assert_false(mf_tun_is_drained(f->tun));
	for (int i = 0; i < n; i++)
		assert_int_equal(p[i].ptr[65534], i);
}

static void test_who_comes_alone_is_not_kept_waiting(void **state)
{
	struct fixture *f = *state;
	struct mf_packet p[MF_BACKEND_BATCH_MAX];
	unsigned looked = 0;

	/* One at a time: after a few the second packet is left for the next batch, but for each eighth time. */
	for (int i = 0; i < 4; i++) {
		give(f, (struct virtio_net_hdr){ 0 }, 100, 0);
		assert_int_equal(f->backend.receive(f->backend.ctx, p, MF_BACKEND_BATCH_MAX), 1);
	}
	for (uint8_t i = 0; i < 3; i++)
		give(f, (struct virtio_net_hdr){ 0 }, 100, i);
	assert_int_equal(f->backend.receive(f->backend.ctx, p, MF_BACKEND_BATCH_MAX), 1);
	assert_true(mf_tun_is_drained(f->tun));
	assert_int_equal(p[0].ptr[99], 0);
	/* Where more come they are found, and from then on at once. */
	for (uint8_t i = 1; !looked && i < 16; i++) {
		int n = f->backend.receive(f->backend.ctx, p, MF_BACKEND_BATCH_MAX);

		assert_in_range(n, 1, 3);
		assert_int_equal(p[0].ptr[99], i);
		looked = n > 1;
		give(f, (struct virtio_net_hdr){ 0 }, 100, (uint8_t)(i + 2));
	}
	assert_int_equal(looked, 1);
	give(f, (struct virtio_net_hdr){ 0 }, 100, 0);
	assert_int_equal(f->backend.receive(f->backend.ctx, p, MF_BACKEND_BATCH_MAX), 2);
}

static void test_what_was_received_goes_back_with_its_header(void **state)
{
	const struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					  .gso_size = 1448,
					  .hdr_len = 52,
					  .csum_start = 20,
					  .csum_offset = 16 };
	struct fixture *f = *state;
	struct mf_packet p[2], *out[2] = { &p[0], &p[1] }, held;
	struct virtio_net_hdr back;
	uint8_t buf[4096], *copy;

	give(f, h, 3000, 1);
	give(f, h, 3000, 2);
	assert_int_equal(f->backend.receive(f->backend.ctx, p, 2), 2);
	p[0].ptr[0] = 0x77;
	assert_int_equal(f->backend.send(f->backend.ctx, out, 2), 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(take(f, &back, buf, sizeof(buf)), 3000);
		assert_memory_equal(&back, &h, sizeof(h));
		assert_int_equal(buf[0], i ? 2 : 0x77);
		assert_int_equal(buf[1], 1 + i);
	}
	/* Held in other memory, with a checksum that somebody completed. */
	copy = malloc(p[0].len);
	memcpy(copy, p[0].ptr, p[0].len);
	held = p[0];
	held.ptr = copy;
	held.csum = MF_CSUM_FULL;
	out[0] = &held;
	assert_int_equal(f->backend.send(f->backend.ctx, out, 1), 1);
	assert_int_equal(take(f, &back, buf, sizeof(buf)), 3000);
	assert_int_equal(back.flags, 0);
	assert_int_equal(back.gso_size, 1448);
	/* Built by the pipeline: no header of anybody's. */
	held.flags |= MF_PACKET_BUILT;
	held.len = 40;
	assert_int_equal(f->backend.send(f->backend.ctx, out, 1), 1);
	assert_int_equal(take(f, &back, buf, sizeof(buf)), 40);
	assert_memory_equal(&back, &(struct virtio_net_hdr){ 0 }, sizeof(back));
	free(copy);
}

static void test_a_device_without_room_says_how_many_it_took(void **state)
{
	static uint8_t data[60000];
	struct fixture *f = *state;
	struct mf_packet p = { .ptr = data, .len = sizeof(data), .flags = MF_PACKET_BUILT };
	struct mf_packet *out[MF_BACKEND_BATCH_MAX];
	struct mf_tun_stats stats;
	int n;

	for (size_t i = 0; i < MF_BACKEND_BATCH_MAX; i++)
		out[i] = &p;
	n = f->backend.send(f->backend.ctx, out, MF_BACKEND_BATCH_MAX);
	assert_in_range(n, 1, MF_BACKEND_BATCH_MAX - 1);
	assert_int_equal(f->backend.send(f->backend.ctx, out, 1), MF_E_AGAIN);
	mf_tun_get_stats(f->tun, &stats);
	assert_int_equal(stats.busy, 2);
	assert_int_equal(stats.sent, n);
}

static void test_a_closed_descriptor_is_the_end(void **state)
{
	struct fixture *f = *state;
	struct mf_packet p;
	struct mf_tun *tun;
	struct mf_backend b;
	struct mf_err err;

	/* A number that nobody has open. */
	assert_int_equal(mf_tun_new(fcntl(f->device, F_DUPFD, 700), &tun, &err), 0);
	mf_tun_get_backend(tun, &b);
	assert_int_equal(b.receive(b.ctx, &p, 1), 0);
	close(700);
	assert_int_equal(b.receive(b.ctx, &p, 1), MF_E_CLOSED);
	mf_tun_free(tun);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_headers_become_what_the_pipeline_wants, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			test_nothing_there_is_not_a_failure_and_too_short_is_dropped, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(test_a_batch_ends_by_number_and_by_bytes, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_who_comes_alone_is_not_kept_waiting, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_what_was_received_goes_back_with_its_header,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_device_without_room_says_how_many_it_took,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_closed_descriptor_is_the_end, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
