/* SPDX-License-Identifier: Apache-2.0 */
/* approval_terminal_win32.c - a console is shared by all its programs, and any of them can type into it: no answers from there */
#include "cli/approval_terminal.h"

int mf_approval_terminal_begin(struct event_base *base, struct mf_approvals *approvals,
			       struct mf_approval_terminal **ret, struct mf_err *err)
{
	(void)base;
	(void)approvals;
	*ret = NULL;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "approvals cannot be asked for at a Windows console, into which the "
			  "command can type as well");
}

void mf_approval_terminal_end(struct mf_approval_terminal *t)
{
	(void)t;
}
