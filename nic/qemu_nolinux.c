/* SPDX-License-Identifier: Apache-2.0 */
/* qemu_nolinux.c - QEMU's x-pci-proxy-dev shares memory by Linux' means only */
#include "core/base/err.h"
#include "nic/qemu.h"

int mf_qemu_new(const struct mf_qemu_options *options, struct mf_guest_memory *memory,
		struct mf_qemu **ret, struct mf_err *err)
{
	(void)options;
	(void)memory;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED, "QEMU's x-pci-proxy-dev is there on Linux only.");
}

void mf_qemu_free(struct mf_qemu *q)
{
	(void)q;
}

void mf_qemu_attach(struct mf_qemu *q, struct mf_nic *nic)
{
	(void)q;
	(void)nic;
}

void mf_qemu_set_line(struct mf_qemu *q, bool level)
{
	(void)q;
	(void)level;
}

void mf_qemu_send_message(struct mf_qemu *q, uint64_t address, uint32_t data)
{
	(void)q;
	(void)address;
	(void)data;
}

int mf_qemu_serve(struct mf_qemu *q, struct mf_err *err)
{
	(void)q;
	return mf_err_set(err, MF_E_UNSUPPORTED, "QEMU's x-pci-proxy-dev is there on Linux only.");
}

int mf_qemu_read_answers(struct mf_qemu *q, struct mf_err *err)
{
	return mf_qemu_serve(q, err);
}
