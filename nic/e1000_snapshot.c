/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e1000_snapshot.c - the card's state as sections, read back into a spare copy that is judged before it counts
 *
 * Times are nanoseconds from the moment of the snapshot. Between two calls no guest address is kept anywhere but in
 * registers, so a packet whose end has not come yet is here as its bytes.
 */
#include "core/base/err.h"
#include "nic/e1000_int.h"
#include "nic/snapshot.h"

#define VERSION 1

enum section { CONFIG = 1, REGISTERS, TABLES, EEPROM, PHY, TIMERS, TRANSMIT };

#define TIMER_MAX (UINT64_C(65536) * 1024) /* no timer runs longer */

static void put_u32s(struct mf_snap_writer *w, const uint32_t *v, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		mf_snap_put_u32(w, v[i]);
}

static void get_u32s(struct mf_snap_reader *r, uint32_t *v, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		v[i] = mf_snap_get_u32(r);
}

static void put_u16s(struct mf_snap_writer *w, const uint16_t *v, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		mf_snap_put_u16(w, v[i]);
}

static void get_u16s(struct mf_snap_reader *r, uint16_t *v, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		v[i] = mf_snap_get_u16(r);
}

static bool get_bool(struct mf_snap_reader *r)
{
	uint8_t v = mf_snap_get_u8(r);

	if (v > 1)
		mf_snap_refuse(r, "what is yes or no is neither");
	return v;
}

/* ---- the sections ---- */

static void put_microwire(struct mf_snap_writer *w, const struct e1000_microwire *m)
{
	mf_snap_put_u8(w, m->bits);
	mf_snap_put_u32(w, m->in);
	mf_snap_put_u8(w, m->address);
	mf_snap_put_u8(w, m->out_left);
	mf_snap_put_u16(w, m->out);
	mf_snap_put_u8(w, m->op);
	mf_snap_put_u8(w, m->write_enabled);
}

static void get_microwire(struct mf_snap_reader *r, struct e1000_microwire *m)
{
	m->bits = mf_snap_get_u8(r);
	m->in = mf_snap_get_u32(r);
	m->address = mf_snap_get_u8(r);
	m->out_left = mf_snap_get_u8(r);
	m->out = mf_snap_get_u16(r);
	m->op = mf_snap_get_u8(r);
	m->write_enabled = get_bool(r);
	if (m->bits > 25 || m->address >= E1000_EEPROM_WORDS || m->out_left > 17 || m->op > 3 ||
	    (m->op == 1 && !m->out_left))
		mf_snap_refuse(r, "the EEPROM's interface cannot be in that state");
}

static void put_context(struct mf_snap_writer *w, const struct e1000_context *c)
{
	mf_snap_put_u8(w, c->ipcss);
	mf_snap_put_u8(w, c->ipcso);
	mf_snap_put_u8(w, c->tucss);
	mf_snap_put_u8(w, c->tucso);
	mf_snap_put_u8(w, c->tucmd);
	mf_snap_put_u8(w, c->hdrlen);
	mf_snap_put_u16(w, c->ipcse);
	mf_snap_put_u16(w, c->tucse);
	mf_snap_put_u16(w, c->mss);
}

static void get_context(struct mf_snap_reader *r, struct e1000_context *c)
{
	c->ipcss = mf_snap_get_u8(r);
	c->ipcso = mf_snap_get_u8(r);
	c->tucss = mf_snap_get_u8(r);
	c->tucso = mf_snap_get_u8(r);
	c->tucmd = mf_snap_get_u8(r);
	c->hdrlen = mf_snap_get_u8(r);
	c->ipcse = mf_snap_get_u16(r);
	c->tucse = mf_snap_get_u16(r);
	c->mss = mf_snap_get_u16(r);
}

/* Time left; UINT64_MAX: it does not run. */
static void put_timer(struct mf_snap_writer *w, const struct e1000 *e, uint64_t at)
{
	mf_snap_put_u64(w, at == E1000_NEVER ? at : at > e->now ? at - e->now : 0);
}

static uint64_t get_timer(struct mf_snap_reader *r, const struct e1000 *e)
{
	uint64_t left = mf_snap_get_u64(r);

	if (left == E1000_NEVER)
		return left;
	if (left > TIMER_MAX)
		mf_snap_refuse(r, "a timer runs longer than any can");
	return e->now + left;
}

