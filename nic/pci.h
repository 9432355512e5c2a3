/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci.h - the configuration space of a PCI function: 256 bytes, what a guest may write of them, BARs, capabilities
 *
 * Values are little-endian, as on the bus. Each byte has a mask of the bits that a guest may write and one of the bits
 * that it clears by writing ones; all other writes are ignored. A BAR is sized as the specification has it (PCI Local
 * Bus 3.0, 6.2.5.1): its low address bits cannot be written, so all ones read back as the size. No allocation.
 */
#ifndef MF_NIC_PCI_H
#define MF_NIC_PCI_H

#include "nic/guest_memory.h"

#define MF_PCI_CONFIG_SIZE 256
#define MF_PCI_BARS	   6

/* Places in the header (type 0). */
#define MF_PCI_COMMAND		    0x04
#define MF_PCI_STATUS		    0x06
#define MF_PCI_BAR(n)		    (0x10 + 4 * (n))
#define MF_PCI_CAPABILITIES	    0x34
#define MF_PCI_INTERRUPT_LINE	    0x3c

#define MF_PCI_COMMAND_IO	    0x0001
#define MF_PCI_COMMAND_MEMORY	    0x0002
#define MF_PCI_COMMAND_BUS_MASTER   0x0004
#define MF_PCI_COMMAND_INTX_DISABLE 0x0400
#define MF_PCI_STATUS_INTERRUPT	    0x0008
#define MF_PCI_STATUS_CAPABILITIES  0x0010

enum mf_pci_bar_kind {
	MF_PCI_BAR_NONE, /* not there, or the upper half of a 64-bit one */
	MF_PCI_BAR_MEMORY,
	MF_PCI_BAR_MEMORY64, /* takes the next BAR's place as well */
	MF_PCI_BAR_IO,
};

struct mf_pci_bar {
	enum mf_pci_bar_kind kind;
	uint64_t size; /* bytes, a power of two */
};

struct mf_pci {
	uint8_t config[MF_PCI_CONFIG_SIZE];
	uint8_t writable[MF_PCI_CONFIG_SIZE]; /* bits that a guest may write */
	uint8_t clears[MF_PCI_CONFIG_SIZE];   /* bits that a one written clears */
	struct mf_pci_bar bars[MF_PCI_BARS];
	uint8_t config_reset[MF_PCI_CONFIG_SIZE]; /* what mf_pci_reset() brings back */
	uint8_t cap_last;			  /* where the last capability stands, 0: none */
	uint8_t cap_end;			  /* the first byte behind the capabilities */
};

struct mf_pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t
		class_code; /* 24 bits: class, subclass, interface; 0x020000 is an Ethernet controller */
	uint8_t interrupt_pin; /* 1: INTA; 0: none */
};

/** mf_pci_init() - An empty function; COMMAND's bits 0-2, 6, 8 and 10, and the interrupt line may be written */
void mf_pci_init(struct mf_pci *pci, const struct mf_pci_ids *ids);

/** mf_pci_add_bar() - Add a BAR; @size a power of two, at least 16 (memory) or 4 (I/O, at most 256); Return: 0 or MF_E_INVAL */
int mf_pci_add_bar(struct mf_pci *pci, unsigned bar, enum mf_pci_bar_kind kind, uint64_t size);

/**
 * mf_pci_add_capability() - Add a capability of @len bytes, its two first (id, next) included, to the end of the list
 * Return: where it begins (a multiple of 4; bytes +2... are 0 and read-only until the caller fills @config and
 * @writable); MF_E_FULL without room
 */
int mf_pci_add_capability(struct mf_pci *pci, uint8_t id, unsigned len);

/** mf_pci_seal() - What is there now is what mf_pci_reset() brings back; call it last in a device's creation */
void mf_pci_seal(struct mf_pci *pci);

/** mf_pci_reset() - As after power-on; BARs forget their addresses */
void mf_pci_reset(struct mf_pci *pci);

/** mf_pci_read() - @size bytes (1, 2 or 4) at @off; Return: them, all ones past the end or for another size. May cross a dword */
uint32_t mf_pci_read(const struct mf_pci *pci, unsigned off, unsigned size);

/** mf_pci_write() - Store what may be written; past the end: nothing */
void mf_pci_write(struct mf_pci *pci, unsigned off, uint32_t value, unsigned size);

/** mf_pci_bar_address() - Where a guest has put a BAR: 0 until it has, or where there is no such BAR. Decoding is COMMAND's matter */
uint64_t mf_pci_bar_address(const struct mf_pci *pci, unsigned bar);

/** mf_pci_restore() - Take a snapshot's 256 bytes over: only bits that a guest may write or clear count, all else stays as it is */
void mf_pci_restore(struct mf_pci *pci, const uint8_t config[MF_PCI_CONFIG_SIZE]);

static inline uint16_t mf_pci_command(const struct mf_pci *pci)
{
	return mf_load_le16(pci->config + MF_PCI_COMMAND);
}

/* The status bit that says an interrupt is asserted, INTX_DISABLE or not (PCI 2.3). */
static inline void mf_pci_set_interrupt_status(struct mf_pci *pci, bool asserted)
{
	uint8_t *status = &pci->config[MF_PCI_STATUS];

	*status = (uint8_t)((*status & ~MF_PCI_STATUS_INTERRUPT) |
			    (asserted ? MF_PCI_STATUS_INTERRUPT : 0));
}

#endif
