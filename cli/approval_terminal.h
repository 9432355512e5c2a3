/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approval_terminal.h - requests that wait, asked about one by one at the terminal that moonfence was started from
 *
 * The command has the terminal, too. A question is written in one piece, and only while the terminal works by lines and is
 * moonfence's own group's: a full-screen program, or a shell inside the session with jobs of its own, is not disturbed; the
 * question waits until it has ended, or somebody answers elsewhere. What was typed before the question is no answer to it.
 */
#ifndef MF_CLI_APPROVAL_TERMINAL_H
#define MF_CLI_APPROVAL_TERMINAL_H

#include "core/base/err.h"

struct event_base;
struct mf_approvals;
struct mf_approval_terminal;

/**
 * mf_approval_terminal_begin() - Ask there from now on, from @base's thread
 * Return: 0; MF_E_UNSUPPORTED: there is no terminal; MF_E_NOMEM
 */
int mf_approval_terminal_begin(struct event_base *base, struct mf_approvals *approvals,
			       struct mf_approval_terminal **ret, struct mf_err *err);
void mf_approval_terminal_end(struct mf_approval_terminal *t); /* NULL is fine */

#endif