size_t e1000_save(const struct mf_nic *nic, void *ptr, size_t cap)
{
	const struct e1000 *e = (const struct e1000 *)nic;
	const struct e1000_state *s = &e->s;
	struct mf_snap_writer w;

	mf_snap_begin(&w, ptr, cap, MF_SNAP_E1000, VERSION);
	mf_snap_section(&w, CONFIG);
	mf_snap_put(&w, nic->pci.config, sizeof(nic->pci.config));
	mf_snap_put_u8(&w, nic->pci.config[MF_PCI_STATUS] & MF_PCI_STATUS_INTERRUPT ? 1 : 0);
	mf_snap_section(&w, REGISTERS);
	put_u32s(&w, s->regs, R_NUM);
	mf_snap_put_u32(&w, s->ioaddr);
	mf_snap_section(&w, TABLES);
	put_u32s(&w, s->stats, MF_E1000_STATS_NUM);
	put_u32s(&w, s->mta, MF_E1000_MTA_NUM);
	put_u32s(&w, s->ra, MF_E1000_RA_NUM);
	put_u32s(&w, s->vfta, MF_E1000_VFTA_NUM);
	mf_snap_section(&w, EEPROM);
	put_u16s(&w, s->eeprom, E1000_EEPROM_WORDS);
	put_microwire(&w, &s->microwire);
	mf_snap_section(&w, PHY);
	put_u16s(&w, s->phy, E1000_PHY_REGISTERS);
	mf_snap_put_u8(&w, s->link_up);
	mf_snap_section(&w, TIMERS);
	put_timer(&w, e, s->timers.rx_packet);
	put_timer(&w, e, s->timers.rx_absolute);
	put_timer(&w, e, s->timers.tx_packet);
	put_timer(&w, e, s->timers.tx_absolute);
	put_timer(&w, e, s->timers.throttle);
	mf_snap_section(&w, TRANSMIT);
	put_context(&w, &s->context);
	put_context(&w, &s->tso_context);
	mf_snap_put_u8(&w, s->tx_more);
	mf_snap_put_u8(&w, e->want_buffers);
	mf_snap_put_u8(&w, s->packet.kind);
	mf_snap_put_u8(&w, s->packet.dcmd);
	mf_snap_put_u8(&w, s->packet.popts);
	mf_snap_put_u8(&w, s->packet.bad);
	mf_snap_put_u32(&w, s->packet.len);
	mf_snap_put(&w, s->spill, s->packet.len);
	return mf_snap_end(&w);
}

/* Bits that no guest could have set are as after a reset: what a snapshot brings is no more than what a guest may write. */
static void get_registers(struct mf_snap_reader *r, struct e1000_state *s)
{
	uint32_t v[R_NUM];

	get_u32s(r, v, R_NUM);
	for (unsigned i = 0; i < R_NUM; i++)
		s->regs[i] = (v[i] & e1000_writable[i]) | (s->regs[i] & ~e1000_writable[i]);
	s->regs[R_CTRL] &= ~(CTRL_RST | CTRL_PHY_RST);
	s->regs[R_ICR] = v[R_ICR] & ICR_ALL;
	s->regs[R_IMS] = v[R_IMS] & ICR_ALL;
	s->regs[R_EERD] = v[R_EERD];
	s->regs[R_MDIC] = v[R_MDIC];
	s->regs[R_STATUS] = STATUS_1000 | STATUS_FD; // and the link, by its section
	s->ioaddr = mf_snap_get_u32(r);
}

static void get_packet(struct mf_snap_reader *r, struct e1000_state *s)
{
	struct e1000_packet *p = &s->packet;

	p->kind = mf_snap_get_u8(r);
	p->dcmd = mf_snap_get_u8(r);
	p->popts = mf_snap_get_u8(r);
	p->bad = get_bool(r);
	p->len = mf_snap_get_u32(r);
	if (p->kind > PACKET_DATA || p->len > sizeof(s->spill) ||
	    (p->kind == PACKET_NONE && (p->len || p->bad))) {
		mf_snap_refuse(r, "the packet that is put together cannot be");
		p->len = 0;
	}
	mf_snap_get(r, s->spill, p->len);
}

int e1000_restore(struct mf_nic *nic, const void *ptr, size_t len, struct mf_err *err)
{
	struct e1000 *e = e1000_of(nic);
	struct e1000_state *s = &e->spare;
	uint8_t config[MF_PCI_CONFIG_SIZE];
	bool asserted, want_buffers;
	struct mf_snap_reader r;
	int rc;

	memcpy(s->regs, e->s.regs, sizeof(s->regs));
	mf_snap_open(&r, ptr, len, MF_SNAP_E1000, VERSION);
	mf_snap_enter(&r, CONFIG);
	mf_snap_get(&r, config, sizeof(config));
	asserted = get_bool(&r);
	mf_snap_enter(&r, REGISTERS);
	get_registers(&r, s);
	mf_snap_enter(&r, TABLES);
	get_u32s(&r, s->stats, MF_E1000_STATS_NUM);
	get_u32s(&r, s->mta, MF_E1000_MTA_NUM);
	get_u32s(&r, s->ra, MF_E1000_RA_NUM);
	get_u32s(&r, s->vfta, MF_E1000_VFTA_NUM);
	mf_snap_enter(&r, EEPROM);
	get_u16s(&r, s->eeprom, E1000_EEPROM_WORDS);
	get_microwire(&r, &s->microwire);
	mf_snap_enter(&r, PHY);
	get_u16s(&r, s->phy, E1000_PHY_REGISTERS);
	s->link_up = get_bool(&r);
	s->regs[R_STATUS] |= s->link_up ? STATUS_LU : 0;
	mf_snap_enter(&r, TIMERS);
	s->timers.rx_packet = get_timer(&r, e);
	s->timers.rx_absolute = get_timer(&r, e);
	s->timers.tx_packet = get_timer(&r, e);
	s->timers.tx_absolute = get_timer(&r, e);
	s->timers.throttle = get_timer(&r, e);
	if (s->timers.throttle == E1000_NEVER)
		mf_snap_refuse(&r, "interrupts would never come");
	mf_snap_enter(&r, TRANSMIT);
	get_context(&r, &s->context);
	get_context(&r, &s->tso_context);
	s->tx_more = get_bool(&r);
	want_buffers = get_bool(&r);
	get_packet(&r, s);
	rc = mf_snap_close(&r, err);
	if (rc)
		return rc;
	e->s = *s;
	e->want_buffers = want_buffers;
	mf_pci_restore(&nic->pci, config);
	mf_nic_set_line(nic, asserted);
	e1000_irq_update(e);
	return 0;
}
