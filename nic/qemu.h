/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu.h - a card of ours inside QEMU: its device x-pci-proxy-dev hands configuration, BARs and guest memory to another process
 *
 * QEMU's side is "-device x-pci-proxy-dev,fd=N" (multi-process QEMU, hw/remote of 7.2; x86-64 hosts only) with guest memory that
 * can be shared (memory-backend-memfd,share=on). Its messages come over a stream socket; interrupts go back over qtest, which
 * works without KVM: lines of text, each answered, in order.
 *
 * A lowered interrupt line must have arrived before the access that lowered it is answered, or the guest's level-triggered
 * interrupt controller fires once more: so an access waits for qtest's answers. A reset never does: QEMU's main thread, which would answer,
 * waits for us.
 * One thread; blocks only in mf_qemu_serve() for the rest of a message that has begun, and for qtest's answers. Linux only.
 */
#ifndef MF_NIC_QEMU_H
#define MF_NIC_QEMU_H

#include "nic/nic.h"

struct mf_qemu;

struct mf_qemu_options {
	int link_fd;  /* our end of the device's stream socket; stays the caller's */
	int qtest_fd; /* our end of qtest's; stays the caller's */
	uint64_t (*now_ns)(void *ctx);
	/* While an access waits for an answer of qtest: take what else has come (frames), or the two wait for each other. May be NULL. */
	void (*meanwhile)(void *ctx);
	void *ctx;
};

/** mf_qemu_new() - The bus of one card; @memory is ours to fill; Return: 0, MF_E_NOMEM, MF_E_UNSUPPORTED (no Linux) */
int mf_qemu_new(const struct mf_qemu_options *options, struct mf_guest_memory *memory,
		struct mf_qemu **ret, struct mf_err *err);

/** mf_qemu_free() - Unmap the guest's memory; after the card's end */
void mf_qemu_free(struct mf_qemu *q);

/** mf_qemu_attach() - The card that is served; @nic's set_line and send_message are mf_qemu_set_line() and mf_qemu_send_message() */
void mf_qemu_attach(struct mf_qemu *q, struct mf_nic *nic);
void mf_qemu_set_line(struct mf_qemu *q, bool level);
void mf_qemu_send_message(struct mf_qemu *q, uint64_t address, uint32_t data);

/** mf_qemu_serve() - One message: link_fd is readable; Return: 0; MF_E_CLOSED: QEMU has gone; MF_E_BAD, MF_E_IO with a sentence: the link is of no use any more */
int mf_qemu_serve(struct mf_qemu *q, struct mf_err *err);

/** mf_qemu_read_answers() - qtest_fd is readable; Return: as mf_qemu_serve() */
int mf_qemu_read_answers(struct mf_qemu *q, struct mf_err *err);

#endif
