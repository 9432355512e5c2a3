/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_pci.c - virtio over PCI: capabilities, which register an access is to, the window in the configuration space */
#include "core/base/err.h"
#include "nic/virtio.h"

#define VENDOR	      0x1af4
#define DEVICE_MODERN 0x1040 /* and the device's type */

#define CAP_VENDOR    0x09
#define CAP_MSIX      0x11

/* virtio's capabilities (4.1.4). */
enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI };

#define CAP_BAR	   4
#define CAP_OFFSET 8
#define CAP_LENGTH 12
#define CAP_LEN	   16
#define CAP_DATA   16 /* CFG_PCI's window; CFG_NOTIFY's multiplier */

#define COMMON_LEN 56 /* without notification data and queue reset */
#define ISR_LEN	   1
#define DEVICE_LEN 0x100
#define PAGE	   0x1000

static int add_part(struct mf_virtio *v, uint8_t type, uint32_t off, uint32_t len, uint32_t extra)
{
	struct mf_pci *pci = &v->nic.pci;
	unsigned size = CAP_LEN + (type == CFG_NOTIFY || type == CFG_PCI ? 4 : 0);
	int at = mf_pci_add_capability(pci, CAP_VENDOR, size);
	uint8_t *c;

	if (at < 0)
		return at;
	c = pci->config + at;
	c[2] = (uint8_t)size;
	c[3] = type;
	c[CAP_BAR] = type == CFG_PCI ? 0 : MF_VIRTIO_BAR_MODERN;
	mf_store_le32(c + CAP_OFFSET, off);
	mf_store_le32(c + CAP_LENGTH, len);
	if (type == CFG_NOTIFY)
		mf_store_le32(c + CAP_DATA, extra);
	if (type == CFG_PCI) {
		uint8_t *w = pci->writable + at;

		v->cap_cfg = (uint8_t)at;
		w[CAP_BAR] = 0xff;
		memset(w + CAP_OFFSET, 0xff, 12);
	}
	return 0;
}

static int add_msix(struct mf_virtio *v)
{
	struct mf_pci *pci = &v->nic.pci;
	int at = mf_pci_add_capability(pci, CAP_MSIX, 12);

	if (at < 0)
		return at;
	v->cap_msix = (uint8_t)at;
	mf_store_le16(pci->config + at + 2, (uint16_t)(v->vector_cnt - 1));
	mf_store_le32(pci->config + at + 4, MF_VIRTIO_AT_TABLE | MF_VIRTIO_BAR_MODERN);
	mf_store_le32(pci->config + at + 8, MF_VIRTIO_AT_PBA | MF_VIRTIO_BAR_MODERN);
	pci->writable[at + 3] = 0xc0; // enable, mask all
	return 0;
}

int mf_virtio_init(struct mf_virtio *v, const struct mf_virtio_ops *ops,
		   const struct mf_virtio_setup *setup)
{
	bool old = setup->transitional;
	// A transitional device has revision 0 and its type as subsystem; others must not look like one (4.1.2.1).
	const struct mf_pci_ids ids = {
		.vendor = VENDOR,
		.device = old ? setup->transitional_id
			      : (uint16_t)(DEVICE_MODERN + setup->device_type),
		.subsystem_vendor = VENDOR,
		.subsystem =
			old ? setup->device_type : (uint16_t)(DEVICE_MODERN + setup->device_type),
		.revision = old ? 0 : 1,
		.class_code = setup->class_code,
		.interrupt_pin = 1,
	};
	struct mf_pci *pci = &v->nic.pci;
	int rc = 0;

	if (setup->queue_cnt > MF_VIRTIO_QUEUES_MAX)
		return MF_E_INVAL;
	v->ops = ops;
	v->offered = setup->offered;
	v->queue_cnt = setup->queue_cnt;
	v->queue_size = setup->queue_size;
	v->vector_cnt = (uint16_t)(setup->queue_cnt + 1);
	v->transitional = old;
	mf_pci_init(pci, &ids);
	if (old)
		rc |= mf_pci_add_bar(pci, MF_VIRTIO_BAR_LEGACY, MF_PCI_BAR_IO, 0x100);
	rc |= mf_pci_add_bar(pci, MF_VIRTIO_BAR_MODERN, MF_PCI_BAR_MEMORY, MF_VIRTIO_BAR_SIZE);
	if (v->nic.host.send_message)
		rc |= add_msix(v);
	rc |= add_part(v, CFG_COMMON, MF_VIRTIO_AT_COMMON, COMMON_LEN, 0);
	rc |= add_part(v, CFG_ISR, MF_VIRTIO_AT_ISR, ISR_LEN, 0);
	rc |= add_part(v, CFG_DEVICE, MF_VIRTIO_AT_DEVICE, DEVICE_LEN, 0);
	rc |= add_part(v, CFG_NOTIFY, MF_VIRTIO_AT_NOTIFY,
		       MF_VIRTIO_NOTIFY_MULTIPLIER * (uint32_t)setup->queue_cnt,
		       MF_VIRTIO_NOTIFY_MULTIPLIER);
	rc |= add_part(v, CFG_PCI, 0, 0, 0);
	mf_pci_seal(pci);
	mf_virtio_table_reset(v);
	mf_virtio_reset(v);
	return rc ? MF_E_INVAL : 0;
}

/* --- the modern BAR ------------------------------------------------------------------------------------------------- */

