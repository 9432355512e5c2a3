/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tun_linux.c - see tun_linux.h
 *
 * How it works. A batch is read packet by packet into one arena, each with its header right before it, until the device
 * has no more, the batch is full, or BATCH_BYTES are reached: what was read is written again a moment later and should
 * still lie in the processor's cache then, so a batch of large packets is one or two of them. A packet that stands in the
 * arena is given back by one write() of header and packet; any other by writev().
 *
 * Where packets come one at a time (request, response), to look for a second one is a system call for nothing, right before
 * the first one goes on. So after ALONE_MIN batches of one packet only each eighth batch looks.
 *
 * The header stays the backend's own business (struct mf_packet.own). It goes back as it came, but for the one who
 * receives it: that a checksum is complete is told as DATA_VALID only if the device told us so.
 */
#include "capture/tun_linux.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define HEADER_LEN  sizeof(struct virtio_net_hdr)
#define PACKET_ROOM (MF_PACKET_LEN_MAX + HEADER_LEN)
#define BATCH_BYTES (128u << 10)
#define ALONE_MIN   4u
#define ALONE_LOOK  8u
#define ALIGN	    64u
#define ARENA_LEN   (BATCH_BYTES + MF_BACKEND_BATCH_MAX * ALIGN + PACKET_ROOM + 2 * ALIGN)

_Static_assert(HEADER_LEN == 10, "the kernel's default, which TUNSETVNETHDRSZ would change");
_Static_assert(HEADER_LEN <= MF_PACKET_OWN_MAX, "a header is kept with its packet");

struct mf_tun {
	int fd;
	bool drained;	/* the last batch did not end at a limit */
	unsigned alone; /* batches of one packet, in a row */
	struct mf_tun_stats stats;
	uint8_t *arena; /* ARENA_LEN bytes, aligned */
};

/* ---------------------------------------------------------------------------------------------------------------- */
/* Reading                                                                                                          */

