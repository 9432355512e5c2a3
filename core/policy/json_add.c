/* SPDX-License-Identifier: Apache-2.0 */
/* json_add.c - see json_add.h */
#include "core/policy/json_add.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/addr.h"
#include "core/policy/value.h"

void mf_json_add_key(struct mf_strbuf *b, const char *key)
{
	if (b->len && b->str[b->len - 1] != '{' && b->str[b->len - 1] != '[')
		mf_strbuf_add(b, ", ", 2);
	if (!key)
		return;
	mf_strbuf_addc(b, '"');
	mf_strbuf_adds(b, key);
	mf_strbuf_add(b, "\": ", 3);
}

void mf_json_add_text(struct mf_strbuf *b, const char *key, const char *text)
{
	if (!text)
		return;
	mf_json_add_key(b, key);
	mf_json_add_str(b, text, strlen(text));
}

void mf_json_add_number(struct mf_strbuf *b, const char *key, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	mf_json_add_key(b, key);
	do {
		digits[--at] = (char)('0' + n % 10);
	} while (n /= 10);
	mf_strbuf_add(b, digits + at, sizeof(digits) - at);
}

void mf_json_add_bool(struct mf_strbuf *b, const char *key, bool yes)
{
	mf_json_add_key(b, key);
	mf_strbuf_adds(b, yes ? "true" : "false");
}

void mf_json_add_decision(struct mf_strbuf *b, const struct mf_decision *d)
{
	mf_json_add_text(b, "verdict", mf_verdict_name(d->verdict));
	mf_json_add_text(b, "origin", mf_origin_name(d->origin));
	mf_json_add_text(b, "reason", d->reason);
	mf_json_add_text(b, "message", d->message);
	mf_json_add_text(b, "visibility", mf_visibility_name(d->visibility));
	if (d->audit)
		mf_json_add_bool(b, "audit", true);
	mf_json_add_text(b, "cname", d->cname);
	mf_json_add_text(b, "redirect_host", d->redirect_host);
	if (d->redirect_host)
		mf_json_add_number(b, "redirect_port", d->redirect_port);
	mf_json_add_text(b, "redirect_unix", d->redirect_unix);
	mf_json_add_text(b, "sni", d->sni);
	if (d->verdict == MF_TERMINATE)
		mf_json_add_text(b, "on_pinned",
				 d->on_failure == MF_FAIL_OPEN ? "passthrough" : "deny");
	mf_json_add_text(b, "path_target", d->path_target);
	mf_json_add_text(b, "pack", d->pack);
	mf_json_add_text(b, "policy", d->policy);
	mf_json_add_text(b, "rule", d->rule);
	if (d->file && d->file[0])
		mf_json_add_text(b, "file", d->file);
	if (d->line)
		mf_json_add_number(b, "line", d->line);
	mf_json_add_bool(b, "matched", d->matched);
	mf_json_add_number(b, "generation", d->generation);
	mf_json_add_number(b, "elapsed_ns", d->elapsed_ns);
}

void mf_json_add_effect(struct mf_strbuf *b, enum mf_kind kind, const struct mf_decision *d)
{
	char text[MF_ADDR_TEXT_MAX];

	if (d->verdict == MF_RESOLVE) {
		mf_json_add_key(b, "addresses");
		mf_strbuf_addc(b, '[');
		for (size_t i = 0; i < d->addr_cnt; i++) {
			struct mf_addr addr;

			if (mf_addr_from_bytes(&addr, d->addrs[i].bytes,
					       d->addrs[i].family == 4 ? 4 : 16))
				mf_json_add_text(b, NULL,
						 mf_addr_format(&addr, text, sizeof(text)));
		}
		mf_strbuf_addc(b, ']');
		mf_json_add_number(b, "ttl_s", d->ttl_s);
	}
	if (d->verdict != MF_DENY)
		return;
	if (kind == MF_DNS || kind == MF_DNS_ANSWER)
		mf_json_add_number(b, "rcode", d->rcode);
	else if (kind == MF_FILE)
		mf_json_add_number(b, "errno", (uint64_t)(d->file_errno > 0 ? d->file_errno : 0));
}
