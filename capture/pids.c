/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pids.c - the processes of a session
 *
 * An open-addressing table of at most MF_PIDS_MAX processes, half empty at least, that grows as they come. One that has ended stays as "exited" for a while, so that
 * the packets that its connections still send (resets, mostly) are not taken for a stranger's and let pass; then, or when
 * room is needed, it goes.
 */
#include <stdlib.h>

#include "capture/pipeline_internal.h"

#define SLOTS_FIRST 256u
#define EXITED_MAX  4096u
_Static_assert((SLOTS_FIRST & (SLOTS_FIRST - 1)) == 0, "a power of two");

struct slot {
	uint32_t pid;	   /* 0: free */
	uint32_t exited_s; /* when it ended, 0: it lives */
};

struct mf_pids {
	struct slot *slots;
	uint32_t mask, used; /* slots that are not free */
	uint32_t living, exited;
	uint32_t ring[EXITED_MAX]; /* of those that ended, oldest at @ring_head */
	uint32_t ring_head;
};

struct mf_pids *mf_pids_new(void)
{
	struct mf_pids *p = calloc(1, sizeof(*p));

	if (p && !(p->slots = calloc(SLOTS_FIRST, sizeof(*p->slots)))) {
		free(p);
		return NULL;
	}
	if (p)
		p->mask = SLOTS_FIRST - 1;
	return p;
}

void mf_pids_free(struct mf_pids *p)
{
	if (!p)
		return;
	free(p->slots);
	free(p);
}

/* Windows' process ids are multiples of 4, Linux' count up: both spread by a multiplication. */
static uint32_t home_of(const struct mf_pids *p, uint32_t pid)
{
	return (uint32_t)(pid * UINT64_C(0x9e3779b97f4a7c15) >> 40) & p->mask;
}

/* The slot of a process, or the free one where it would stand; there is always a free one. */
static uint32_t find(const struct mf_pids *p, uint32_t pid)
{
	uint32_t i = home_of(p, pid);

	while (p->slots[i].pid && p->slots[i].pid != pid)
		i = (i + 1) & p->mask;
	return i;
}

/* Room for one more. */
static bool grow(struct mf_pids *p)
{
	struct mf_pids bigger = *p;

	if (p->used < p->mask / 2)
		return true;
	bigger.mask = p->mask * 2 + 1;
	bigger.slots = calloc((size_t)bigger.mask + 1, sizeof(*p->slots));
	if (!bigger.slots)
		return false;
	for (uint32_t i = 0; i <= p->mask; i++)
		if (p->slots[i].pid)
			bigger.slots[find(&bigger, p->slots[i].pid)] = p->slots[i];
	free(p->slots);
	p->slots = bigger.slots;
	p->mask = bigger.mask;
	return true;
}

/* Take a slot out and close the gap (Knuth 6.4, algorithm R). */
static void clear(struct mf_pids *p, uint32_t i)
{
	uint32_t j = i;

	p->used--;
	for (;;) {
		p->slots[i].pid = 0;
		do {
			uint32_t home;

			j = (j + 1) & p->mask;
			if (!p->slots[j].pid)
				return;
			home = home_of(p, p->slots[j].pid);
			if (((j - home) & p->mask) >= ((j - i) & p->mask))
				break;
		} while (true);
		p->slots[i] = p->slots[j];
		i = j;
	}
}

int mf_pids_add(struct mf_pids *p, uint32_t pid)
{
	uint32_t i;

	if (!pid)
		return MF_E_INVAL;
	i = find(p, pid);
	if (p->slots[i].pid && !p->slots[i].exited_s)
		return MF_E_EXIST;
	if (p->living >= MF_PIDS_MAX)
		return MF_E_FULL;
	if (!grow(p))
		return MF_E_NOMEM;
	i = find(p, pid);
	// A number that is used again: its place in the ring is skipped when its turn comes.
	p->used += !p->slots[i].pid;
	p->slots[i] = (struct slot){ .pid = pid };
	p->living++;
	return 0;
}

static void forget_oldest(struct mf_pids *p)
{
	uint32_t i = find(p, p->ring[p->ring_head]);

	if (p->slots[i].pid && p->slots[i].exited_s)
		clear(p, i);
	p->ring_head = (p->ring_head + 1) % EXITED_MAX;
	p->exited--;
}

static uint32_t seconds(uint64_t now_ns)
{
	return (uint32_t)(now_ns / MF_NS_PER_S) + 1;
}

bool mf_pids_remove(struct mf_pids *p, uint32_t pid, uint64_t now_ns)
{
	uint32_t i = pid ? find(p, pid) : 0;

	if (!pid || !p->slots[i].pid || p->slots[i].exited_s)
		return false;
	while (p->exited) {
		uint32_t o = find(p, p->ring[p->ring_head]);

		if (p->exited < EXITED_MAX && p->slots[o].pid && p->slots[o].exited_s &&
		    seconds(now_ns) - p->slots[o].exited_s <= MF_PIDS_EXITED_S)
			break;
		forget_oldest(p);
	}
	i = find(p, pid);
	p->slots[i].exited_s = seconds(now_ns);
	p->living--;
	p->ring[(p->ring_head + p->exited++) % EXITED_MAX] = pid;
	return true;
}

enum mf_pid_state mf_pids_get(const struct mf_pids *p, uint32_t pid, uint64_t now_ns)
{
	const struct slot *s = pid ? &p->slots[find(p, pid)] : NULL;

	if (!s || !s->pid)
		return MF_PID_FOREIGN;
	if (!s->exited_s)
		return MF_PID_SESSION;
	return seconds(now_ns) - s->exited_s <= MF_PIDS_EXITED_S ? MF_PID_EXITED : MF_PID_FOREIGN;
}

bool mf_pids_ended_before(const struct mf_pids *p, uint32_t pid, uint64_t at_ns)
{
	const struct slot *s = pid ? &p->slots[find(p, pid)] : NULL;

	return s && s->pid && s->exited_s && seconds(at_ns) > s->exited_s;
}
