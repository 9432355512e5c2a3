/* SPDX-License-Identifier: Apache-2.0 */
/* e1000_registers.c - reads and writes of registers, through memory or IOADDR and IODATA (8254x manual, chapter 13) */
#include <stdio.h>

#include "nic/e1000_int.h"

#define RAH_MASK				     0x8003ffffu
#define UNKNOWN_MAX				     64u /* notices about unknown registers */
#define IOADDR					     0u
#define IODATA					     4u
#define NO_SLOT					     (-1)

#define RESET_VALUE(name, offset, reset, writable)   [R_##name] = (reset),
#define WRITABLE_BITS(name, offset, reset, writable) [R_##name] = (writable),
static const uint32_t reset_values[R_NUM] = { MF_E1000_REGISTERS(RESET_VALUE) };
const uint32_t e1000_writable[R_NUM] = { MF_E1000_REGISTERS(WRITABLE_BITS) };

/* Which value stands behind an offset; NO_SLOT: none. */
static int slot_of(uint32_t off)
{
#define CASE(name, offset, reset, writable) \
	case offset:                        \
		return R_##name;
	switch (off) {
		MF_E1000_REGISTERS(CASE)
	case 0x0004: // CTRL once more
		return R_CTRL;
	default:
		return NO_SLOT;
	}
#undef CASE
}

/* Tables of many registers that hold what is written. */
static uint32_t *table_of(struct e1000_state *s, uint32_t off)
{
	if (off >= MF_E1000_MTA && off < MF_E1000_MTA + 4 * MF_E1000_MTA_NUM)
		return &s->mta[(off - MF_E1000_MTA) / 4];
	if (off >= MF_E1000_RA && off < MF_E1000_RA + 4 * MF_E1000_RA_NUM)
		return &s->ra[(off - MF_E1000_RA) / 4];
	if (off >= MF_E1000_VFTA && off < MF_E1000_VFTA + 4 * MF_E1000_VFTA_NUM)
		return &s->vfta[(off - MF_E1000_VFTA) / 4];
	return NULL;
}

static bool is_stat(uint32_t off)
{
	return off >= MF_E1000_STATS && off < MF_E1000_STATS + 4 * MF_E1000_STATS_NUM;
}

/* Known, but of nothing that is here: FIFO pointers, wake-up filters, the packet buffer itself. They read as 0. */
static bool is_silent(uint32_t off)
{
	return (off >= 0x2410 && off <= 0x2430) || (off >= 0x3410 && off <= 0x3430) ||
	       (off >= 0x5800 && off < 0x6000) || (off >= 0x9000 && off < 0xa000) || off >= 0x10000;
}

/* RAH of one of the sixteen stations: address, what it is compared with, and whether it counts (13.5.3) */
static bool is_address_high(uint32_t off)
{
	return off >= MF_E1000_RA && off < MF_E1000_RA + 4 * MF_E1000_RA_NUM && off & 4;
}

static void note_unknown(struct e1000 *e, uint32_t off, const char *how)
{
	uint32_t *seen = &e->unknown_seen[off / 4 / 32], bit = 1u << (off / 4 % 32);
	char text[96];

	e->nic.counts[MF_NIC_BAD_ACCESS]++;
	if (*seen & bit || e->unknown_cnt >= UNKNOWN_MAX || !e->nic.host.log)
		return;
	*seen |= bit;
	e->unknown_cnt++;
	snprintf(text, sizeof(text),
		 "e1000: the guest's driver %s register 0x%05x, which is not there.", how, off);
	e->nic.host.log(e->nic.host.ctx, text);
}

