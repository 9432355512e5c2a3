/* SPDX-License-Identifier: Apache-2.0 */
/* serve_near_linux.c - see serve_near_linux.h */
#include "fs/serve_near_linux.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REST  4	 /* looks, while both are where they were */
#define FIELD 36 /* processor, counted from the one behind the name and the state (proc(5)) */

int mf_fuse_near_cpu(pid_t tid)
{
	char path[64], text[1024], *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = strrchr(text, ')'); // the name may hold anything
	if (!at || !at[1])
		return -1;
	at += 2;
	for (int i = 0; at && i < FIELD; i++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	return at && *at >= '0' && *at <= '9' ? atoi(at) : -1;
}

void mf_fuse_near_init(struct mf_fuse_near *n)
{
	n->known = sched_getaffinity(0, sizeof(n->all), &n->all) == 0;
}

void mf_fuse_near_begin(const struct mf_fuse_near *n)
{
	if (n->known)
		(void)sched_setaffinity(0, sizeof(n->all), &n->all);
}

void mf_fuse_near_leave(struct mf_fuse_near *n)
{
	if (n->tid)
		(void)sched_setaffinity(n->tid, sizeof(n->all), &n->all);
	n->tid = 0;
}

void mf_fuse_near_stay(struct mf_fuse_near *n, pid_t tid, pid_t caller)
{
	cpu_set_t one;
	int cpu;

	if (!n->known)
		return;
	if (n->tid && n->tid != tid)
		mf_fuse_near_leave(n);
	if (n->tid && n->rest) {
		n->rest--;
		return;
	}
	cpu = mf_fuse_near_cpu(caller);
	if (n->tid && cpu == n->cpu) {
		n->rest = REST;
		return;
	}
	if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &n->all)) {
		mf_fuse_near_leave(n);
		return;
	}
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(tid, sizeof(one), &one) < 0)
		return;
	n->tid = tid;
	n->cpu = cpu;
	n->rest = 0; // it may be moved by this very change
}
