/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_virtio_net.c - frames per second through the virtio card, driver and host in the same process, on one core
 *
 *	bench_virtio_net [--json] [--seconds N]
 *
 * Frames of 1,500 bytes in bursts of 64 over rings of 256 with EVENT_IDX and MRG_RXBUF. Sending: the driver fills 64 slots, kicks
 * once, the host copies each frame into a buffer of its own, the driver takes the used buffers back. Receiving: the host hands
 * in 64 frames one by one, the driver takes the buffers and gives them again. Large frames: 64 KiB each, cut by the card into
 * segments of 1,448 bytes with checksums; the host copies those. Rates are per second of processor time of the one thread, the
 * driver's work included; medians of several repetitions.
 */
#include <string.h>

#include "bench/bench.h"
#include "tests/unit/nic/virtio_driver.h"

#define PROGRAM "bench_virtio_net"
#define BURST	64u
#define SLOTS	256u
#define LEN	1500u
#define ROOM	2048u
#define LARGE	65000u /* of payload */
#define LARGES	8u     /* of them a kick */
#define FEATURES                                                                           \
	(MF_VIRTIO_BIT(MF_VIRTIO_F_VERSION_1) | MF_VIRTIO_BIT(MF_VIRTIO_F_EVENT_IDX) |     \
	 MF_VIRTIO_BIT(MF_VIRTIO_F_INDIRECT_DESC) | MF_VIRTIO_BIT(15) | MF_VIRTIO_BIT(0) | \
	 MF_VIRTIO_BIT(11))

static struct driver d;
static uint8_t sink[BURST][ROOM], frame[LEN];
static uint64_t bufs[SLOTS], large;
static unsigned at;

static bool sink_frame(void *ctx, const struct mf_span *parts, unsigned cnt, size_t len,
		       const struct mf_nic_offload *o)
{
	uint8_t *to = sink[d.frames++ % BURST];

	(void)ctx;
	(void)o;
	if (len > ROOM)
		bench_die(PROGRAM, "a frame came out longer than any");
	for (unsigned i = 0; i < cnt; i++) {
		memcpy(to, parts[i].ptr, parts[i].len);
		to += parts[i].len;
	}
	d.bytes += len;
	return true;
}

static void open_card(bool packed)
{
	const struct mf_virtio_net_options opt = { .mac = { 0x52 }, .packed = packed };
	uint64_t features = FEATURES | (packed ? MF_VIRTIO_BIT(MF_VIRTIO_F_RING_PACKED) : 0);

	if (driver_open(&d, &opt, true, 0) || !driver_negotiate(&d, features))
		bench_die(PROGRAM, "the card cannot be set up");
	driver_msix(&d, 3);
	d.nic->host.frame_out = sink_frame;
	driver_add_ring(&d, 0, SLOTS);
	driver_add_ring(&d, 1, SLOTS);
	driver_ok(&d);
	for (unsigned i = 0; i < SLOTS; i++)
		bufs[i] = driver_alloc(&d, ROOM, 64);
	at = 0;
}

static void reap(unsigned queue, unsigned cnt)
{
	uint32_t len;
	uint16_t id;

	driver_want_event(&d, queue, (uint16_t)(2 * cnt - 1));
	while (cnt--)
		if (!driver_used(&d, queue, &id, &len))
			bench_die(PROGRAM, "a buffer did not come back");
}

static void send_burst(void)
{
	for (unsigned i = 0; i < BURST; i++) {
		const struct driver_buf b = { bufs[at++ % SLOTS], 12 + LEN };

		driver_add(&d, 1, &b, 1, 0, false);
	}
	driver_kick(&d, 1);
	reap(1, BURST);
}

static void give_buffers(unsigned cnt)
{
	while (cnt--) {
		const struct driver_buf b = { bufs[at++ % SLOTS], ROOM };

		driver_add(&d, 0, &b, 0, 1, false);
	}
}

static void receive_burst(void)
{
	for (unsigned i = 0; i < BURST; i++)
		if (driver_receive(&d, frame, LEN) != MF_NIC_TAKEN)
			bench_die(PROGRAM, "a frame was not received");
	reap(0, BURST);
	give_buffers(BURST);
}

static void make_large(void)
{
	uint8_t *p;

	large = driver_alloc(&d, 12 + 54 + LARGE, 64);
	p = driver_at(&d, large);
	p[0] = p[1] = 1;
	mf_store_le16(p + 4, 1448);
	mf_store_le16(p + 6, 34);
	mf_store_le16(p + 8, 16);
	p += 12;
	mf_store_be16(p + 12, 0x0800);
	mf_store_be16(p + 14, 0x4500);
	mf_store_be16(p + 16, (uint16_t)(40 + LARGE));
	p[22] = 64;
	p[23] = 6;
	p[46] = 0x50;
}

static void send_large(void)
{
	const struct driver_buf b = { large, 12 + 54 + LARGE };

	for (unsigned i = 0; i < LARGES; i++)
		driver_add(&d, 1, &b, 1, 0, false);
	driver_kick(&d, 1);
	reap(1, LARGES);
}

int main(int argc, char **argv)
{
	struct bench_report r = { .name_width = 20, .value_width = 8, .decimals = 2 };
	double seconds = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			r.json = true;
		else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			seconds = atof(argv[++i]);
		else
			bench_die(PROGRAM, "usage: bench_virtio_net [--json] [--seconds N]");
	}
	bench_begin(&r);
	for (int packed = 0; packed < 2; packed++) {
		open_card(packed);
		bench_row(&r, packed ? "virtio_packed_tx" : "virtio_tx",
			  bench_rate(send_burst, seconds) * BURST / 1e6, "M frames/s",
			  packed ? "sent, packed ring" : "sent, split ring");
		driver_close(&d);
		open_card(packed);
		give_buffers(SLOTS);
		bench_row(&r, packed ? "virtio_packed_rx" : "virtio_rx",
			  bench_rate(receive_burst, seconds) * BURST / 1e6, "M frames/s",
			  packed ? "received, packed ring" : "received, split ring");
		driver_close(&d);
	}
	open_card(false);
	make_large();
	bench_row(&r, "virtio_tso", bench_rate(send_large, seconds) * LARGES * LARGE * 8 / 1e9,
		  "Gbit/s", "64 KiB frames, cut into segments with checksums");
	if (d.nic->counts[MF_NIC_BAD_OFFLOAD])
		bench_die(PROGRAM, "a large frame was refused");
	driver_close(&d);
	bench_end(&r);
	return 0;
}