void e1000_registers_reset(struct e1000 *e)
{
	struct e1000_state *s = &e->s;
	uint32_t status = s->regs[R_STATUS], eecd = s->regs[R_EECD];

	memcpy(s->regs, reset_values, sizeof(s->regs));
	s->regs[R_STATUS] = status;
	s->regs[R_EECD] |= eecd & EECD_REQ;
	memset(s->stats, 0, sizeof(s->stats));
	memset(s->mta, 0, sizeof(s->mta));
	memset(s->ra, 0, sizeof(s->ra));
	memset(s->vfta, 0, sizeof(s->vfta));
	memset(&s->microwire, 0, sizeof(s->microwire));
	memset(&s->context, 0, sizeof(s->context));
	memset(&s->tso_context, 0, sizeof(s->tso_context));
	memset(&s->packet, 0, sizeof(s->packet));
	memset(&s->timers, 0xff, sizeof(s->timers)); // E1000_NEVER
	s->timers.throttle = 0;
	s->tx_more = false;
	e->want_buffers = false;
	e1000_eeprom_load_mac(s);
	e1000_irq_update(e);
}

uint32_t e1000_register_read(struct e1000 *e, uint32_t off)
{
	struct e1000_state *s = &e->s;
	uint32_t v, *table;
	int slot;

	if (is_stat(off))
		return e1000_stat_read(s, off);
	slot = slot_of(off);
	switch (slot) {
	case R_ICR:
		v = s->regs[R_ICR];
		s->regs[R_ICR] = 0;
		e1000_irq_update(e);
		return v;
	case R_EECD:
		return e1000_eecd_read(s);
	case NO_SLOT:
		break;
	default:
		return s->regs[slot];
	}
	table = table_of(s, off);
	if (table)
		return *table;
	if (!is_silent(off))
		note_unknown(e, off, "reads");
	return 0;
}

static void write_ctrl(struct e1000 *e, uint32_t value)
{
	if (value & CTRL_RST) {
		e1000_registers_reset(e);
		return;
	}
	if (value & CTRL_PHY_RST) {
		e1000_phy_reset(&e->s);
		e1000_irq_raise(e, ICR_LSC);
	}
	e->s.regs[R_CTRL] = value & e1000_writable[R_CTRL] & ~(CTRL_RST | CTRL_PHY_RST);
}

/* The delay registers' flush: what waits for them is told now. */
static void write_delay(struct e1000 *e, int slot, uint32_t value, uint64_t *packet,
			uint64_t *absolute, uint32_t cause)
{
	e->s.regs[slot] = value & e1000_writable[slot];
	if (!(value & RDTR_FPD) || (*packet == E1000_NEVER && *absolute == E1000_NEVER))
		return;
	*packet = *absolute = E1000_NEVER;
	e1000_irq_raise(e, cause);
}

/* Registers whose writing does something; Return: false: it is not one of them */
static bool write_effect(struct e1000 *e, int slot, uint32_t value)
{
	struct e1000_state *s = &e->s;
	struct e1000_timers *t = &s->timers;

	switch (slot) {
	case R_CTRL:
		write_ctrl(e, value);
		return true;
	case R_EECD:
		e1000_eecd_write(s, value);
		return true;
	case R_EERD:
		s->regs[R_EERD] = e1000_eerd(s, value);
		return true;
	case R_CTRL_EXT:
		s->regs[R_CTRL_EXT] = value & ~CTRL_EXT_EE_RST;
		if (value & CTRL_EXT_EE_RST)
			e1000_eeprom_load_mac(s);
		return true;
	case R_MDIC:
		e1000_mdic_write(e, value);
		return true;
	case R_ICR:
		s->regs[R_ICR] &= ~value;
		return true;
	case R_ICS:
		e1000_irq_raise(e, value & ICR_ALL);
		return true;
	case R_IMS:
		s->regs[R_IMS] |= value & ICR_ALL;
		return true;
	case R_IMC:
		s->regs[R_IMS] &= ~value;
		return true;
	case R_ITR:
		s->regs[R_ITR] = value & e1000_writable[R_ITR];
		if (t->throttle > e->now + (uint64_t)s->regs[R_ITR] * E1000_THROTTLE_NS)
			t->throttle = e->now + (uint64_t)s->regs[R_ITR] * E1000_THROTTLE_NS;
		return true;
	case R_RDTR:
		write_delay(e, slot, value, &t->rx_packet, &t->rx_absolute, ICR_RXT0);
		return true;
	case R_TIDV:
		write_delay(e, slot, value, &t->tx_packet, &t->tx_absolute, ICR_TXDW);
		return true;
	default:
		return false;
	}
}

