/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_virtio_net.c - a virtio card whose driver, guest memory, frames, clock and snapshots are the input's
 */
#include "nic/virtio.h"
#include "nic/virtio_net.h"
#include "tests/fuzz/nic/card.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send_message(void *ctx, uint64_t address, uint32_t data)
{
	((struct world *)ctx)->sum += address + data;
}

static void write_bar(struct world *w, unsigned off, unsigned size, uint64_t value)
{
	mf_nic_bar_write(w->nic, MF_VIRTIO_BAR_MODERN, off, value, size, w->now);
}

/* All that a driver does until DRIVER_OK, so that inputs need not find the way. */
static void set_up(struct world *w)
{
	uint64_t offered = mf_virtio_of(w->nic)->offered, features = offered;
	uint8_t how = next8(w);

	for (unsigned i = 0; i < (how & 7u); i++)
		features &= ~MF_VIRTIO_BIT(next8(w) & 63);
	write_bar(w, 20, 1, 0);
	write_bar(w, 20, 1, 3);
	for (unsigned i = 0; i < 2; i++) {
		write_bar(w, 8, 4, i);
		write_bar(w, 12, 4, (uint32_t)(features >> 32 * i));
	}
	write_bar(w, 20, 1, 11);
	for (unsigned i = 0; i < 5; i++) {
		write_bar(w, 22, 2, i);
		write_bar(w, 24, 2, how & 8 ? 4 : 16);
		write_bar(w, 32, 4, 0x1000 * i);
		write_bar(w, 40, 4, 0x1000 * i + 0x400);
		write_bar(w, 48, 4, 0x1000 * i + 0x800);
		write_bar(w, 26, 2, i);
		write_bar(w, 28, 2, 1);
	}
	write_bar(w, 20, 1, 15);
}

/* A chain into a queue's ring, split: descriptors one behind the other. */
static void add_chain(struct world *w)
{
	uint32_t queue = next8(w) % 5, cnt = 1 + next8(w) % 4, size = 16;
	uint8_t *desc = w->ram + 0x1000 * queue, *avail = desc + 0x400;
	uint16_t at = mf_load_le16(avail + 2);

	for (uint32_t i = 0; i < cnt; i++) {
		uint8_t *p = desc + 16 * ((at + i) % size);

		mf_store_le64(p, next16(w));
		mf_store_le32(p + 8, next16(w));
		mf_store_le16(p + 12, (uint16_t)((next8(w) & 6) | (i + 1 < cnt)));
		mf_store_le16(p + 14, (uint16_t)((at + i + 1) % size));
	}
	mf_store_le16(avail + 4 + 2 * (at % size), at % size);
	mf_store_le16(avail + 2, (uint16_t)(at + 1));
	write_bar(w, MF_VIRTIO_AT_NOTIFY + MF_VIRTIO_NOTIFY_MULTIPLIER * queue, 2, queue);
}

static void receive(struct world *w)
{
	static uint8_t frame[MF_VIRTIO_NET_FRAME_MAX + 16];
	size_t len = next16(w);
	uint8_t how = next8(w);
	struct mf_nic_offload o = { .csum = how & 3,
				    .gso = how >> 2 & 3,
				    .csum_start = 34,
				    .csum_offset = 16,
				    .net_start = 14,
				    .gso_size = 1448,
				    .header_len = 54 };

	if (!(how & 0x10))
		len &= 0x7ff;
	for (unsigned i = 0; i < 18; i++)
		frame[i] = how & 0x20 ? next8(w) : 0xff;
	give(w, frame, len, how, &o);
}

static void operate(struct world *w, uint8_t op)
{
	static const uint8_t sizes[] = { 1, 2, 4, 8 };
	unsigned size = sizes[op >> 6], off;

	switch (op & 15) {
	case 0:
		off = next8(w);
		write_bar(w, off & ~(size - 1), size, next32(w));
		break;
	case 1:
		off = next16(w);
		w->sum +=
			mf_nic_bar_read(w->nic, off & 1, off & 0x7fff & ~(size - 1), size, w->now);
		break;
	case 2:
		off = next8(w) & 63;
		mf_nic_bar_write(w->nic, MF_VIRTIO_BAR_LEGACY, off & ~(size - 1), next32(w), size,
				 w->now);
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
		off = next8(w) % 6;
		write_bar(w, MF_VIRTIO_AT_NOTIFY + MF_VIRTIO_NOTIFY_MULTIPLIER * off, 2, off);
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
		add_chain(w);
		break;
	case 14:
		write_bar(w, MF_VIRTIO_AT_TABLE + (next8(w) & ~(size - 1)), size, next32(w));
		break;
	default:
		mf_nic_config_write(w->nic, MF_PCI_COMMAND, 7, 2, w->now);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_virtio_net_options opt = { .mac = { 0x52 }, .mtu = 1500, .coalesce = true };
	struct mf_nic_host host;
	struct world *w = begin_world(data, size, &host);
	uint8_t how = next8(w);

	opt.packed = how & 1;
	opt.pairs = how & 2 ? 2 : 1;
	opt.modern_only = how & 4;
	host.send_message = how & 8 ? send_message : NULL;
	host.frame_out_can = how >> 4 & 7;
	MF_MUST(mf_virtio_net_new(&opt, &host, &w->nic, NULL) == 0);
	// A kick begins no frame behind 1 MiB, and a frame is cut into 2,048 at most; a tick kicks each pair.
	play(w, operate, UINT64_C(2) * 2 * MF_VIRTIO_NET_BUDGET * 2048);
	end_world(w);
	return 0;
}
