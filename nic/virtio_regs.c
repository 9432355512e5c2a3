/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_regs.c - the registers of virtio devices: the common configuration (4.1.4.3), and those of legacy drivers (4.1.4.10) */
#include "nic/virtio.h"

/* Common configuration. */
enum {
	DEVICE_FEATURE_SELECT = 0,
	DEVICE_FEATURE = 4,
	DRIVER_FEATURE_SELECT = 8,
	DRIVER_FEATURE = 12,
	CONFIG_VECTOR = 16,
	NUM_QUEUES = 18,
	STATUS = 20,
	GENERATION = 21,
	QUEUE_SELECT = 22,
	QUEUE_SIZE = 24,
	QUEUE_VECTOR = 26,
	QUEUE_ENABLE = 28,
	QUEUE_NOTIFY_OFF = 30,
	QUEUE_DESC = 32,
	QUEUE_DRIVER = 40,
	QUEUE_DEVICE = 48,
};

/* Legacy registers. */
enum {
	OLD_DEVICE_FEATURES = 0,
	OLD_DRIVER_FEATURES = 4,
	OLD_QUEUE_PFN = 8,
	OLD_QUEUE_SIZE = 12,
	OLD_QUEUE_SELECT = 14,
	OLD_NOTIFY = 16,
	OLD_STATUS = 18,
	OLD_ISR = 19,
	OLD_CONFIG_VECTOR =
		20, /* both only while MSI-X is enabled: else the device's configuration begins here */
	OLD_QUEUE_VECTOR = 22,
};

#define OLD_PAGE 4096u

#define STATUS_BITS                                                             \
	(MF_VIRTIO_S_ACKNOWLEDGE | MF_VIRTIO_S_DRIVER | MF_VIRTIO_S_DRIVER_OK | \
	 MF_VIRTIO_S_FEATURES_OK | MF_VIRTIO_S_FAILED)

static struct mf_virtio_queue *selected(struct mf_virtio *v)
{
	return v->s.queue_select < v->queue_cnt ? &v->s.queues[v->s.queue_select] : NULL;
}

/* May this transport configure the device now? */
static bool takes(struct mf_virtio *v, enum mf_virtio_mode mode)
{
	if (v->s.mode == MF_VIRTIO_UNDECIDED)
		v->s.mode = (uint8_t)mode;
	if (v->s.mode == mode)
		return true;
	v->nic.counts[MF_NIC_BAD_ACCESS]++;
	return false;
}

void mf_virtio_reset(struct mf_virtio *v)
{
	struct mf_virtio_state *s = &v->s;

	s->mode = MF_VIRTIO_UNDECIDED;
	s->status = 0;
	s->isr = 0;
	s->features = 0;
	s->device_feature_select = s->driver_feature_select = 0;
	s->queue_select = 0;
	s->config_vector = MF_VIRTIO_NO_VECTOR;
	s->pending = 0;
	for (unsigned i = 0; i < MF_VIRTIO_QUEUES_MAX; i++) {
		struct mf_virtio_queue *q = &s->queues[i];

		mf_virtq_reset(&q->ring);
		q->ring.size = i < v->queue_cnt ? v->queue_size : 0;
		q->vector = MF_VIRTIO_NO_VECTOR;
		q->pfn = 0;
		q->kicked = q->interrupt = false;
		q->kick_wanted = true; // rings begin that way
	}
	v->ops->reset(v);
	mf_virtio_update_line(v);
}

uint16_t mf_virtio_vector_of(const struct mf_virtio *v, uint32_t value)
{
	return v->cap_msix && value < v->vector_cnt ? (uint16_t)value : MF_VIRTIO_NO_VECTOR;
}

/* A ring as the features have it. */
static void enable_queue(struct mf_virtio *v, struct mf_virtio_queue *q)
{
	q->ring.packed = mf_virtio_has(v, MF_VIRTIO_F_RING_PACKED);
	q->ring.event_idx = mf_virtio_has(v, MF_VIRTIO_F_EVENT_IDX);
	q->ring.indirect = mf_virtio_has(v, MF_VIRTIO_F_INDIRECT_DESC);
	q->ring.enabled = true;
	q->kicked = true; // whatever is there already
}