/* Return: false for a header that does not fit its packet */
static bool take_header(const struct virtio_net_hdr *h, struct mf_packet *p)
{
	unsigned gso = h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

	p->csum = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? MF_CSUM_PARTIAL : MF_CSUM_FULL;
	if (p->csum == MF_CSUM_PARTIAL && (uint32_t)h->csum_start + h->csum_offset + 2 > p->len)
		return false;
	p->segment_len = 0;
	if (gso == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	p->segment_len = h->gso_size;
	return h->gso_size > 0 &&
	       (gso == VIRTIO_NET_HDR_GSO_TCPV4 || gso == VIRTIO_NET_HDR_GSO_TCPV6 ||
		gso == VIRTIO_NET_HDR_GSO_UDP_L4);
}

static int read_failed(int e)
{
	if (e == EAGAIN || e == EINTR)
		return 0;
	/* The device is gone, or its descriptor was closed. */
	return e == EBADFD || e == EBADF || e == ENODEV ? MF_E_CLOSED : MF_E_IO;
}

static bool is_alone(const struct mf_tun *t)
{
	return t->alone >= ALONE_MIN && t->alone % ALONE_LOOK;
}

static int tun_receive(void *ctx, struct mf_packet *packets, unsigned max)
{
	struct mf_tun *t = ctx;
	uint8_t *at = t->arena + ALIGN - HEADER_LEN; /* so that packets are aligned */
	unsigned cnt = 0;
	size_t bytes = 0;

	if (max > MF_BACKEND_BATCH_MAX)
		max = MF_BACKEND_BATCH_MAX;
	t->drained = false;
	while (cnt < max && bytes < BATCH_BYTES) {
		struct mf_packet *p = &packets[cnt];
		ssize_t n;

		if (cnt == 1 && is_alone(t)) {
			t->drained = true;
			break;
		}
		n = read(t->fd, at, PACKET_ROOM);
		if (n < 0) {
			t->drained = true;
			if (!cnt)
				return read_failed(errno);
			break;
		}
		if (n <= (ssize_t)HEADER_LEN) {
			t->stats.bad_header++;
			continue;
		}
		memset(p, 0, offsetof(struct mf_packet, own));
		memcpy(p->own, at, HEADER_LEN);
		p->ptr = at + HEADER_LEN;
		p->len = (uint32_t)n - HEADER_LEN;
		p->flags = MF_PACKET_OUTBOUND;
		if (!take_header((const struct virtio_net_hdr *)(const void *)p->own, p)) {
			t->stats.bad_header++;
			continue;
		}
		t->stats.large += p->segment_len > 0;
		t->stats.received_bytes += p->len;
		bytes += p->len;
		at += ((size_t)n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
		cnt++;
	}
	t->stats.received += cnt;
	if (cnt)
		t->alone = cnt == 1 ? t->alone + 1 : 0;
	return (int)cnt;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Writing                                                                                                          */

static bool in_arena(const struct mf_tun *t, const uint8_t *ptr)
{
	return ptr >= t->arena + HEADER_LEN && ptr < t->arena + ARENA_LEN;
}

static void make_header(const struct mf_packet *p, struct virtio_net_hdr *h)
{
	memset(h, 0, sizeof(*h));
	/* What the pipeline made is whole and has its checksums. */
	if (!(p->flags & MF_PACKET_BUILT))
		memcpy(h, p->own, sizeof(*h));
	/* Somebody computed what was left open. */
	if (p->csum == MF_CSUM_FULL)
		h->flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

static int write_failed(int e)
{
	switch (e) {
	case EAGAIN:
	case EINTR:
	case ENOBUFS:
	case ENOMEM:
		return MF_E_AGAIN;
	case EINVAL:
		return MF_E_INVAL;
	case EBADFD:
	case EBADF:
	case ENODEV:
		return MF_E_CLOSED;
	default:
		return MF_E_IO;
	}
}

static int send_one(struct mf_tun *t, const struct mf_packet *p)
{
	struct virtio_net_hdr h;
	ssize_t n;

	make_header(p, &h);
	if (in_arena(t, p->ptr)) {
		memcpy(p->ptr - HEADER_LEN, &h, HEADER_LEN);
		n = write(t->fd, p->ptr - HEADER_LEN, HEADER_LEN + p->len);
	} else {
		struct iovec iov[2] = { { &h, HEADER_LEN }, { p->ptr, p->len } };

		n = writev(t->fd, iov, 2);
	}
	return n < 0 ? write_failed(errno) : 0;
}

static int tun_send(void *ctx, struct mf_packet *const *packets, unsigned cnt)
{
	struct mf_tun *t = ctx;

	for (unsigned i = 0; i < cnt; i++) {
		int r = send_one(t, packets[i]);

		if (r < 0) {
			t->stats.busy += r == MF_E_AGAIN;
			return i ? (int)i : r;
		}
		t->stats.sent++;
		t->stats.sent_bytes += packets[i]->len;
	}
	return (int)cnt;
}

/* ---------------------------------------------------------------------------------------------------------------- */

int mf_tun_new(int fd, struct mf_tun **ret, struct mf_err *err)
{
	struct mf_tun *t = calloc(1, sizeof(*t));

	if (t)
		t->arena = aligned_alloc(ALIGN, (ARENA_LEN + ALIGN - 1) & ~(size_t)(ALIGN - 1));
	if (!t || !t->arena) {
		free(t);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	t->fd = fd;
	*ret = t;
	return 0;
}

void mf_tun_get_backend(struct mf_tun *tun, struct mf_backend *ret)
{
	*ret = (struct mf_backend){ .name = "tun",
				    .caps = MF_BACKEND_TAKES_PARTIAL | MF_BACKEND_TAKES_LARGE,
				    .ctx = tun,
				    .receive = tun_receive,
				    .send = tun_send };
}

bool mf_tun_is_drained(const struct mf_tun *tun)
{
	return tun->drained;
}

void mf_tun_get_stats(const struct mf_tun *tun, struct mf_tun_stats *ret)
{
	*ret = tun->stats;
}

void mf_tun_free(struct mf_tun *tun)
{
	if (!tun)
		return;
	free(tun->arena);
	free(tun);
}
