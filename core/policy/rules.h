/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.h - declarative rules of one policy, compiled so that cost does not grow with their number
 *
 * Families (agentsh's names, fields, order and meaning): network_rules, dns_redirects, connect_redirects, file_rules.
 * First match by position wins within a family; docs/rules.md says how families combine.
 */
#ifndef MF_POLICY_RULES_H
#define MF_POLICY_RULES_H

#include <lua.h>

#include "core/policy/outcome.h"

struct mf_rules;

/**
 * mf_rules_from_lua() - Read the declarative families from a policy's table at @idx
 * @policy: its name, @file: its source, for messages and provenance
 * Raises nothing. Return: 0 with *ret_rules NULL when there are none; MF_E_POLICY with every error of the table in @err
 * (as many as fit), each naming family, index, rule name, field and what was expected.
 */
int mf_rules_from_lua(lua_State *L, int idx, const char *policy, const char *file,
		      struct mf_rules **ret_rules, struct mf_err *err);
void mf_rules_free(struct mf_rules *rules);

/** mf_rules_fields() - Mask of the fields that evaluation can read for @kind: they belong into the memo key */
uint64_t mf_rules_fields(const struct mf_rules *rules, enum mf_kind kind);

/**
 * mf_rules_ask() - The first matching rule's outcome
 * @ret: borrowed from @rules; NULL when no rule matched
 * Return: 0, or MF_E_LIMIT when a regex hit its match limit (the policy's fail mode decides)
 */
int mf_rules_ask(struct mf_rules *rules, struct mf_request *req, struct mf_outcome **ret);

size_t mf_rules_count(const struct mf_rules *rules);

#endif
