/* SPDX-License-Identifier: Apache-2.0 */
/* notify_win32.c - see notify.h: the service manager of Windows is told by service_win32.c */
#include "cli/notify.h"

void mf_notify_begin(struct mf_notify *n)
{
	*n = (struct mf_notify){ 0 };
}

int mf_notify_tell(const struct mf_notify *n, const char *text)
{
	(void)n;
	(void)text;
	return 0;
}

int mf_notify_reloading(const struct mf_notify *n)
{
	(void)n;
	return 0;
}
