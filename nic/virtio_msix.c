/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_msix.c - how a virtio device interrupts: MSI-X' table and pending bits (PCI 3.0, 6.8.2), or INTx and the ISR byte */
#include "nic/virtio.h"

#define CONTROL_ENABLE	 0x8000
#define CONTROL_MASK	 0x4000
#define VECTOR_CONTROL	 12 /* in an entry */
#define VECTOR_IS_MASKED 1

static uint16_t control_of(const struct mf_virtio *v)
{
	return v->cap_msix ? mf_load_le16(v->nic.pci.config + v->cap_msix + 2) : 0;
}

bool mf_virtio_msix_enabled(const struct mf_virtio *v)
{
	return control_of(v) & CONTROL_ENABLE;
}

void mf_virtio_update_line(struct mf_virtio *v)
{
	mf_nic_set_line(&v->nic, v->s.isr && !mf_virtio_msix_enabled(v));
}

/* A message is a store to memory: without bus mastering it waits as if masked. */
static bool may_send(const struct mf_virtio *v, unsigned vector)
{
	return (control_of(v) & (CONTROL_ENABLE | CONTROL_MASK)) == CONTROL_ENABLE &&
	       !(v->s.table[16 * vector + VECTOR_CONTROL] & VECTOR_IS_MASKED) &&
	       (mf_pci_command(&v->nic.pci) & MF_PCI_COMMAND_BUS_MASTER);
}

static void send_vector(struct mf_virtio *v, unsigned vector)
{
	const uint8_t *e = &v->s.table[16 * vector];

	v->nic.host.send_message(v->nic.host.ctx, mf_load_le64(e) & ~UINT64_C(3),
				 mf_load_le32(e + 8));
}

void mf_virtio_raise(struct mf_virtio *v, uint16_t vector, uint8_t isr)
{
	if (!mf_virtio_msix_enabled(v)) {
		v->s.isr |= isr;
		mf_virtio_update_line(v);
	} else if (vector < v->vector_cnt) {
		if (may_send(v, vector))
			send_vector(v, vector);
		else
			v->s.pending |= UINT32_C(1) << vector;
	}
}

void mf_virtio_send_pending(struct mf_virtio *v)
{
	if (!v->s.pending)
		return;
	for (unsigned i = 0; i < v->vector_cnt; i++) {
		if (!(v->s.pending >> i & 1) || !may_send(v, i))
			continue;
		v->s.pending &= ~(UINT32_C(1) << i);
		send_vector(v, i);
	}
}

void mf_virtio_table_reset(struct mf_virtio *v)
{
	memset(v->s.table, 0, sizeof(v->s.table));
	for (unsigned i = 0; i < MF_VIRTIO_VECTORS_MAX; i++)
		v->s.table[16 * i + VECTOR_CONTROL] = VECTOR_IS_MASKED;
	v->s.pending = 0;
}

uint32_t mf_virtio_table_read(const struct mf_virtio *v, unsigned off, unsigned size)
{
	uint32_t value = 0;

	if (off + size <= 16u * v->vector_cnt)
		memcpy(&value, v->s.table + off, size);
	return value;
}

void mf_virtio_table_write(struct mf_virtio *v, unsigned off, uint32_t value, unsigned size)
{
	if (off + size > 16u * v->vector_cnt)
		return;
	for (unsigned i = 0; i < size; i++, off++, value >>= 8) {
		unsigned at = off % 16;

		if (at < VECTOR_CONTROL)
			v->s.table[off] = (uint8_t)value;
		else if (at == VECTOR_CONTROL)
			v->s.table[off] = value & VECTOR_IS_MASKED;
	}
	mf_virtio_send_pending(v);
}

uint32_t mf_virtio_pba_read(const struct mf_virtio *v, unsigned off, unsigned size)
{
	uint32_t value = 0;

	if (off + size <= sizeof(v->s.pending))
		memcpy(&value, (const uint8_t *)&v->s.pending + off, size);
	return value;
}
