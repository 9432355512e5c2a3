/* SPDX-License-Identifier: Apache-2.0 */
/* e1000_phy.c - the PHY behind MDIC (an M88E1011 at address 1, 8254x manual 13.4.x and IEEE 802.3 clause 22), and its link */
#include "nic/e1000_int.h"

#define PHY_ADDRESS 1

enum phy_register {
	PHY_CONTROL = 0,
	PHY_STATUS = 1,
	PHY_ID1 = 2,
	PHY_ID2 = 3,
	PHY_ADVERTISE = 4,
	PHY_PARTNER = 5,
	PHY_EXPANSION = 6,
	PHY_1000_CONTROL = 9,
	PHY_1000_STATUS = 10,
	PHY_EXTENDED = 15,
	PHY_SPECIFIC_CONTROL = 16,
	PHY_SPECIFIC_STATUS = 17,
	PHY_INTERRUPT_STATUS = 19,
	PHY_EXTENDED_CONTROL = 20,
};

#define CONTROL_RESET	0x8000u
#define CONTROL_RESTART 0x0200u
#define CONTROL_AUTO	0x1000u

/* Bits that can be written: of registers that are not here, none. */
static const uint16_t writable[E1000_PHY_REGISTERS] = {
	[PHY_CONTROL] = 0x7dff,
	[PHY_ADVERTISE] = 0xafff,
	[7] = 0xafff,
	[PHY_1000_CONTROL] = 0xff00,
	[PHY_SPECIFIC_CONTROL] = 0xffff,
	[18] = 0xffff,
	[PHY_EXTENDED_CONTROL] = 0xffff,
	[24] = 0xffff,
	[25] = 0xffff,
	[26] = 0xffff,
	[29] = 0xffff,
	[30] = 0xffff,
};

/* What the link's state says in the PHY's status registers. */
static void write_link(struct e1000_state *s)
{
	bool up = s->link_up;

	s->phy[PHY_STATUS] = up ? 0x796d : 0x7949; // negotiated, link
	s->phy[PHY_PARTNER] = up ? 0xcde1 : 0;
	s->phy[PHY_EXPANSION] = up ? 0x0001 : 0;
	s->phy[PHY_1000_STATUS] = up ? 0x3c00 : 0;
	s->phy[PHY_SPECIFIC_STATUS] = up ? 0xac08 : 0x8008; // 1000, full duplex, resolved, link
	s->regs[R_STATUS] = STATUS_1000 | STATUS_FD | (up ? STATUS_LU : 0);
}

void e1000_phy_reset(struct e1000_state *s)
{
	memset(s->phy, 0, sizeof(s->phy));
	s->phy[PHY_CONTROL] = 0x1140;
	s->phy[PHY_ID1] = 0x0141;
	s->phy[PHY_ID2] = 0x0c20;
	s->phy[PHY_ADVERTISE] = 0x0de1;
	s->phy[PHY_1000_CONTROL] = 0x0e00;
	s->phy[PHY_EXTENDED] = 0x3000;
	s->phy[PHY_SPECIFIC_CONTROL] = 0x0360;
	s->phy[PHY_EXTENDED_CONTROL] = 0x0d60;
	write_link(s);
}

static void phy_write(struct e1000 *e, unsigned number, uint16_t value)
{
	struct e1000_state *s = &e->s;

	s->phy[number] =
		(uint16_t)((s->phy[number] & ~writable[number]) | (value & writable[number]));
	if (number != PHY_CONTROL)
		return;
	if (value & CONTROL_RESET)
		e1000_phy_reset(s);
	if (value & (CONTROL_RESET | CONTROL_RESTART) && s->phy[PHY_CONTROL] & CONTROL_AUTO)
		e1000_irq_raise(e, ICR_LSC); // negotiated at once
}

void e1000_mdic_write(struct e1000 *e, uint32_t value)
{
	unsigned number = value >> 16 & 31, address = value >> 21 & 31;
	uint32_t done = (value & 0x2fff0000u) | MDIC_READY;

	if (address != PHY_ADDRESS) {
		done |= MDIC_ERROR;
	} else if (value & MDIC_READ) {
		done |= e->s.phy[number];
		if (number == PHY_INTERRUPT_STATUS)
			e->s.phy[number] = 0;
	} else if (value & MDIC_WRITE) {
		phy_write(e, number, (uint16_t)value);
		done |= value & 0xffff;
	}
	e->s.regs[R_MDIC] = done;
	if (value & MDIC_INTERRUPT)
		e1000_irq_raise(e, ICR_MDAC);
}

void e1000_set_link(struct mf_nic *nic, bool up, uint64_t now_ns)
{
	struct e1000 *e = e1000_of(nic);

	e1000_set_now(e, now_ns);
	if (up == e->s.link_up)
		return;
	e->s.link_up = up;
	write_link(&e->s);
	e->s.phy[PHY_INTERRUPT_STATUS] |= 0x0400;
	e1000_irq_raise(e, ICR_LSC);
	e1000_irq_update(e);
}
