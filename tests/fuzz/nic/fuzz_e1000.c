/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_e1000.c - an 82540EM whose driver, guest memory, frames, clock and snapshots are the input's
 */
#include "nic/e1000.h"
#include "nic/e1000_regs.h"
#include "tests/fuzz/nic/card.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RING	 16u /* descriptors, where set_up() made it */
#define RX_AT	 0x1000u
#define CALL_MAX (32u * 2048u) /* frames in one call: 1 MiB and a packet, cut into segments */

static uint32_t tx_tail; /* of this input */

static void write_register(struct world *w, uint32_t off, uint32_t value)
{
	mf_nic_bar_write(w->nic, 0, off, value, 4, w->now);
}

/* Two rings and all switched on, so that inputs need not find the way. */
static void set_up(struct world *w)
{
	uint32_t rctl = next32(w);

	write_register(w, MF_E1000_TDBAL, 0);
	write_register(w, MF_E1000_TDBAH, 0);
	write_register(w, MF_E1000_TDLEN, RING * 16);
	write_register(w, MF_E1000_TDH, 0);
	write_register(w, MF_E1000_TDT, 0);
	tx_tail = 0;
	write_register(w, MF_E1000_TCTL, TCTL_EN);
	write_register(w, MF_E1000_RDBAL, RX_AT);
	write_register(w, MF_E1000_RDBAH, 0);
	write_register(w, MF_E1000_RDLEN, RING * 16);
	write_register(w, MF_E1000_RDH, 0);
	for (unsigned i = 0; i < RING; i++)
		mf_store_le64(w->ram + RX_AT + 16 * i, 0x2000 + 0x400 * i);
	write_register(w, MF_E1000_RCTL, rctl | RCTL_EN | RCTL_UPE);
	write_register(w, MF_E1000_RDT, RING - 1);
	write_register(w, MF_E1000_IMS, ICR_ALL);
	write_register(w, MF_E1000_CTRL, rctl & 1 ? CTRL_VME : 0);
	write_register(w, MF_E1000_RXCSUM, rctl >> 24 | 0x300);
}

/* Headers of a TCP packet where buffers are, so that segmentation has something to cut. */
static void write_packet(struct world *w)
{
	uint32_t at = next16(w) % (RAM - 128);
	bool six = next8(w) & 1;
	uint8_t *p = w->ram + at;

	memset(p, 0, 74);
	mf_store_be16(p + 12, six ? 0x86dd : 0x0800);
	p[14] = six ? 0x60 : 0x45;
	p[six ? 20 : 23] = 6;
	p[(six ? 54 : 34) + 12] = 0x50;
}

static void add_descriptor(struct world *w)
{
	uint8_t *p = w->ram + 16 * (tx_tail % RING), kind = next8(w);

	memset(p, 0, 16);
	if ((kind & 3) == 0) { // a context, nearly right
		bool six = kind & 4;
		uint8_t l4 = six ? 54 : 34;

		p[0] = 14;
		p[1] = 24;
		p[4] = l4;
		p[5] = (uint8_t)(l4 + 16);
		p[11] = TXD_DEXT | TUCMD_TCP | (six ? 0 : TUCMD_IP) | (kind & 8 ? TXD_TSE : 0);
		p[13] = (uint8_t)(l4 + 20);
		mf_store_le16(p + 14, next16(w));
		if (kind & 0x80)
			p[next8(w) & 15] = next8(w);
	} else {
		mf_store_le64(p, next16(w) + (kind & 0x40 ? RAM - 64 : 0));
		mf_store_le16(p + 8, next16(w));
		p[10] = (kind & 3) == 1 ? 0x10 : next8(w);
		p[11] = (uint8_t)(next8(w) | ((kind & 3) == 1 ? TXD_DEXT : 0));
		p[13] = next8(w);
		mf_store_le16(p + 14, next8(w));
	}
	tx_tail++;
	if (kind & 0x20)
		write_register(w, MF_E1000_TDT, tx_tail % RING);
}

static void receive(struct world *w)
{
	static uint8_t frame[65536];
	size_t len = next16(w);
	uint8_t how = next8(w);
	struct mf_nic_offload o = { .csum = how & 3 };

	if (!(how & 0x10))
		len &= 0x7ff;
	for (unsigned i = 0; i < 40; i++)
		frame[i] = how & 0x20 ? next8(w) : 0xff;
	if (how & 8) {
		mf_store_be16(frame + 12, how & 4 ? 0x8100 : 0x0800);
		frame[how & 4 ? 18 : 14] = 0x45;
	}
	give(w, frame, len, how, &o);
}

static void operate(struct world *w, uint8_t op)
{
	static const uint8_t sizes[] = { 1, 2, 4, 8 };
	unsigned size = sizes[op >> 6];
	uint32_t off;

	switch (op & 15) {
	case 0:
		off = next16(w) & ~(size - 1);
		mf_nic_bar_write(w->nic, 0, off, next32(w), size, w->now);
		break;
	case 1:
		off = next16(w) & ~(size - 1);
		w->sum += mf_nic_bar_read(w->nic, 0, off, size, w->now);
		break;
	case 2:
		off = next8(w) & 7u & ~(size - 1);
		mf_nic_bar_write(w->nic, 1, off, next32(w), size, w->now);
		w->sum += mf_nic_bar_read(w->nic, 1, off, size, w->now);
		break;
	case 3:
		off = next8(w);
		mf_nic_config_write(w->nic, off, next32(w), size, w->now);
		w->sum += mf_nic_config_read(w->nic, off, size, w->now);
		break;
	case 4:
		write_memory(w);
		break;
	case 5:
		receive(w);
		break;
	case 6:
		w->now += next16(w) * UINT64_C(1000);
		mf_nic_tick(w->nic, w->now);
		break;
	case 7:
		write_register(w, MF_E1000_TDT, next8(w));
		break;
	case 8:
		mf_nic_set_link(w->nic, next8(w) & 1, w->now);
		break;
	case 9:
		mf_nic_hold(w->nic, next8(w) & 1);
		break;
	case 10:
		save(w);
		break;
	case 11:
		restore(w);
		break;
	case 12:
		set_up(w);
		break;
	case 13:
		add_descriptor(w);
		break;
	case 14:
		write_packet(w);
		break;
	default:
		mf_nic_config_write(w->nic, MF_PCI_COMMAND, 7, 2, w->now);
		write_register(w, MF_E1000_RDT, next8(w) % RING);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mf_e1000_options options = { .mac = { 0x52, 0x54, 0, 1, 2, 3 } };
	struct mf_nic_host host;
	struct world *w = begin_world(data, size, &host);

	tx_tail = 0;
	host.frame_out_can = next8(w) & 7;
	MF_MUST(mf_e1000_new(&options, &host, &w->nic, NULL) == 0);
	play(w, operate, CALL_MAX);
	end_world(w);
	return 0;
}
