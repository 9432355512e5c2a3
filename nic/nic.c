/* SPDX-License-Identifier: Apache-2.0 */
/* nic.c - what all network cards have in common: checked accesses, the interrupt line, counters */
#include "nic/nic.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/base/err.h"

static const char *const count_names[] = {
	[MF_NIC_TX_FRAMES] = "tx_frames",
	[MF_NIC_TX_BYTES] = "tx_bytes",
	[MF_NIC_TX_LOST] = "tx_lost",
	[MF_NIC_TX_BAD] = "tx_bad",
	[MF_NIC_RX_FRAMES] = "rx_frames",
	[MF_NIC_RX_BYTES] = "rx_bytes",
	[MF_NIC_RX_NO_BUFFER] = "rx_no_buffer",
	[MF_NIC_RX_FILTERED] = "rx_filtered",
	[MF_NIC_RX_BAD] = "rx_bad",
	[MF_NIC_BAD_RING] = "bad_ring",
	[MF_NIC_BAD_DESCRIPTOR] = "bad_descriptor",
	[MF_NIC_BAD_OFFLOAD] = "bad_offload",
	[MF_NIC_BAD_ACCESS] = "bad_access",
	[MF_NIC_NO_BUS_MASTER] = "no_bus_master",
};
_Static_assert(MF_ARRAY_SIZE(count_names) == MF_NIC_COUNT_NUM, "a name for every counter");

const char *mf_nic_count_name(enum mf_nic_count count)
{
	return (unsigned)count < MF_NIC_COUNT_NUM ? count_names[count] : "?";
}

void mf_nic_init(struct mf_nic *nic, const struct mf_nic_ops *ops, const struct mf_nic_host *host)
{
	nic->ops = ops;
	nic->host = *host;
}

void mf_nic_free(struct mf_nic *nic)
{
	if (!nic)
		return;
	mf_nic_set_line(nic, false);
	nic->ops->free(nic);
}

void mf_nic_set_line(struct mf_nic *nic, bool asserted)
{
	bool level = asserted && !(mf_pci_command(&nic->pci) & MF_PCI_COMMAND_INTX_DISABLE);

	mf_pci_set_interrupt_status(&nic->pci, asserted);
	if (level == nic->line)
		return;
	nic->line = level;
	nic->host.set_line(nic->host.ctx, level);
}

void mf_nic_notice(struct mf_nic *nic, unsigned kind, const char *fmt, ...)
{
	char text[256];
	va_list args;

	if (!nic->host.log || kind > 63 || nic->noticed >> kind & 1)
		return;
	nic->noticed |= UINT64_C(1) << kind;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	nic->host.log(nic->host.ctx, text);
}

uint32_t mf_nic_config_read(struct mf_nic *nic, unsigned off, unsigned size, uint64_t now_ns)
{
	return nic->ops->config_read ? nic->ops->config_read(nic, off, size, now_ns)
				     : mf_pci_read(&nic->pci, off, size);
}

void mf_nic_config_write(struct mf_nic *nic, unsigned off, uint32_t value, unsigned size,
			 uint64_t now_ns)
{
	if (nic->ops->config_write)
		nic->ops->config_write(nic, off, value, size, now_ns);
	else
		mf_pci_write(&nic->pci, off, value, size);
	if (nic->ops->config_changed)
		nic->ops->config_changed(nic, now_ns);
}

/* May this access reach the model? */
static bool is_decoded(struct mf_nic *nic, unsigned bar, uint64_t off, unsigned size)
{
	const struct mf_pci_bar *b = &nic->pci.bars[bar < MF_PCI_BARS ? bar : 0];
	unsigned wanted = b->kind == MF_PCI_BAR_IO ? MF_PCI_COMMAND_IO : MF_PCI_COMMAND_MEMORY;

	if (bar < MF_PCI_BARS && b->kind != MF_PCI_BAR_NONE &&
	    (size == 1 || size == 2 || size == 4 || size == 8) && !(off & (size - 1)) &&
	    off < b->size && size <= b->size - off && (mf_pci_command(&nic->pci) & wanted))
		return true;
	nic->counts[MF_NIC_BAD_ACCESS]++;
	return false;
}

uint64_t mf_nic_bar_read(struct mf_nic *nic, unsigned bar, uint64_t off, unsigned size,
			 uint64_t now_ns)
{
	if (!is_decoded(nic, bar, off, size))
		return UINT64_MAX >> (size == 1 || size == 2 || size == 4 ? 64 - 8 * size : 0);
	return nic->ops->bar_read(nic, bar, off, size, now_ns);
}

void mf_nic_bar_write(struct mf_nic *nic, unsigned bar, uint64_t off, uint64_t value, unsigned size,
		      uint64_t now_ns)
{
	if (is_decoded(nic, bar, off, size))
		nic->ops->bar_write(nic, bar, off, value, size, now_ns);
}
