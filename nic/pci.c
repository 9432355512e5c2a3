/* SPDX-License-Identifier: Apache-2.0 */
/* pci.c - a configuration space with masks: header, BARs, capabilities */
#include "nic/pci.h"

#include "core/base/err.h"

#define HEADER_END 0x40

void mf_pci_init(struct mf_pci *pci, const struct mf_pci_ids *ids)
{
	uint8_t *c = pci->config;

	memset(pci, 0, sizeof(*pci));
	mf_store_le16(c + 0x00, ids->vendor);
	mf_store_le16(c + 0x02, ids->device);
	c[0x08] = ids->revision;
	c[0x09] = (uint8_t)ids->class_code;
	c[0x0a] = (uint8_t)(ids->class_code >> 8);
	c[0x0b] = (uint8_t)(ids->class_code >> 16);
	mf_store_le16(c + 0x2c, ids->subsystem_vendor);
	mf_store_le16(c + 0x2e, ids->subsystem);
	c[0x3d] = ids->interrupt_pin;
	// I/O, memory, bus master, parity response, SERR#, INTx disable
	mf_store_le16(pci->writable + MF_PCI_COMMAND, 0x0547);
	pci->clears[MF_PCI_STATUS + 1] = 0xf9; // errors seen
	pci->writable[0x0c] = 0xff;	       // cache line size
	pci->writable[0x0d] = 0xff;	       // latency timer
	pci->writable[MF_PCI_INTERRUPT_LINE] = 0xff;
	pci->cap_end = HEADER_END;
	mf_pci_seal(pci);
}

int mf_pci_add_bar(struct mf_pci *pci, unsigned bar, enum mf_pci_bar_kind kind, uint64_t size)
{
	bool wide = kind == MF_PCI_BAR_MEMORY64, io = kind == MF_PCI_BAR_IO;
	uint64_t mask = ~(size - 1);

	if (bar + wide >= MF_PCI_BARS || kind == MF_PCI_BAR_NONE ||
	    pci->bars[bar].kind != MF_PCI_BAR_NONE || (size & (size - 1)) || size < (io ? 4 : 16) ||
	    (io && size > 256) || (!wide && size > UINT64_C(1) << 31))
		return MF_E_INVAL;
	pci->bars[bar].kind = kind;
	pci->bars[bar].size = size;
	pci->config[MF_PCI_BAR(bar)] = io ? 1 : wide ? 4 : 0;
	mf_store_le32(pci->writable + MF_PCI_BAR(bar), (uint32_t)mask);
	if (wide)
		mf_store_le32(pci->writable + MF_PCI_BAR(bar + 1), (uint32_t)(mask >> 32));
	return 0;
}

int mf_pci_add_capability(struct mf_pci *pci, uint8_t id, unsigned len)
{
	unsigned at = pci->cap_end;

	len = (len + 3) & ~3u;
	if (len < 4 || len > MF_PCI_CONFIG_SIZE - at || at + len > 0xfc)
		return MF_E_FULL;
	pci->config[pci->cap_last ? pci->cap_last + 1u : MF_PCI_CAPABILITIES] = (uint8_t)at;
	pci->config[at] = id;
	pci->config[at + 1] = 0;
	pci->config[MF_PCI_STATUS] |= MF_PCI_STATUS_CAPABILITIES;
	pci->cap_last = (uint8_t)at;
	pci->cap_end = (uint8_t)(at + len);
	return (int)at;
}

void mf_pci_seal(struct mf_pci *pci)
{
	memcpy(pci->config_reset, pci->config, sizeof(pci->config));
}

void mf_pci_reset(struct mf_pci *pci)
{
	memcpy(pci->config, pci->config_reset, sizeof(pci->config));
}

uint32_t mf_pci_read(const struct mf_pci *pci, unsigned off, unsigned size)
{
	uint32_t value = 0;

	if ((size != 1 && size != 2 && size != 4) || off > MF_PCI_CONFIG_SIZE - size)
		return UINT32_MAX;
	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)pci->config[off + i] << 8 * i;
	return value;
}

void mf_pci_write(struct mf_pci *pci, unsigned off, uint32_t value, unsigned size)
{
	if ((size != 1 && size != 2 && size != 4) || off > MF_PCI_CONFIG_SIZE - size)
		return;
	for (unsigned i = 0; i < size; i++, value >>= 8) {
		uint8_t *byte = &pci->config[off + i], mask = pci->writable[off + i];

		*byte = (uint8_t)((*byte & ~mask) | (value & mask));
		*byte = (uint8_t)(*byte & ~(value & pci->clears[off + i]));
	}
}

uint64_t mf_pci_bar_address(const struct mf_pci *pci, unsigned bar)
{
	const uint8_t *p = pci->config + MF_PCI_BAR(bar);

	if (bar >= MF_PCI_BARS || pci->bars[bar].kind == MF_PCI_BAR_NONE)
		return 0;
	if (pci->bars[bar].kind == MF_PCI_BAR_MEMORY64)
		return mf_load_le64(p) & ~UINT64_C(15);
	return mf_load_le32(p) & (pci->bars[bar].kind == MF_PCI_BAR_IO ? ~3u : ~15u);
}

void mf_pci_restore(struct mf_pci *pci, const uint8_t config[MF_PCI_CONFIG_SIZE])
{
	for (unsigned i = 0; i < MF_PCI_CONFIG_SIZE; i++) {
		uint8_t mask = pci->writable[i] | pci->clears[i];

		pci->config[i] = (uint8_t)((pci->config_reset[i] & ~mask) | (config[i] & mask));
	}
}
