/* SPDX-License-Identifier: Apache-2.0 */
/* settle.c - what makes two questions equal, and an answer in the place of an ask */
#include <string.h>

#include "core/approve/approve_int.h"
#include "core/base/sha256.h"
#include "core/policy/outcome.h"
#include "core/policy/request.h"

enum { KEY_ROOM = 2 * 65536 + 8192 }; /* two paths, and the rest */

static void add_text(struct mf_strbuf *b, const char *text)
{
	if (text)
		mf_strbuf_adds(b, text);
	mf_strbuf_addc(b, text ? '\0' : '\1');
}

static void add_field(struct mf_strbuf *b, const struct mf_request *req, enum mf_field field)
{
	struct mf_value v = mf_request_peek(req, field);

	mf_strbuf_addf(b, "%u:%u:%lld:", (unsigned)v.type, v.len, (long long)v.num);
	if (v.len)
		mf_strbuf_add(b, v.ptr, v.len);
}

static bool is_word(const struct mf_value *v, const char *word)
{
	return v->type == MF_T_STR && v->len == strlen(word) && memcmp(v->ptr, word, v->len) == 0;
}

static bool is_one_of(const struct mf_value *v, const char *const *words)
{
	while (*words && !is_word(v, *words))
		words++;
	return *words != NULL;
}

/* Questions that come together mean one thing to whoever answers: an address is asked for as A and AAAA, a file is opened and read. */
static const char *dns_class(const struct mf_value *type)
{
	static const char *const words[] = { "A", "AAAA", "HTTPS", "SVCB", NULL };

	return is_one_of(type, words) ? "address" : NULL;
}

static bool opens_for_change(const struct mf_request *req)
{
	static const char *const words[] = { "write", "create", "truncate", "append" };
	struct mf_value flags = mf_request_peek(req, MF_F_FLAGS);
	const char *item;
	size_t pos = 0, n;

	while ((item = mf_list_next(&flags, &pos, &n)))
		for (size_t i = 0; i < MF_ARRAY_SIZE(words); i++)
			if (strcmp(item, words[i]) == 0)
				return true;
	return false;
}

static const char *file_class(const struct mf_request *req, const struct mf_value *op)
{
	static const char *const reads[] = { "open",   "read",	   "stat",	"list", "readlink",
					     "access", "getxattr", "listxattr", NULL };
	static const char *const writes[] = { "write", "create", "truncate", NULL };

	if (is_one_of(op, writes) || opens_for_change(req))
		return "write";
	return is_one_of(op, reads) ? "read" : NULL;
}

static void add_server(struct mf_strbuf *b, const struct mf_request *req)
{
	struct mf_value ip = mf_request_peek(req, MF_F_IP), host = mf_request_peek(req, MF_F_HOST);
	struct mf_addr addr;

	add_field(b, req, MF_F_PORT);
	add_field(b, req, MF_F_PROTO);
	add_field(b, req, MF_F_HOST);
	/* A name leads to other addresses tomorrow; but not from the internet into a private network. */
	if (ip.type == MF_T_ADDR && host.type == MF_T_STR) {
		memcpy(&addr, ip.ptr, sizeof(addr));
		mf_strbuf_adds(b, mf_addr_is_private(&addr) ? "private" : "public");
	} else {
		add_field(b, req, MF_F_IP);
	}
}

static void add_subject(struct mf_strbuf *b, const struct mf_request *req)
{
	struct mf_value v;
	const char *class;

	switch ((enum mf_kind)req->kind) {
	case MF_DNS:
	case MF_DNS_ANSWER:
		v = mf_request_peek(req, MF_F_TYPE);
		class = dns_class(&v);
		add_field(b, req, MF_F_NAME);
		add_text(b, class);
		if (!class)
			add_field(b, req, MF_F_TYPE);
		return;
	case MF_SNI:
		add_field(b, req, MF_F_SNI);
		add_server(b, req);
		return;
	case MF_CONNECT:
		add_server(b, req);
		return;
	case MF_FILE:
		v = mf_request_peek(req, MF_F_OP);
		class = file_class(req, &v);
		add_text(b, class);
		if (!class)
			add_field(b, req, MF_F_OP);
		add_field(b, req, MF_F_PATH);
		add_field(b, req, MF_F_TARGET);
		return;
	case MF_KIND_NUM:
		return;
	}
}

void mf_approve_key(struct mf_request *req, const struct mf_decision *d, const char *session_id,
		    uint8_t ret[MF_APPROVE_KEY_LEN])
{
	struct mf_strbuf b = MF_STRBUF_INIT(KEY_ROOM);

	_Static_assert(MF_APPROVE_KEY_LEN == MF_SHA256_LEN, "keys are hashes");
	add_text(&b, session_id);
	add_text(&b, mf_kind_name((enum mf_kind)req->kind));
	add_text(&b, d->pack);
	add_text(&b, d->policy);
	add_text(&b, d->rule);
	add_text(&b, d->file);
	add_text(&b, d->reason);
	mf_strbuf_addf(&b, "%u:%llu:", d->line, (unsigned long long)d->generation);
	/* What a policy has read of the process had a part in the question. */
	add_field(&b, req, MF_F_PROCESS_EXE);
	add_field(&b, req, MF_F_PROCESS_USER);
	add_subject(&b, req);
	if (b.failed) { /* no memory: a key that no other question has */
		static _Atomic uint64_t lonely;
		uint64_t n = ++lonely;

		memset(ret, 0, MF_APPROVE_KEY_LEN);
		memcpy(ret, &n, sizeof(n));
	} else {
		mf_sha256(b.str, b.len, ret);
	}
	mf_strbuf_done(&b);
}

static void put(struct mf_decision *d, const struct mf_approve_grant *g, uint64_t until_ns)
{
	d->else_allow = g->allow;
	mf_decision_settle(d, g->why);
	if (d->expires_ns > until_ns)
		d->expires_ns = until_ns;
}

bool mf_approve_settle(struct mf_approvals *t, const char *session_id, struct mf_request *req,
		       const struct mf_approve_grants *grants, struct mf_decision *d)
{
	struct mf_approve_grant g;
	uint8_t key[MF_APPROVE_KEY_LEN];
	uint64_t until_ns;

	if (d->verdict != MF_ASK)
		return true;
	if (!t) {
		mf_decision_settle_ask(d);
		return true;
	}
	mf_approve_key(req, d, session_id, key);
	for (unsigned i = grants ? grants->cnt : 0; i > 0; i--) {
		if (memcmp(grants->rows[i - 1].key, key, sizeof(key)) != 0)
			continue;
		put(d, &grants->rows[i - 1], 0); /* nobody else has a part in it */
		return true;
	}
	if (!mf_approve_recall(t, key, &g, &until_ns))
		return false;
	put(d, &g, until_ns);
	return true;
}

void mf_approve_refuse(struct mf_decision *d, const char *why)
{
	if (d->verdict != MF_ASK)
		return;
	d->else_allow = false;
	mf_decision_settle(d, why);
}