static uint32_t read_modern(struct mf_virtio *v, unsigned off, unsigned size)
{
	unsigned in = off % PAGE;
	uint8_t isr;

	switch (off - in) {
	case MF_VIRTIO_AT_COMMON:
		return mf_virtio_common_read(v, in, size);
	case MF_VIRTIO_AT_ISR:
		isr = in ? 0 : v->s.isr;
		if (isr) {
			v->s.isr = 0;
			mf_virtio_update_line(v);
		}
		return isr;
	case MF_VIRTIO_AT_DEVICE:
		return mf_virtio_device_read(v, in, size);
	case MF_VIRTIO_AT_TABLE:
		return mf_virtio_table_read(v, in, size);
	case MF_VIRTIO_AT_PBA:
		return mf_virtio_pba_read(v, in, size);
	default:
		return 0;
	}
}

static void write_modern(struct mf_virtio *v, unsigned off, uint32_t value, unsigned size,
			 uint64_t now_ns)
{
	unsigned in = off % PAGE;

	switch (off - in) {
	case MF_VIRTIO_AT_COMMON:
		mf_virtio_common_write(v, in, value, size, now_ns);
		break;
	case MF_VIRTIO_AT_NOTIFY:
		if (v->s.mode == MF_VIRTIO_MODERN && !(in % MF_VIRTIO_NOTIFY_MULTIPLIER))
			mf_virtio_notify(v, in / MF_VIRTIO_NOTIFY_MULTIPLIER, now_ns);
		break;
	case MF_VIRTIO_AT_TABLE:
		mf_virtio_table_write(v, in, value, size);
		break;
	default: // all of the device's configuration is read-only for modern drivers
		break;
	}
}

uint64_t mf_virtio_bar_read(struct mf_nic *nic, unsigned bar, uint64_t off, unsigned size,
			    uint64_t now_ns)
{
	struct mf_virtio *v = mf_virtio_of(nic);
	unsigned at = (unsigned)off;

	mf_virtio_now(v, now_ns);
	if (size == 8)
		return mf_virtio_bar_read(nic, bar, off, 4, now_ns) |
		       mf_virtio_bar_read(nic, bar, off + 4, 4, now_ns) << 32;
	return bar == MF_VIRTIO_BAR_LEGACY ? mf_virtio_legacy_read(v, at, size)
					   : read_modern(v, at, size);
}

void mf_virtio_bar_write(struct mf_nic *nic, unsigned bar, uint64_t off, uint64_t value,
			 unsigned size, uint64_t now_ns)
{
	struct mf_virtio *v = mf_virtio_of(nic);

	now_ns = mf_virtio_now(v, now_ns);
	if (size == 8) {
		mf_virtio_bar_write(nic, bar, off, (uint32_t)value, 4, now_ns);
		mf_virtio_bar_write(nic, bar, off + 4, value >> 32, 4, now_ns);
	} else if (bar == MF_VIRTIO_BAR_LEGACY) {
		mf_virtio_legacy_write(v, (unsigned)off, (uint32_t)value, size, now_ns);
	} else {
		write_modern(v, (unsigned)off, (uint32_t)value, size, now_ns);
	}
}

/* --- the configuration space ---------------------------------------------------------------------------------------- */

/*
 * The window of VIRTIO_PCI_CAP_PCI_CFG (4.1.4.9): reading or writing its four bytes reads or writes the BAR where the rest
 * of the capability says. The BAR needs no address for that, and COMMAND need not decode it.
 */
static bool window(const struct mf_virtio *v, unsigned *bar, unsigned *off, unsigned *size)
{
	const uint8_t *c = v->nic.pci.config + v->cap_cfg;
	uint32_t at = mf_load_le32(c + CAP_OFFSET), len = mf_load_le32(c + CAP_LENGTH);

	*bar = c[CAP_BAR];
	*off = at;
	*size = len;
	if (*bar != MF_VIRTIO_BAR_MODERN && !(v->transitional && *bar == MF_VIRTIO_BAR_LEGACY))
		return false;
	return (len == 1 || len == 2 || len == 4) && !(at % len) &&
	       at < v->nic.pci.bars[*bar].size && len <= v->nic.pci.bars[*bar].size - at;
}

static bool is_window(const struct mf_virtio *v, unsigned off, unsigned size)
{
	return off < v->cap_cfg + CAP_DATA + 4u && off + size > v->cap_cfg + (unsigned)CAP_DATA;
}

uint32_t mf_virtio_config_read(struct mf_nic *nic, unsigned off, unsigned size, uint64_t now_ns)
{
	struct mf_virtio *v = mf_virtio_of(nic);
	unsigned bar, at, len;

	if (is_window(v, off, size) && window(v, &bar, &at, &len))
		mf_store_le32(nic->pci.config + v->cap_cfg + CAP_DATA,
			      (uint32_t)mf_virtio_bar_read(nic, bar, at, len, now_ns));
	return mf_pci_read(&nic->pci, off, size);
}

void mf_virtio_config_write(struct mf_nic *nic, unsigned off, uint32_t value, unsigned size,
			    uint64_t now_ns)
{
	struct mf_virtio *v = mf_virtio_of(nic);
	unsigned bar, at, len;

	mf_pci_write(&nic->pci, off, value, size);
	if (is_window(v, off, size) && window(v, &bar, &at, &len))
		mf_virtio_bar_write(nic, bar, at,
				    mf_load_le32(nic->pci.config + v->cap_cfg + CAP_DATA), len,
				    now_ns);
}

void mf_virtio_config_changed(struct mf_nic *nic, uint64_t now_ns)
{
	struct mf_virtio *v = mf_virtio_of(nic);

	mf_virtio_now(v, now_ns);
	mf_virtio_update_line(v);
	mf_virtio_send_pending(v);
}

void mf_virtio_bus_reset(struct mf_nic *nic)
{
	struct mf_virtio *v = mf_virtio_of(nic);

	mf_pci_reset(&nic->pci);
	mf_virtio_table_reset(v);
	mf_virtio_reset(v);
}
