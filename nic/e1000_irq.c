/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e1000_irq.c - causes, mask, the line, and what delays them: ITR, RDTR and RADV, TIDV and TADV (8254x manual 13.4.17-21, 3.2.7)
 *
 * A cause is in ICR at once, or when its timer is over. The line rises when an unmasked cause is there and the throttle's interval since it
 * last rose is over, and falls when none is left.
 */
#include "nic/e1000_int.h"

#define TIMER_NS 1024u /* a unit of the four delay registers */

void e1000_irq_raise(struct e1000 *e, uint32_t causes)
{
	e->s.regs[R_ICR] |= causes;
}

void e1000_irq_update(struct e1000 *e)
{
	bool wanted = (e->s.regs[R_ICR] & e->s.regs[R_IMS]) != 0;
	bool asserted = e->nic.pci.config[MF_PCI_STATUS] & MF_PCI_STATUS_INTERRUPT;

	if (wanted && !asserted) {
		if (e->now < e->s.timers.throttle)
			return; // e1000_irq_deadline() has the time
		e->s.timers.throttle = e->now + (uint64_t)e->s.regs[R_ITR] * E1000_THROTTLE_NS;
	}
	mf_nic_set_line(&e->nic, wanted);
}

static void start(uint64_t *timer, uint64_t at, bool again)
{
	if (again || *timer == E1000_NEVER)
		*timer = at;
}

/* A delay register and its absolute companion (0: none) for an event that has happened now. */
static void start_pair(struct e1000 *e, uint64_t *packet, uint64_t *absolute, unsigned delay,
		       unsigned limit)
{
	start(packet, e->now + (uint64_t)e->s.regs[delay] * TIMER_NS, true);
	if (e->s.regs[limit])
		start(absolute, e->now + (uint64_t)e->s.regs[limit] * TIMER_NS, false);
}

void e1000_irq_received(struct e1000 *e, size_t len)
{
	struct e1000_timers *t = &e->s.timers;

	if (len <= e->s.regs[R_RSRPD])
		e1000_irq_raise(e, ICR_SRPD);
	if (!e->s.regs[R_RDTR]) {
		e1000_irq_raise(e, ICR_RXT0);
		return;
	}
	start_pair(e, &t->rx_packet, &t->rx_absolute, R_RDTR, R_RADV);
}

void e1000_irq_sent(struct e1000 *e, bool now, bool delayed)
{
	struct e1000_timers *t = &e->s.timers;

	if (now || (delayed && !e->s.regs[R_TIDV])) {
		t->tx_packet = t->tx_absolute = E1000_NEVER; // all that is done is told
		e1000_irq_raise(e, ICR_TXDW);
	} else if (delayed) {
		start_pair(e, &t->tx_packet, &t->tx_absolute, R_TIDV, R_TADV);
	}
}

static void run_pair(struct e1000 *e, uint64_t *packet, uint64_t *absolute, uint32_t cause)
{
	if (e->now < *packet && e->now < *absolute)
		return;
	*packet = *absolute = E1000_NEVER;
	e1000_irq_raise(e, cause);
}

void e1000_irq_run_timers(struct e1000 *e)
{
	struct e1000_timers *t = &e->s.timers;

	run_pair(e, &t->rx_packet, &t->rx_absolute, ICR_RXT0);
	run_pair(e, &t->tx_packet, &t->tx_absolute, ICR_TXDW);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t e1000_irq_deadline(const struct e1000 *e)
{
	const struct e1000_timers *t = &e->s.timers;
	uint64_t at = earlier(earlier(t->rx_packet, t->rx_absolute),
			      earlier(t->tx_packet, t->tx_absolute));

	if (e->s.regs[R_ICR] & e->s.regs[R_IMS] &&
	    !(e->nic.pci.config[MF_PCI_STATUS] & MF_PCI_STATUS_INTERRUPT))
		at = earlier(at, t->throttle);
	return at;
}
