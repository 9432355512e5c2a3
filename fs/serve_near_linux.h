/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve_near_linux.h - the thread that serves stays on the processor of the one who asks
 *
 * Who asks sleeps until it is answered. Where both are on one processor each wakes the other by a switch; where they are not, by an
 * interrupt of another processor, which costs three to five times as much on a virtual machine. Linux leaves it to chance
 * which of them it is, and keeps to it for seconds. So while one thread alone asks and one alone serves, the latter may run only where
 * the former was seen last; it is looked again every few milliseconds, as Linux may move those who ask. As soon as several ask, nobody does for a second,
 * or big pieces are read ahead, it may run everywhere again.
 */
#ifndef MF_FS_SERVE_NEAR_LINUX_H
#define MF_FS_SERVE_NEAR_LINUX_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Used by one thread, the watch. */
struct mf_fuse_near {
	pid_t tid; /* of the thread that is kept somewhere; 0: none is */
	int cpu;
	unsigned rest; /* looks before it is looked after again */
	bool known;
	cpu_set_t all; /* where all threads may run otherwise; of who began */
};

/** mf_fuse_near_init() - Before any thread serves */
void mf_fuse_near_init(struct mf_fuse_near *n);

/** mf_fuse_near_begin() - By each thread that is to serve: it has inherited where its maker was to stay */
void mf_fuse_near_begin(const struct mf_fuse_near *n);

/** mf_fuse_near_stay() - The thread @tid serves only @caller, a thread as the kernel names it; costs a look into /proc now and then */
void mf_fuse_near_stay(struct mf_fuse_near *n, pid_t tid, pid_t caller);

/** mf_fuse_near_leave() - It serves others as well, or nobody */
void mf_fuse_near_leave(struct mf_fuse_near *n);

/** mf_fuse_near_cpu() - The processor where a thread was last. Return: -1: not known */
int mf_fuse_near_cpu(pid_t tid);

#endif
