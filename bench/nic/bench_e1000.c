/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_e1000.c - frames per second through the 82540EM, driver and host in the same process, on one core
 *
 *	bench_e1000 [--json] [--seconds N]
 *
 * As bench_virtio_net.c does it: frames of 1,500 bytes in bursts of 64 over rings of 256. Sending: the driver fills 64 legacy
 * descriptors, the last of which reports, writes TDT once, the host copies each frame into a buffer of its own, the driver reads
 * ICR and looks at the descriptor. Receiving: the host hands in 64 frames one by one, with checksums judged by the card (RXCSUM), the
 * driver looks at each descriptor and gives it back. Large frames: 64 KiB each in pieces of 4 KiB behind one context, cut by the card into segments
 * of 1,448 bytes with checksums; the host copies those. Rates are per second of processor time of the one thread, the driver's
 * work included; medians of several repetitions.
 */
#include <string.h>

#include "bench/bench.h"
#include "nic/e1000.h"
#include "nic/e1000_regs.h"

#define PROGRAM "bench_e1000"
#define BURST	64u
#define SLOTS	256u
#define LEN	1500u
#define ROOM	2048u
#define LARGE	65000u /* of payload */
#define LARGES	8u     /* of them a kick */
#define PIECE	4096u

#define TX_RING 0x1000u
#define RX_RING 0x3000u
#define BUFFERS 0x10000u
#define RAM	(BUFFERS + SLOTS * ROOM + 0x20000u)
#define BIG	(BUFFERS + SLOTS * ROOM)

static uint8_t sink[BURST][ROOM], frame[LEN];
static uint64_t frames, now;
static uint8_t *ram;
static struct mf_guest_memory memory;
static struct mf_nic *nic;
static uint32_t tx_tail, rx_next;

static bool sink_frame(void *ctx, const struct mf_span *parts, unsigned cnt, size_t len,
		       const struct mf_nic_offload *o)
{
	uint8_t *to = sink[frames++ % BURST];

	(void)ctx;
	(void)o;
	if (len > ROOM)
		bench_die(PROGRAM, "a frame came out longer than any");
	for (unsigned i = 0; i < cnt; i++) {
		memcpy(to, parts[i].ptr, parts[i].len);
		to += parts[i].len;
	}
	return true;
}

static void set_line(void *ctx, bool level)
{
	(void)ctx;
	(void)level;
}

static void reg_write(uint32_t off, uint32_t value)
{
	mf_nic_bar_write(nic, 0, off, value, 4, now);
}

static void open_card(void)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };
	const struct mf_nic_host host = { .memory = &memory,
					  .frame_out = sink_frame,
					  .set_line = set_line };
	struct mf_guest_region region = { .size = RAM };
	struct mf_e1000_options options;

	memcpy(options.mac, mac, sizeof(mac));
	region.ptr = ram = calloc(1, RAM);
	if (!ram || mf_guest_memory_set(&memory, &region, 1, NULL) ||
	    mf_e1000_new(&options, &host, &nic, NULL))
		bench_die(PROGRAM, "the card cannot be set up");
	mf_nic_config_write(nic, MF_PCI_COMMAND, 7, 2, now);
	tx_tail = rx_next = 0;
	reg_write(MF_E1000_TDBAL, TX_RING);
	reg_write(MF_E1000_TDLEN, SLOTS * 16);
	reg_write(MF_E1000_TCTL, TCTL_EN);
	reg_write(MF_E1000_RDBAL, RX_RING);
	reg_write(MF_E1000_RDLEN, SLOTS * 16);
	for (unsigned i = 0; i < SLOTS; i++)
		mf_store_le64(ram + RX_RING + 16 * i, BUFFERS + i * ROOM);
	reg_write(MF_E1000_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL);
	reg_write(MF_E1000_RCTL, RCTL_EN | RCTL_BAM);
	reg_write(MF_E1000_RDT, SLOTS - 1);
	reg_write(MF_E1000_IMS, ICR_TXDW | ICR_RXT0);
	// A TCP packet, wrong in its checksums: that costs the same.
	memcpy(frame, mac, sizeof(mac));
	mf_store_be16(frame + 12, 0x0800);
	frame[14] = 0x45;
	mf_store_be16(frame + 16, LEN - 14);
	frame[23] = 6;
	frame[46] = 0x50;
}

static void close_card(void)
{
	mf_nic_free(nic);
	free(ram);
}

