/* SPDX-License-Identifier: Apache-2.0 */
/* e1000.c - the 82540EM as a PCI function: made, reset, ticked */
#include "nic/e1000.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "nic/e1000_int.h"

static void e1000_free(struct mf_nic *nic)
{
	free(e1000_of(nic));
}

static void e1000_reset(struct mf_nic *nic)
{
	struct e1000 *e = e1000_of(nic);

	mf_pci_reset(&nic->pci);
	e1000_phy_reset(&e->s);
	e1000_registers_reset(e);
	e->s.ioaddr = 0;
}

static void e1000_config_changed(struct mf_nic *nic, uint64_t now_ns)
{
	struct e1000 *e = e1000_of(nic);

	e1000_set_now(e, now_ns);
	e1000_irq_update(e);	  // INTx disable
	e1000_rx_tail_written(e); // bus master
}

static void e1000_tick(struct mf_nic *nic, uint64_t now_ns)
{
	struct e1000 *e = e1000_of(nic);

	e1000_set_now(e, now_ns);
	e1000_irq_run_timers(e);
	if (e->s.tx_more)
		e1000_tx_kick(e);
	e1000_irq_update(e);
}

static uint64_t e1000_deadline(const struct mf_nic *nic)
{
	const struct e1000 *e = (const struct e1000 *)nic;

	return e->s.tx_more && !nic->held ? e->now : e1000_irq_deadline(e);
}

static const struct mf_nic_ops e1000_ops = {
	.name = "e1000",
	.free = e1000_free,
	.reset = e1000_reset,
	.config_changed = e1000_config_changed,
	.bar_read = e1000_bar_read,
	.bar_write = e1000_bar_write,
	.receive = e1000_receive,
	.tick = e1000_tick,
	.deadline = e1000_deadline,
	.set_link = e1000_set_link,
	.save = e1000_save,
	.restore = e1000_restore,
};

int mf_e1000_new(const struct mf_e1000_options *options, const struct mf_nic_host *host,
		 struct mf_nic **nic, struct mf_err *err)
{
	static const struct mf_pci_ids ids = { .vendor = 0x8086,
					       .device = 0x100e,
					       .subsystem_vendor = 0x8086,
					       .subsystem = 0x001e, // PRO/1000 MT Desktop Adapter
					       .revision = 2,
					       .class_code = 0x020000,
					       .interrupt_pin = 1 };
	static const uint8_t zero[6];
	struct e1000 *e;

	if (options->mac[0] & 1 || memcmp(options->mac, zero, 6) == 0)
		return mf_err_set(err, MF_E_INVAL,
				  "A network card's address must be of one station: neither zero "
				  "nor with the lowest bit of its first byte set.");
	if (!host->memory || !host->frame_out || !host->set_line)
		return mf_err_set(err, MF_E_INVAL,
				  "A network card needs memory, frame_out and set_line.");
	e = calloc(1, sizeof(*e));
	if (!e)
		return mf_err_set(err, MF_E_NOMEM, "No memory for a network card.");
	mf_nic_init(&e->nic, &e1000_ops, host);
	mf_pci_init(&e->nic.pci, &ids);
	e->nic.pci.config[MF_PCI_STATUS] = 0x20;     // 66 MHz
	e->nic.pci.config[MF_PCI_STATUS + 1] = 0x02; // medium DEVSEL
	mf_pci_add_bar(&e->nic.pci, 0, MF_PCI_BAR_MEMORY, MF_E1000_BAR_SIZE);
	mf_pci_add_bar(&e->nic.pci, 1, MF_PCI_BAR_IO, MF_E1000_IO_BAR_SIZE);
	mf_pci_seal(&e->nic.pci);
	e1000_eeprom_init(&e->s, options->mac);
	e->s.link_up = true;
	e1000_reset(&e->nic);
	*nic = &e->nic;
	return 0;
}