static void start(struct mf_virtio *v, uint64_t now_ns)
{
	v->ops->start(v, now_ns);
	for (unsigned i = 0; i < v->queue_cnt; i++)
		if (v->s.queues[i].kicked && mf_virtio_running(v))
			v->ops->kick(v, i, now_ns);
}

void mf_virtio_write_status(struct mf_virtio *v, uint8_t value, uint64_t now_ns)
{
	struct mf_virtio_state *s = &v->s;
	uint8_t news;

	if (!value) {
		mf_virtio_reset(v);
		return;
	}
	news = (uint8_t)(value & STATUS_BITS & ~s->status); // no bit goes but by a reset
	if (s->mode == MF_VIRTIO_MODERN) {
		bool may = s->features & MF_VIRTIO_BIT(MF_VIRTIO_F_VERSION_1) &&
			   !(s->features & ~v->offered) && !v->ops->impossible(v, s->features);

		if (!may)
			news &= (uint8_t)~MF_VIRTIO_S_FEATURES_OK;
		if (!((s->status | news) & MF_VIRTIO_S_FEATURES_OK))
			news &= (uint8_t)~MF_VIRTIO_S_DRIVER_OK;
	} else {
		news &= (uint8_t)~MF_VIRTIO_S_FEATURES_OK; // legacy drivers know none
	}
	s->status |= news;
	if (news & MF_VIRTIO_S_DRIVER_OK)
		start(v, now_ns);
}

/* --- modern --------------------------------------------------------------------------------------------------------- */

static uint64_t common_register(struct mf_virtio *v, unsigned at, unsigned *len)
{
	struct mf_virtio_state *s = &v->s;
	struct mf_virtio_queue *q = selected(v);

	*len = 2;
	switch (at) {
	case CONFIG_VECTOR:
		return s->config_vector;
	case NUM_QUEUES:
		return v->queue_cnt;
	case QUEUE_SELECT:
		return s->queue_select;
	case QUEUE_SIZE:
		return q ? q->ring.size : 0;
	case QUEUE_VECTOR:
		return q ? q->vector : MF_VIRTIO_NO_VECTOR;
	case QUEUE_ENABLE:
		return q ? q->ring.enabled : 0;
	case QUEUE_NOTIFY_OFF:
		return q ? s->queue_select : 0;
	default:
		break;
	}
	*len = 1;
	if (at == STATUS)
		return s->status;
	if (at == GENERATION)
		return s->generation;
	*len = 4;
	switch (at) {
	case DEVICE_FEATURE_SELECT:
		return s->device_feature_select;
	case DEVICE_FEATURE:
		return s->device_feature_select < 2
			       ? (uint32_t)(v->offered >> 32 * s->device_feature_select)
			       : 0;
	case DRIVER_FEATURE_SELECT:
		return s->driver_feature_select;
	case DRIVER_FEATURE:
		return s->driver_feature_select < 2
			       ? (uint32_t)(s->features >> 32 * s->driver_feature_select)
			       : 0;
	case QUEUE_DESC:
		return q ? (uint32_t)q->ring.desc : 0;
	case QUEUE_DESC + 4:
		return q ? q->ring.desc >> 32 : 0;
	case QUEUE_DRIVER:
		return q ? (uint32_t)q->ring.driver : 0;
	case QUEUE_DRIVER + 4:
		return q ? q->ring.driver >> 32 : 0;
	case QUEUE_DEVICE:
		return q ? (uint32_t)q->ring.device : 0;
	case QUEUE_DEVICE + 4:
		return q ? q->ring.device >> 32 : 0;
	default:
		*len = 0;
		return 0;
	}
}

/* Drivers read fields by their own size (4.1.3.1); parts of one, or two small ones at once, are put together all the same. */
uint32_t mf_virtio_common_read(struct mf_virtio *v, unsigned off, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++) {
		unsigned at = off + i, len;
		uint64_t field = 0;

		for (unsigned back = 0; back < 4 && back <= at; back++) {
			field = common_register(v, at - back, &len);
			if (len > back) {
				value |= (uint32_t)(field >> 8 * back & 0xff) << 8 * i;
				break;
			}
			if (len)
				break;
		}
	}
	return value;
}

static void set_half(uint64_t *address, bool high, uint32_t value)
{
	if (high)
		*address = (uint32_t)*address | (uint64_t)value << 32;
	else
		*address = (*address & ~(uint64_t)UINT32_MAX) | value;
}

