/* SPDX-License-Identifier: Apache-2.0 */
/* replay_print.h - questions of a replayed capture as lines for people, or as JSON that is written as it comes */
#ifndef MF_CLI_REPLAY_PRINT_H
#define MF_CLI_REPLAY_PRINT_H

#include <stdbool.h>

#include "capture/replay.h"

enum { MF_REPLAY_NEW, MF_REPLAY_OLD }; /* which side is which */

struct mf_replay_print {
	bool json, changed_only, against;
	bool failed; /* out of memory: something was not printed */
	uint64_t questions[MF_KIND_NUM];
	uint64_t verdicts[MF_REPLAY_SIDES_MAX][MF_VERDICT_NUM];
	uint64_t not_asked[MF_REPLAY_SIDES_MAX];
	uint64_t differ;
	uint64_t printed;
};

void mf_replay_print_begin(struct mf_replay_print *p);
/** mf_replay_print_question() - For mf_replay_options.question; @ctx: a struct mf_replay_print */
void mf_replay_print_question(void *ctx, const struct mf_replay_question *q);
/** mf_replay_print_end() - The summary; @cut: the file ended inside of a packet */
void mf_replay_print_end(struct mf_replay_print *p, const struct mf_replay_stats *stats, bool cut);

#endif
