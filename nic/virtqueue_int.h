/* SPDX-License-Identifier: Apache-2.0 */
/* virtqueue_int.h - what the two layouts of virtqueue.h share, and single reads of memory that the driver may be writing */
#ifndef MF_NIC_VIRTQUEUE_INT_H
#define MF_NIC_VIRTQUEUE_INT_H

#include "core/base/err.h"
#include "nic/virtqueue.h"

#define MF_VIRTQ_DESC_LEN 16 /* bytes of a descriptor, in either layout */

/* Flags of descriptors. */
#define MF_VIRTQ_DESC_NEXT     0x0001
#define MF_VIRTQ_DESC_WRITE    0x0002
#define MF_VIRTQ_DESC_INDIRECT 0x0004

/* No error: functions here return an enum mf_virtq_error. */
#define MF_VIRTQ_FINE MF_VIRTQ_ERROR_NUM

/* Each of these is one access, whatever the compiler would rather do. */
static inline uint64_t mf_virtq_load64(const uint8_t *p)
{
	struct word {
		uint64_t v;
	} __attribute__((packed, may_alias));

	return ((const volatile struct word *)p)->v;
}

static inline uint16_t mf_virtq_load16(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static inline void mf_virtq_store16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_RELEASE);
}

static inline void mf_virtq_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/** mf_virtq_break() - The ring cannot be trusted any more; Return: MF_E_BAD */
int mf_virtq_break(struct mf_virtq *q, enum mf_virtq_error error);

/** mf_virtq_add() - Add a descriptor's buffer to a chain; Return: MF_VIRTQ_FINE or what is wrong */
enum mf_virtq_error mf_virtq_add(struct mf_virtq *q, struct mf_virtq_chain *c, uint64_t addr,
				 uint32_t len, bool write);

/** mf_virtq_table() - An indirect table; Return: MF_VIRTQ_FINE with @ret_table and @ret_cnt descriptors, or what is wrong */
enum mf_virtq_error mf_virtq_table(struct mf_virtq *q, uint64_t addr, uint32_t len, uint16_t flags,
				   const uint8_t **ret_table, uint32_t *ret_cnt);

int mf_virtq_split_pop(struct mf_virtq *q, struct mf_virtq_chain *c);
bool mf_virtq_split_wants_interrupt(struct mf_virtq *q, uint32_t news);
bool mf_virtq_split_ask_kick(struct mf_virtq *q, bool want);

int mf_virtq_packed_pop(struct mf_virtq *q, struct mf_virtq_chain *c);
void mf_virtq_packed_push(struct mf_virtq *q, struct mf_virtq_used u);
bool mf_virtq_packed_wants_interrupt(struct mf_virtq *q, uint32_t news);
bool mf_virtq_packed_ask_kick(struct mf_virtq *q, bool want);

#endif
