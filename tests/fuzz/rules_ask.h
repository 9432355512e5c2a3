/* SPDX-License-Identifier: Apache-2.0 */
/* rules_ask.h - whatever rules came of any bytes: a question of each kind has an answer that fits it */
#ifndef MF_TESTS_FUZZ_RULES_ASK_H
#define MF_TESTS_FUZZ_RULES_ASK_H

#include <stdlib.h>

#include "core/policy/request.h"
#include "core/policy/rules.h"

static inline void mf_fuzz_ask_rules(struct mf_rules *rules)
{
	struct mf_outcome *o;

	for (int kind = 0; kind < MF_KIND_NUM; kind++) {
		struct mf_request *q = mf_request_new((enum mf_kind)kind);

		(void)mf_request_set_str(q, MF_F_NAME, "a.b.example", 11);
		(void)mf_request_set_str(q, MF_F_HOST, "a.b.example", 11);
		(void)mf_request_set_str(q, MF_F_SNI, "b.example", 9);
		(void)mf_request_set_addr_text(q, MF_F_IP, "10.1.2.3");
		(void)mf_request_set_int(q, MF_F_PORT, 443);
		(void)mf_request_set_str(q, MF_F_OP, "rename", 6);
		(void)mf_request_set_str(q, MF_F_PATH, "/a/b/c.so", 9);
		(void)mf_request_set_str(q, MF_F_TARGET, "/a/.env", 7);
		if (mf_rules_ask(rules, q, &o) == 0 && o &&
		    (!o->d.rule || !mf_verdict_fits((enum mf_kind)kind, o->d.verdict)))
			abort();
		mf_request_free(q);
	}
}

#endif
