/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.h - what every virtio device over PCI has (virtio 1.2, 2 and 4.1): features, status, queues, interrupts
 *
 * A device model embeds struct mf_virtio as its first member, fills in struct mf_virtio_ops and hands configuration and BAR
 * accesses on to the functions here. Two transports reach the same device:
 *
 *	modern		BAR 1, 32-bit memory: common, ISR, device, notify, MSI-X table and PBA a page each (4.1.4)
 *	transitional	BAR 0, I/O, as well: the registers of virtio 0.9 (4.1.4.10), little-endian
 *
 * The first write that configures something picks one until the next reset; the other's writes are then ignored (but a
 * reset, which either may ask for), so that no two drivers speak to the device at once.
 */
#ifndef MF_NIC_VIRTIO_H
#define MF_NIC_VIRTIO_H

#include "nic/nic.h"
#include "nic/snapshot.h"
#include "nic/virtqueue.h"

/* Reserved feature bits (6). */
#define MF_VIRTIO_F_ANY_LAYOUT	  27 /* legacy only */
#define MF_VIRTIO_F_INDIRECT_DESC 28
#define MF_VIRTIO_F_EVENT_IDX	  29
#define MF_VIRTIO_F_VERSION_1	  32
#define MF_VIRTIO_F_RING_PACKED	  34

#define MF_VIRTIO_BIT(f)	  (UINT64_C(1) << (f))

/* Device status (2.1). */
#define MF_VIRTIO_S_ACKNOWLEDGE 0x01
#define MF_VIRTIO_S_DRIVER	0x02
#define MF_VIRTIO_S_DRIVER_OK	0x04
#define MF_VIRTIO_S_FEATURES_OK 0x08
#define MF_VIRTIO_S_NEEDS_RESET 0x40
#define MF_VIRTIO_S_FAILED	0x80

#define MF_VIRTIO_QUEUES_MAX	17 /* 8 pairs and a control queue */
#define MF_VIRTIO_VECTORS_MAX	(MF_VIRTIO_QUEUES_MAX + 1)
#define MF_VIRTIO_NO_VECTOR	0xffff

#define MF_VIRTIO_BAR_LEGACY	0
#define MF_VIRTIO_BAR_MODERN	1

/* Where things stand in the modern BAR. */
#define MF_VIRTIO_AT_COMMON	    0x0000
#define MF_VIRTIO_AT_ISR	    0x1000
#define MF_VIRTIO_AT_DEVICE	    0x2000
#define MF_VIRTIO_AT_NOTIFY	    0x3000
#define MF_VIRTIO_AT_TABLE	    0x4000
#define MF_VIRTIO_AT_PBA	    0x5000
#define MF_VIRTIO_BAR_SIZE	    0x8000

#define MF_VIRTIO_NOTIFY_MULTIPLIER 4

enum mf_virtio_mode { MF_VIRTIO_UNDECIDED, MF_VIRTIO_LEGACY, MF_VIRTIO_MODERN, MF_VIRTIO_MODE_NUM };

struct mf_virtio_queue {
	struct mf_virtq ring;
	uint16_t vector;
	uint64_t pfn;	  /* legacy: as written */
	bool kicked;	  /* there may be work */
	bool kick_wanted; /* what the driver has been told */
	bool interrupt; /* something was published that the driver has not been told of (coalescing) */
};

/* All that a driver can change, and a snapshot holds (but PCI's configuration space). */
struct mf_virtio_state {
	uint8_t mode, status, isr, generation;
	uint64_t features; /* the driver's */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select, config_vector;
	struct mf_virtio_queue queues[MF_VIRTIO_QUEUES_MAX];
	uint8_t table[16 * MF_VIRTIO_VECTORS_MAX]; /* MSI-X, as in the BAR */
	uint32_t pending;			   /* PBA: a bit a vector */
};

struct mf_virtio;

struct mf_virtio_ops {
	/* Feature bits from @features that the device cannot do without others in it; legacy drivers' are taken off, modern ones'
	 * make FEATURES_OK fail. */
	uint64_t (*impossible)(const struct mf_virtio *v, uint64_t features);
	/* The device's own state, as after power-on; queues and features are reset by the transport. */
	void (*reset)(struct mf_virtio *v);
	/* DRIVER_OK has been set. */
	void (*start)(struct mf_virtio *v, uint64_t now_ns);
	/* A queue that is enabled was kicked while DRIVER_OK. */
	void (*kick)(struct mf_virtio *v, unsigned queue, uint64_t now_ns);
	uint8_t (*config_read)(const struct mf_virtio *v, unsigned off);
	/* Only what a legacy driver may write; optional. */
	void (*config_write)(struct mf_virtio *v, unsigned off, uint8_t value);
};

struct mf_virtio {
	struct mf_nic nic;
	const struct mf_virtio_ops *ops;
	uint64_t offered; /* features */
	uint16_t queue_cnt, queue_size, vector_cnt;
	bool transitional;
	uint8_t cap_cfg, cap_msix; /* where in the configuration space; 0: none */
	uint64_t now_ns;	   /* the latest time that we were told */
	struct mf_virtio_state s;
};

struct mf_virtio_setup {
	uint16_t device_type; /* 5: 1 is a network card */
	uint16_t transitional_id;
	uint32_t class_code;
	bool transitional;
	uint64_t offered;
	uint16_t queue_cnt, queue_size;
};

