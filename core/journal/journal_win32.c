/* SPDX-License-Identifier: Apache-2.0 */
/* journal_win32.c - see journal.h: there, event files are appended to, and nothing else yet */
#include "core/journal/journal.h"

int mf_journal_add(struct mf_events *events, const char *path,
		   const struct mf_journal_options *options, const struct mf_log *log,
		   struct mf_err *err)
{
	(void)log;
	if (options && (options->max_bytes || options->max_age_s))
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "Event files are not rotated on Windows: leave the option out.");
	return mf_events_add_file(events, path, err);
}
