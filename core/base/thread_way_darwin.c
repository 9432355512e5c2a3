/* SPDX-License-Identifier: Apache-2.0 */
/* thread_way_darwin.c - thread.h: macOS has classes of work */
#include <pthread/qos.h>

#include "core/base/thread.h"

void mf_thread_give_way(void)
{
	(void)pthread_set_qos_class_self_np(QOS_CLASS_UTILITY, 0);
}
