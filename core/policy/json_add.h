/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_add.h - members of a JSON object put down one after the other in a text buffer; a decision as such members
 *
 *	mf_strbuf_addc(&b, '{');
 *	mf_json_add_text(&b, "name", name);		NULL: left out
 *	mf_json_add_decision(&b, &d);
 *	mf_strbuf_addc(&b, '}');
 */
#ifndef MF_POLICY_JSON_ADD_H
#define MF_POLICY_JSON_ADD_H

#include <moonfence/moonfence.h>

#include "core/base/strbuf.h"

/** mf_json_add_key() - A comma where one is wanted, and the key; NULL: the next item of a list */
void mf_json_add_key(struct mf_strbuf *b, const char *key);
void mf_json_add_text(struct mf_strbuf *b, const char *key, const char *text);
void mf_json_add_number(struct mf_strbuf *b, const char *key, uint64_t n);
void mf_json_add_bool(struct mf_strbuf *b, const char *key, bool yes);

/** mf_json_add_decision() - Verdict, why, and where it came from: the members that mf_explain() begins with */
void mf_json_add_decision(struct mf_strbuf *b, const struct mf_decision *d);
/** mf_json_add_effect() - What @kind's answer carries beside: addresses, ttl, rcode, errno */
void mf_json_add_effect(struct mf_strbuf *b, enum mf_kind kind, const struct mf_decision *d);

#endif
