/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_nolinux.c - see monitor.h; there is none where there is no fanotify */
#include "core/base/err.h"
#include "fs/monitor.h"

int mf_monitor_new(const struct mf_monitor_options *options, struct mf_monitor **ret_monitor,
		   struct mf_err *err)
{
	(void)options;
	*ret_monitor = NULL;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "watching without a filesystem (fs-mode monitor) wants Linux' fanotify");
}

int mf_monitor_serve(struct mf_monitor *monitor, struct mf_err *err)
{
	(void)monitor;
	return mf_err_set(err, MF_E_UNSUPPORTED, "this system has no monitor");
}

void mf_monitor_stop(struct mf_monitor *monitor)
{
	(void)monitor;
}

void mf_monitor_free(struct mf_monitor *monitor)
{
	(void)monitor;
}

const char *mf_monitor_kind(const struct mf_monitor *monitor)
{
	(void)monitor;
	return "not at all";
}

void mf_monitor_get_stats(const struct mf_monitor *monitor, struct mf_monitor_stats *ret)
{
	(void)monitor;
	*ret = (struct mf_monitor_stats){ .size = sizeof(*ret) };
}
