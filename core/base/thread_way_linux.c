/* SPDX-License-Identifier: Apache-2.0 */
/* thread_way_linux.c - thread.h: on Linux a nice value belongs to a thread */
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/thread.h"

#define WAY 10

void mf_thread_give_way(void)
{
	id_t self = (id_t)syscall(SYS_gettid);
	int now;

	errno = 0;
	now = getpriority(PRIO_PROCESS, self);
	if (now != -1 || errno == 0)
		(void)setpriority(PRIO_PROCESS, self, now + WAY);
}