static void write_driver_feature(struct mf_virtio *v, uint32_t value)
{
	if (v->s.status & MF_VIRTIO_S_FEATURES_OK) // it is settled
		v->nic.counts[MF_NIC_BAD_ACCESS]++;
	else if (v->s.driver_feature_select < 2)
		set_half(&v->s.features, v->s.driver_feature_select, value);
}

static void write_queue(struct mf_virtio *v, struct mf_virtio_queue *q, unsigned off,
			uint32_t value, uint64_t now_ns)
{
	if (off == QUEUE_VECTOR) {
		q->vector = mf_virtio_vector_of(v, value);
		return;
	}
	if (q->ring.enabled) { // until a reset (4.1.4.3.2)
		v->nic.counts[MF_NIC_BAD_ACCESS]++;
		return;
	}
	switch (off) {
	case QUEUE_SIZE:
		q->ring.size = (uint16_t)value;
		break;
	case QUEUE_ENABLE:
		if (value != 1)
			break;
		if (!q->ring.size || q->ring.size > v->queue_size ||
		    (!mf_virtio_has(v, MF_VIRTIO_F_RING_PACKED) &&
		     q->ring.size & (q->ring.size - 1)) ||
		    !(v->s.status & MF_VIRTIO_S_FEATURES_OK)) {
			v->nic.counts[MF_NIC_BAD_RING]++;
			mf_virtio_needs_reset(v);
			break;
		}
		enable_queue(v, q);
		if (mf_virtio_running(v))
			v->ops->kick(v, v->s.queue_select, now_ns);
		break;
	case QUEUE_DESC:
	case QUEUE_DESC + 4:
		set_half(&q->ring.desc, off != QUEUE_DESC, value);
		break;
	case QUEUE_DRIVER:
	case QUEUE_DRIVER + 4:
		set_half(&q->ring.driver, off != QUEUE_DRIVER, value);
		break;
	case QUEUE_DEVICE:
	case QUEUE_DEVICE + 4:
		set_half(&q->ring.device, off != QUEUE_DEVICE, value);
		break;
	default:
		break;
	}
}

void mf_virtio_common_write(struct mf_virtio *v, unsigned off, uint32_t value, unsigned size,
			    uint64_t now_ns)
{
	struct mf_virtio_state *s = &v->s;
	struct mf_virtio_queue *q = selected(v);
	unsigned len;

	if (off == STATUS && size == 1 && !(value & 0xff)) {
		mf_virtio_reset(v);
		return;
	}
	common_register(v, off, &len);
	if (len != size) { // writes must be of the field's own size
		v->nic.counts[MF_NIC_BAD_ACCESS]++;
		return;
	}
	if (off == DEVICE_FEATURE_SELECT) { // which only says what is read
		s->device_feature_select = value;
		return;
	}
	if (!takes(v, MF_VIRTIO_MODERN))
		return;
	switch (off) {
	case DRIVER_FEATURE_SELECT:
		s->driver_feature_select = value;
		break;
	case DRIVER_FEATURE:
		write_driver_feature(v, value);
		break;
	case CONFIG_VECTOR:
		s->config_vector = mf_virtio_vector_of(v, value & 0xffff);
		break;
	case STATUS:
		mf_virtio_write_status(v, (uint8_t)value, now_ns);
		break;
	case QUEUE_SELECT:
		s->queue_select = (uint16_t)value;
		break;
	default:
		if (q)
			write_queue(v, q, off, size == 2 ? value & 0xffff : value, now_ns);
		break;
	}
}

uint32_t mf_virtio_device_read(const struct mf_virtio *v, unsigned off, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)v->ops->config_read(v, off + i) << 8 * i;
	return value;
}

/* --- legacy --------------------------------------------------------------------------------------------------------- */

static unsigned old_config(const struct mf_virtio *v)
{
	return mf_virtio_msix_enabled(v) ? 24 : 20;
}

