/* SPDX-License-Identifier: Apache-2.0 */
/* summary.h - what was decided in a session, gathered from its events and printed as a table at the end */
#ifndef MF_CLI_SUMMARY_H
#define MF_CLI_SUMMARY_H

#include <stddef.h>
#include <stdio.h>

struct mf_summary;

struct mf_summary *mf_summary_new(void); /* NULL without memory */
void mf_summary_free(struct mf_summary *s);

/** mf_summary_on_event() - A callback sink of mf_events (mf_event_fn); @ctx: the summary. One thread at a time. */
void mf_summary_on_event(void *ctx, const char *json, size_t len);

/** mf_summary_print() - The table, refusals first, then by how often; call it after the events have ended */
void mf_summary_print(struct mf_summary *s, FILE *out, const char *session_id);

#endif
