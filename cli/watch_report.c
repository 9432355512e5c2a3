/* SPDX-License-Identifier: Apache-2.0 */
/* watch_report.c - see watch_report.h */
#include "cli/watch_report.h"

void mf_watch_report(const struct mf_monitor *monitor, const struct mf_log *log)
{
	struct mf_monitor_stats s = { .size = sizeof(s) };

	mf_monitor_get_stats(monitor, &s);
	mf_log_info(log,
		    "%llu operations told of by the kernel, %llu questions: %llu would have been "
		    "refused, %llu kept in the trash, %llu redirected; %llu events left out",
		    (unsigned long long)s.records, (unsigned long long)s.asked,
		    (unsigned long long)s.would_refuse, (unsigned long long)s.would_trash,
		    (unsigned long long)s.would_redirect, (unsigned long long)s.events_left_out);
	if (s.overflows)
		mf_log_warning(
			log, "not everything was told of: the kernel's queue overflowed %llu times",
			(unsigned long long)s.overflows);
	if (s.unplaced)
		mf_log_info(log, "%llu operations in directories that nobody knew any longer",
			    (unsigned long long)s.unplaced);
}