/** mf_virtio_init() - The PCI function of a device; mf_nic_init() has been called. Return: 0 or MF_E_INVAL */
int mf_virtio_init(struct mf_virtio *v, const struct mf_virtio_ops *ops,
		   const struct mf_virtio_setup *setup);

/* Members of a model's struct mf_nic_ops. */
uint32_t mf_virtio_config_read(struct mf_nic *nic, unsigned off, unsigned size, uint64_t now_ns);
void mf_virtio_config_write(struct mf_nic *nic, unsigned off, uint32_t value, unsigned size,
			    uint64_t now_ns);
void mf_virtio_config_changed(struct mf_nic *nic, uint64_t now_ns);
uint64_t mf_virtio_bar_read(struct mf_nic *nic, unsigned bar, uint64_t off, unsigned size,
			    uint64_t now_ns);
void mf_virtio_bar_write(struct mf_nic *nic, unsigned bar, uint64_t off, uint64_t value,
			 unsigned size, uint64_t now_ns);
void mf_virtio_bus_reset(struct mf_nic *nic);

static inline struct mf_virtio *mf_virtio_of(struct mf_nic *nic)
{
	return (struct mf_virtio *)nic;
}

static inline const struct mf_virtio *mf_virtio_of_const(const struct mf_nic *nic)
{
	return (const struct mf_virtio *)nic;
}

static inline bool mf_virtio_has(const struct mf_virtio *v, unsigned feature)
{
	return v->s.features >> feature & 1;
}

/* Time stands still where a caller lets it run backwards. */
static inline uint64_t mf_virtio_now(struct mf_virtio *v, uint64_t now_ns)
{
	if (now_ns > v->now_ns)
		v->now_ns = now_ns;
	return v->now_ns;
}

/** mf_virtio_running() - May queues be worked at? DRIVER_OK, and memory may be touched (counts where not) */
bool mf_virtio_running(struct mf_virtio *v);

/** mf_virtio_begin() - mf_virtq_begin() of a queue; a queue that breaks makes the device need a reset. Return: can it be worked at? */
bool mf_virtio_begin(struct mf_virtio *v, unsigned queue);

/** mf_virtio_pop() - mf_virtq_pop() with its errors counted. Return: as there */
int mf_virtio_pop(struct mf_virtio *v, unsigned queue, struct mf_virtq_chain *c);

/** mf_virtio_ask_kick() - mf_virtq_ask_kick(), where the driver does not know already */
bool mf_virtio_ask_kick(struct mf_virtio *v, unsigned queue, bool want);

/** mf_virtio_interrupt_queue() - Tell the driver of what was used in a queue between begin and the end of work, if it wants to hear */
void mf_virtio_interrupt_queue(struct mf_virtio *v, unsigned queue);

/** mf_virtio_announce_config() - The device's configuration is another: generation, interrupt */
void mf_virtio_announce_config(struct mf_virtio *v);

/** mf_virtio_save(), mf_virtio_restore() - Sections 1 to 3 of a snapshot; restoring fills in @ret_s and @ret_config, for
 * mf_virtio_take() once all of the snapshot has been found good */
void mf_virtio_save(const struct mf_virtio *v, struct mf_snap_writer *w);
void mf_virtio_restore(const struct mf_virtio *v, struct mf_snap_reader *r,
		       struct mf_virtio_state *ret_s, uint8_t ret_config[MF_PCI_CONFIG_SIZE]);
void mf_virtio_take(struct mf_virtio *v, const struct mf_virtio_state *s,
		    const uint8_t config[MF_PCI_CONFIG_SIZE]);

/* --- between the files of the transport --- */

uint32_t mf_virtio_common_read(struct mf_virtio *v, unsigned off, unsigned size);
void mf_virtio_common_write(struct mf_virtio *v, unsigned off, uint32_t value, unsigned size,
			    uint64_t now_ns);
uint32_t mf_virtio_legacy_read(struct mf_virtio *v, unsigned off, unsigned size);
void mf_virtio_legacy_write(struct mf_virtio *v, unsigned off, uint32_t value, unsigned size,
			    uint64_t now_ns);
void mf_virtio_reset(struct mf_virtio *v);
void mf_virtio_write_status(struct mf_virtio *v, uint8_t value, uint64_t now_ns);
void mf_virtio_notify(struct mf_virtio *v, unsigned queue, uint64_t now_ns);
void mf_virtio_needs_reset(struct mf_virtio *v);
uint16_t mf_virtio_vector_of(const struct mf_virtio *v, uint32_t value);
uint32_t mf_virtio_device_read(const struct mf_virtio *v, unsigned off, unsigned size);

bool mf_virtio_msix_enabled(const struct mf_virtio *v);
void mf_virtio_raise(struct mf_virtio *v, uint16_t vector, uint8_t isr);
void mf_virtio_update_line(struct mf_virtio *v);
uint32_t mf_virtio_table_read(const struct mf_virtio *v, unsigned off, unsigned size);
void mf_virtio_table_write(struct mf_virtio *v, unsigned off, uint32_t value, unsigned size);
uint32_t mf_virtio_pba_read(const struct mf_virtio *v, unsigned off, unsigned size);
void mf_virtio_table_reset(struct mf_virtio *v);
void mf_virtio_send_pending(struct mf_virtio *v);

#endif
