/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e1000.h - an Intel 82540EM (8086:100E), the gigabit card that every system has a driver for
 *
 * The authority is Intel's "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual" (8254x). The card
 * has two BARs: 128 KiB of registers in memory, and 64 bytes of ports with IOADDR and IODATA.
 * What is not as in silicon: a frame's FCS in guest memory is four zero bytes; there are no collisions, no pause frames
 * and no wake-up; the packet buffer's diagnostic registers hold nothing; only words of the EEPROM can be written, not all at once.
 */
#ifndef MF_NIC_E1000_H
#define MF_NIC_E1000_H

#include "nic/nic.h"

struct mf_e1000_options {
	uint8_t mac[6]; /* into the EEPROM; neither multicast nor zero */
};

/** mf_e1000_new() - Make a card with its link up, about 200 KiB; Return: 0 with @nic, ended by mf_nic_free(); MF_E_INVAL, MF_E_NOMEM */
int mf_e1000_new(const struct mf_e1000_options *options, const struct mf_nic_host *host,
		 struct mf_nic **nic, struct mf_err *err);

#endif
