/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e1000_driver.h - a scripted driver of the 82540EM: guest memory with two rings, registers, and a host that keeps what comes out
 *
 * Memory is 1 MiB at 0x100000. Buffers of descriptor n of a ring lie at TX_BUFFERS + n * 0x1000 (RX_BUFFERS likewise).
 */
#ifndef MF_TESTS_UNIT_NIC_E1000_DRIVER_H
#define MF_TESTS_UNIT_NIC_E1000_DRIVER_H

#include <string.h>

#include "nic/e1000.h"
#include "nic/e1000_regs.h"

#define GUEST_BASE  0x100000u
#define GUEST_SIZE  0x100000u
#define TX_RING	    (GUEST_BASE + 0x1000)
#define RX_RING	    (GUEST_BASE + 0x2000)
#define TX_BUFFERS  (GUEST_BASE + 0x10000)
#define RX_BUFFERS  (GUEST_BASE + 0x80000)
#define RING_LEN    32u
#define FRAMES_KEPT 128

static const uint8_t card_mac[6] = { 0x52, 0x54, 0x00, 0xab, 0xcd, 0xef };

struct frame {
	size_t len;
	struct mf_nic_offload offload;
	uint8_t bytes[0x11000];
};

struct driver {
	struct mf_nic *nic;
	struct mf_guest_memory memory;
	uint8_t *guest;
	uint64_t now;
	uint32_t tx_tail, rx_tail;
	/* the host */
	struct frame *frames;
	unsigned frame_cnt;
	bool line;
	unsigned rises, ready, logs;
	char log[256];
	bool hold_after_one;
};

static inline bool driver_frame_out(void *ctx, const struct mf_span *parts, unsigned cnt,
				    size_t len, const struct mf_nic_offload *offload)
{
	struct driver *d = ctx;
	struct frame *f = &d->frames[d->frame_cnt % FRAMES_KEPT];
	size_t off = 0;

	f->len = len;
	f->offload = *offload;
	for (unsigned i = 0; i < cnt; i++) {
		memcpy(f->bytes + off, parts[i].ptr, parts[i].len);
		off += parts[i].len;
	}
	d->frame_cnt++;
	if (d->hold_after_one)
		mf_nic_hold(d->nic, true);
	return off == len;
}

static inline void driver_set_line(void *ctx, bool level)
{
	struct driver *d = ctx;

	d->line = level;
	d->rises += level;
}

static inline void driver_ready(void *ctx)
{
	struct driver *d = ctx;

	d->ready++;
}

static inline void driver_log(void *ctx, const char *text)
{
	struct driver *d = ctx;

	d->logs++;
	strncpy(d->log, text, sizeof(d->log) - 1);
}

static inline uint32_t reg_read(struct driver *d, uint32_t off)
{
	return (uint32_t)mf_nic_bar_read(d->nic, 0, off, 4, d->now);
}

static inline void reg_write(struct driver *d, uint32_t off, uint32_t value)
{
	mf_nic_bar_write(d->nic, 0, off, value, 4, d->now);
}

static inline uint8_t *guest_at(struct driver *d, uint64_t gpa)
{
	return d->guest + (gpa - GUEST_BASE);
}

static inline int driver_new_card(struct driver *d, unsigned can)
{
	struct mf_e1000_options options;
	struct mf_nic_host host = { .ctx = d,
				    .memory = &d->memory,
				    .frame_out_can = can,
				    .frame_out = driver_frame_out,
				    .set_line = driver_set_line,
				    .receive_ready = driver_ready,
				    .log = driver_log };

	memcpy(options.mac, card_mac, sizeof(card_mac));
	return mf_e1000_new(&options, &host, &d->nic, NULL);
}