static uint8_t *descriptor(uint64_t gpa, uint32_t low, uint8_t cmd)
{
	uint8_t *p = ram + TX_RING + 16 * tx_tail;

	mf_store_le64(p, gpa);
	mf_store_le32(p + 8, low | (uint32_t)cmd << 24);
	mf_store_le32(p + 12, 0);
	tx_tail = (tx_tail + 1) % SLOTS;
	return p;
}

static void kick_and_reap(const uint8_t *last)
{
	reg_write(MF_E1000_TDT, tx_tail);
	(void)mf_nic_bar_read(nic, 0, MF_E1000_ICR, 4, now);
	while (!(last[12] & TXD_DD)) {
		if (mf_nic_deadline(nic) > now)
			bench_die(PROGRAM, "a packet was not sent");
		mf_nic_tick(nic, now);
	}
}

static void send_burst(void)
{
	const uint8_t *last = NULL;

	for (unsigned i = 0; i < BURST; i++)
		last = descriptor(BUFFERS + tx_tail * ROOM, LEN,
				  TXD_EOP | TXD_IFCS | (i + 1 == BURST ? TXD_RS : 0));
	kick_and_reap(last);
}

static void receive_burst(void)
{
	const struct mf_span part = mf_span_of(frame, LEN);

	for (unsigned i = 0; i < BURST; i++)
		if (mf_nic_receive(nic, &part, 1, LEN, NULL, now) != MF_NIC_TAKEN)
			bench_die(PROGRAM, "a frame was not received");
	(void)mf_nic_bar_read(nic, 0, MF_E1000_ICR, 4, now);
	for (unsigned i = 0; i < BURST; i++) {
		uint8_t *p = ram + RX_RING + 16 * rx_next;

		if (!(p[12] & RXD_EOP) || mf_load_le16(p + 8) != LEN + 4)
			bench_die(PROGRAM, "a frame is not in memory");
		p[12] = 0;
		rx_next = (rx_next + 1) % SLOTS;
	}
	reg_write(MF_E1000_RDT, (rx_next + SLOTS - 1) % SLOTS);
}

static void make_large(void)
{
	memcpy(ram + BIG, frame, 54);
	mf_store_be16(ram + BIG + 16, 0);
}

static void send_large(void)
{
	const uint8_t *last = NULL;

	for (unsigned i = 0; i < LARGES; i++) {
		uint32_t left = 54 + LARGE, off = 0;
		uint8_t *p = descriptor(0, LARGE, TXD_DEXT | TXD_TSE | TUCMD_TCP | TUCMD_IP);

		p[0] = 14;
		p[1] = 24;
		p[4] = 34;
		p[5] = 50;
		p[13] = 54;
		mf_store_le16(p + 14, 1448);
		for (; left; off += PIECE) {
			uint32_t n = left < PIECE ? left : PIECE;
			uint8_t cmd = TXD_DEXT | TXD_TSE | TXD_IFCS;

			left -= n;
			last = p = descriptor(BIG + off, n | 1u << 20,
					      cmd | (left ? 0 : TXD_EOP | TXD_RS));
			p[13] = POPTS_IXSM | POPTS_TXSM;
		}
	}
	kick_and_reap(last);
}

int main(int argc, char **argv)
{
	struct bench_report r = { .name_width = 12, .value_width = 8, .decimals = 2 };
	double seconds = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			r.json = true;
		else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			seconds = atof(argv[++i]);
		else
			bench_die(PROGRAM, "usage: bench_e1000 [--json] [--seconds N]");
	}
	bench_begin(&r);
	open_card();
	bench_row(&r, "e1000_tx", bench_rate(send_burst, seconds) * BURST / 1e6, "M frames/s",
		  "sent");
	bench_row(&r, "e1000_rx", bench_rate(receive_burst, seconds) * BURST / 1e6, "M frames/s",
		  "received, checksums judged");
	make_large();
	bench_row(&r, "e1000_tso", bench_rate(send_large, seconds) * LARGES * LARGE * 8 / 1e9,
		  "Gbit/s", "64 KiB frames, cut into segments with checksums");
	if (nic->counts[MF_NIC_BAD_OFFLOAD] || nic->counts[MF_NIC_BAD_DESCRIPTOR])
		bench_die(PROGRAM, "a packet was refused");
	close_card();
	bench_end(&r);
	return 0;
}