static uint32_t old_register(struct mf_virtio *v, unsigned off, unsigned size)
{
	struct mf_virtio_queue *q = selected(v);
	uint8_t isr;

	switch (off << 4 | size) {
	case OLD_DEVICE_FEATURES << 4 | 4:
		return (uint32_t)v->offered | UINT32_C(1) << MF_VIRTIO_F_ANY_LAYOUT;
	case OLD_DRIVER_FEATURES << 4 | 4:
		return (uint32_t)v->s.features;
	case OLD_QUEUE_PFN << 4 | 4:
		return q ? (uint32_t)q->pfn : 0;
	case OLD_QUEUE_SIZE << 4 | 2:
		return q ? v->queue_size : 0;
	case OLD_QUEUE_SELECT << 4 | 2:
		return v->s.queue_select;
	case OLD_STATUS << 4 | 1:
		return v->s.status;
	case OLD_ISR << 4 | 1:
		isr = v->s.isr;
		v->s.isr = 0;
		mf_virtio_update_line(v);
		return isr;
	case OLD_CONFIG_VECTOR << 4 | 2:
		return v->s.config_vector;
	case OLD_QUEUE_VECTOR << 4 | 2:
		return q ? q->vector : MF_VIRTIO_NO_VECTOR;
	default:
		return 0;
	}
}

uint32_t mf_virtio_legacy_read(struct mf_virtio *v, unsigned off, unsigned size)
{
	unsigned config = old_config(v);

	return off >= config ? mf_virtio_device_read(v, off - config, size)
			     : old_register(v, off, size);
}

/* One page-aligned block holds the three parts (2.7.2); page 0 takes the queue away. */
static void write_pfn(struct mf_virtio *v, struct mf_virtio_queue *q, uint32_t pfn)
{
	uint64_t at = (uint64_t)pfn * OLD_PAGE;
	uint64_t size = v->queue_size;

	mf_virtq_reset(&q->ring);
	q->ring.size = v->queue_size;
	q->pfn = pfn;
	q->kicked = q->interrupt = false;
	q->kick_wanted = true;
	if (!pfn)
		return;
	q->ring.desc = at;
	q->ring.driver = at + 16 * size;
	q->ring.device = (q->ring.driver + 6 + 2 * size + OLD_PAGE - 1) & ~(uint64_t)(OLD_PAGE - 1);
	enable_queue(v, q);
}

static void write_old_features(struct mf_virtio *v, uint32_t value)
{
	uint64_t any = MF_VIRTIO_BIT(MF_VIRTIO_F_ANY_LAYOUT), less;

	v->s.features = value & (v->offered | any) & UINT32_MAX;
	// There is no way to refuse a set: what cannot be without others is taken off, until nothing is left to take.
	while ((less = v->ops->impossible(v, v->s.features)) & v->s.features)
		v->s.features &= ~less;
}

void mf_virtio_legacy_write(struct mf_virtio *v, unsigned off, uint32_t value, unsigned size,
			    uint64_t now_ns)
{
	struct mf_virtio_queue *q = selected(v);
	unsigned config = old_config(v);

	if (off == OLD_STATUS && size == 1 && !(value & 0xff)) {
		mf_virtio_reset(v);
		return;
	}
	if (!takes(v, MF_VIRTIO_LEGACY))
		return;
	if (off >= config) {
		for (unsigned i = 0; i < size && v->ops->config_write; i++)
			v->ops->config_write(v, off - config + i, (uint8_t)(value >> 8 * i));
		return;
	}
	switch (off << 4 | size) {
	case OLD_DRIVER_FEATURES << 4 | 4:
		if (!(v->s.status & MF_VIRTIO_S_DRIVER_OK))
			write_old_features(v, value);
		break;
	case OLD_QUEUE_PFN << 4 | 4:
		if (q)
			write_pfn(v, q, value);
		break;
	case OLD_QUEUE_SELECT << 4 | 2:
		v->s.queue_select = (uint16_t)value;
		break;
	case OLD_NOTIFY << 4 | 2:
		mf_virtio_notify(v, value & 0xffff, now_ns);
		break;
	case OLD_STATUS << 4 | 1:
		mf_virtio_write_status(v, (uint8_t)value, now_ns);
		break;
	case OLD_CONFIG_VECTOR << 4 | 2:
		v->s.config_vector = mf_virtio_vector_of(v, value & 0xffff);
		break;
	case OLD_QUEUE_VECTOR << 4 | 2:
		if (q)
			q->vector = mf_virtio_vector_of(v, value & 0xffff);
		break;
	default:
		v->nic.counts[MF_NIC_BAD_ACCESS]++;
		break;
	}
}