/* Rings, filters, interrupts as a driver sets them up; no offload of receiving. */
static inline void driver_set_up(struct driver *d)
{
	d->tx_tail = d->rx_tail = 0;
	reg_write(d, MF_E1000_TDBAL, TX_RING);
	reg_write(d, MF_E1000_TDLEN, RING_LEN * 16);
	reg_write(d, MF_E1000_TCTL, TCTL_EN | 8);
	reg_write(d, MF_E1000_RDBAL, RX_RING);
	reg_write(d, MF_E1000_RDLEN, RING_LEN * 16);
	for (unsigned i = 0; i < RING_LEN; i++) {
		memset(guest_at(d, RX_RING + i * 16), 0, 16);
		mf_store_le64(guest_at(d, RX_RING + i * 16), RX_BUFFERS + i * 0x1000);
	}
	reg_write(d, MF_E1000_RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC);
	d->rx_tail = RING_LEN - 1;
	reg_write(d, MF_E1000_RDT, d->rx_tail);
	reg_write(d, MF_E1000_IMS, ICR_ALL);
}

static inline int driver_begin(struct driver *d, unsigned can)
{
	struct mf_guest_region region = { .gpa = GUEST_BASE, .size = GUEST_SIZE };

	memset(d, 0, sizeof(*d));
	d->guest = calloc(1, GUEST_SIZE);
	d->frames = calloc(FRAMES_KEPT, sizeof(*d->frames));
	d->now = 1000000;
	region.ptr = d->guest;
	if (!d->guest || !d->frames || mf_guest_memory_set(&d->memory, &region, 1, NULL) ||
	    driver_new_card(d, can))
		return -1;
	mf_nic_config_write(d->nic, 0x10, 0xfebc0000, 4, d->now);
	mf_nic_config_write(d->nic, 0x14, 0xc000, 4, d->now);
	mf_nic_config_write(d->nic, MF_PCI_COMMAND, 7, 2, d->now);
	driver_set_up(d);
	return 0;
}

static inline void driver_end(struct driver *d)
{
	mf_nic_free(d->nic);
	free(d->guest);
	free(d->frames);
}

/* The descriptor that comes next; not yet handed over. Return: it, 16 zero bytes */
static inline uint8_t *tx_next(struct driver *d)
{
	uint8_t *p = guest_at(d, TX_RING + d->tx_tail * 16);

	memset(p, 0, 16);
	d->tx_tail = (d->tx_tail + 1) % RING_LEN;
	return p;
}

static inline void tx_kick(struct driver *d)
{
	reg_write(d, MF_E1000_TDT, d->tx_tail);
}

static inline uint8_t *tx_legacy(struct driver *d, uint64_t gpa, uint16_t len, uint8_t cmd)
{
	uint8_t *p = tx_next(d);

	mf_store_le64(p, gpa);
	mf_store_le16(p + 8, len);
	p[11] = cmd;
	return p;
}

static inline uint8_t *tx_data(struct driver *d, uint64_t gpa, uint32_t len, uint8_t dcmd,
			       uint8_t popts)
{
	uint8_t *p = tx_next(d);

	mf_store_le64(p, gpa);
	mf_store_le32(p + 8, len | 1u << 20);
	p[11] = dcmd | TXD_DEXT;
	p[13] = popts;
	return p;
}

struct tx_context {
	uint8_t ipcss, ipcso, tucss, tucso, tucmd, hdrlen;
	uint16_t ipcse, tucse, mss;
	uint32_t paylen;
};

static inline uint8_t *tx_context(struct driver *d, const struct tx_context *c)
{
	uint8_t *p = tx_next(d);

	p[0] = c->ipcss;
	p[1] = c->ipcso;
	mf_store_le16(p + 2, c->ipcse);
	p[4] = c->tucss;
	p[5] = c->tucso;
	mf_store_le16(p + 6, c->tucse);
	mf_store_le32(p + 8, c->paylen);
	p[11] = c->tucmd | TXD_DEXT;
	p[13] = c->hdrlen;
	mf_store_le16(p + 14, c->mss);
	return p;
}

static inline uint8_t *rx_descriptor(struct driver *d, unsigned i)
{
	return guest_at(d, RX_RING + (i % RING_LEN) * 16);
}

static inline enum mf_nic_received rx_frame(struct driver *d, const uint8_t *bytes, size_t len)
{
	struct mf_span part = mf_span_of(bytes, len);

	return mf_nic_receive(d->nic, &part, 1, len, NULL, d->now);
}

#endif
