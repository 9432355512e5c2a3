/* SPDX-License-Identifier: Apache-2.0 */
/*
 * id_set.h - a set of files by their identity (volume, number), bounded: what was not asked about for long is forgotten
 *
 * Two halves: what is added or asked about goes into the young one; when that is full it becomes the old one, and what the old
 * one still held is forgotten. So between max / 2 and max members are known, those that were of use last. Not thread-safe.
 */
#ifndef MF_FS_ID_SET_H
#define MF_FS_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mf_id_set_half {
	uint64_t (*at)[2];
	size_t room, cnt; /* room: a power of two, or 0 */
};

/* Begins as zeros. 16 bytes a member, doubled as it grows. */
struct mf_id_set {
	struct mf_id_set_half young, old;
};

#define MF_ID_SET_MAX (512u << 10) /* members: 16 MiB */

/** mf_id_set_add() - O(1); Return: false: no memory, it is not known */
bool mf_id_set_add(struct mf_id_set *s, uint64_t dev, uint64_t ino);
/** mf_id_set_has() - O(1) */
bool mf_id_set_has(struct mf_id_set *s, uint64_t dev, uint64_t ino);
/** mf_id_set_remove() - O(1) */
void mf_id_set_remove(struct mf_id_set *s, uint64_t dev, uint64_t ino);
void mf_id_set_done(struct mf_id_set *s);

#endif