void e1000_register_write(struct e1000 *e, uint32_t off, uint32_t value)
{
	struct e1000_state *s = &e->s;
	int slot = slot_of(off);
	uint32_t *table;

	if (slot != NO_SLOT) {
		if (write_effect(e, slot, value)) {
			e1000_irq_update(e);
			return;
		}
		s->regs[slot] =
			(s->regs[slot] & ~e1000_writable[slot]) | (value & e1000_writable[slot]);
		if (slot == R_TDT || slot == R_TCTL) {
			e1000_tx_kick(e);
			e1000_irq_update(e);
		} else if (slot == R_RDT || slot == R_RCTL) {
			e1000_rx_tail_written(e);
		}
		return;
	}
	table = table_of(s, off);
	if (table)
		*table = value & (is_address_high(off) ? RAH_MASK : UINT32_MAX);
	else if (!is_silent(off) && !is_stat(off))
		note_unknown(e, off, "writes");
}

/* What a write of less than a register leaves of it: nothing of registers whose bits act. */
static uint32_t kept(struct e1000 *e, uint32_t off)
{
	int slot = slot_of(off);
	const uint32_t *table = table_of(&e->s, off);

	if (slot == R_ICR || slot == R_ICS || slot == R_IMS || slot == R_IMC)
		return 0;
	return slot != NO_SLOT ? e->s.regs[slot] : table ? *table : 0;
}

static uint64_t read_at(struct e1000 *e, uint64_t off, unsigned size)
{
	uint32_t at = (uint32_t)off & ~3u, v = e1000_register_read(e, at);

	if (size == 8)
		return v | (uint64_t)e1000_register_read(e, at + 4) << 32;
	v >>= 8 * (off & 3);
	return size == 4 ? v : v & ((1u << 8 * size) - 1);
}

static void write_at(struct e1000 *e, uint64_t off, uint64_t value, unsigned size)
{
	uint32_t at = (uint32_t)off & ~3u, shift = 8 * (off & 3), mask;

	if (size >= 4) {
		e1000_register_write(e, at, (uint32_t)value);
		if (size == 8)
			e1000_register_write(e, at + 4, (uint32_t)(value >> 32));
		return;
	}
	mask = ((1u << 8 * size) - 1) << shift;
	e1000_register_write(e, at, (kept(e, at) & ~mask) | ((uint32_t)value << shift & mask));
}

/* An access of ports: IOADDR, or the register that it points to. @off of IODATA's bytes is added. */
static bool io_target(struct e1000 *e, uint64_t off, unsigned size, uint64_t *reg)
{
	*reg = (e->s.ioaddr & ~3u) + (off - IODATA);
	if (off >= IODATA && off < IODATA + 4 && size <= 4 && *reg < MF_E1000_BAR_SIZE)
		return true;
	e->nic.counts[MF_NIC_BAD_ACCESS]++;
	return false;
}

uint64_t e1000_bar_read(struct mf_nic *nic, unsigned bar, uint64_t off, unsigned size,
			uint64_t now_ns)
{
	struct e1000 *e = e1000_of(nic);
	uint64_t reg;

	e1000_set_now(e, now_ns);
	if (bar == 0)
		return read_at(e, off, size);
	if (off < IODATA && size <= 4)
		return e->s.ioaddr >> 8 * off & (size == 4 ? UINT32_MAX : (1u << 8 * size) - 1);
	return io_target(e, off, size, &reg) ? read_at(e, reg, size) : 0;
}

void e1000_bar_write(struct mf_nic *nic, unsigned bar, uint64_t off, uint64_t value, unsigned size,
		     uint64_t now_ns)
{
	struct e1000 *e = e1000_of(nic);
	uint64_t reg;

	e1000_set_now(e, now_ns);
	if (bar == 0) {
		write_at(e, off, value, size);
	} else if (off == IOADDR && size >= 4) {
		e->s.ioaddr = (uint32_t)value;
		if (size == 8) // IODATA with it
			write_at(e, e->s.ioaddr & (MF_E1000_BAR_SIZE - 4), value >> 32, 4);
	} else if (io_target(e, off, size, &reg)) {
		write_at(e, reg, value, size);
	}
}
