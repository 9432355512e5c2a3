/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approval_prompt.h - what a terminal shows of a request that waits, and what a person's line means
 *
 * Names and paths are whoever asks' choice: what could drive a terminal or turn the direction of writing is shown as \x1b or
 * \u202e (mf_approve_show_text()), and only what is known is on a line of its own.
 */
#ifndef MF_CLI_APPROVAL_PROMPT_H
#define MF_CLI_APPROVAL_PROMPT_H

#include "core/approve/approve.h"

/** mf_approval_prompt_write() - The question in a few lines, the last one without its end */
void mf_approval_prompt_write(const struct mf_approve_item *item, struct mf_strbuf *out);

struct mf_approval_reply {
	bool allow;
	enum mf_approve_scope scope;
	uint64_t for_ms;
};

/**
 * mf_approval_reply_parse() - y, n, s (this session), t 10m (for a time), ns (no, for this session)
 * Return: false: it means nothing
 */
bool mf_approval_reply_parse(const char *line, struct mf_approval_reply *ret);

#endif
