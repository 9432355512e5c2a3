/* SPDX-License-Identifier: Apache-2.0 */
/* outcome.c - see outcome.h */
#include "core/policy/outcome.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/hash.h"

#define KINDS_ALL (1 << MF_DNS | 1 << MF_CONNECT | 1 << MF_SNI | 1 << MF_FILE | 1 << MF_DNS_ANSWER)

/* Which kinds can carry a verdict. */
static const unsigned char verdict_kinds[] = {
	[MF_ALLOW] = KINDS_ALL,
	[MF_DENY] = KINDS_ALL,
	[MF_RESOLVE] = 1 << MF_DNS,
	[MF_REDIRECT] = 1 << MF_CONNECT | 1 << MF_SNI,
	[MF_ROUTE] = 1 << MF_SNI,
	[MF_TERMINATE] = 1 << MF_CONNECT | 1 << MF_SNI,
	[MF_ASK] = KINDS_ALL,
	[MF_SOFT_DELETE] = 1 << MF_FILE,
	[MF_REDIRECT_PATH] = 1 << MF_FILE,
};
static_assert(MF_ARRAY_SIZE(verdict_kinds) == MF_VERDICT_NUM, "the kinds of every verdict");

/* The strings of a decision, by their place in it. */
static const size_t string_offs[] = {
	offsetof(struct mf_decision, cname),	     offsetof(struct mf_decision, redirect_host),
	offsetof(struct mf_decision, redirect_unix), offsetof(struct mf_decision, sni),
	offsetof(struct mf_decision, path_target),   offsetof(struct mf_decision, reason),
	offsetof(struct mf_decision, message),	     offsetof(struct mf_decision, pack),
	offsetof(struct mf_decision, pack_version),  offsetof(struct mf_decision, policy),
	offsetof(struct mf_decision, rule),	     offsetof(struct mf_decision, file),
};

static const char *get_string(const struct mf_decision *d, size_t i)
{
	const char *s;

	memcpy(&s, (const char *)d + string_offs[i], sizeof(s));
	return s;
}

struct mf_outcome *mf_outcome_new(const struct mf_decision *d)
{
	struct mf_outcome *o = calloc(1, sizeof(*o));
	size_t i, size = 1, len;
	const char *s;
	char *at;

	if (!o)
		return NULL;
	for (i = 0; i < MF_ARRAY_SIZE(string_offs); i++) {
		s = get_string(d, i);
		size += s ? strlen(s) + 1 : 0;
	}
	o->text = at = malloc(size);
	if (!at) {
		free(o);
		return NULL;
	}
	o->refs = 1;
	o->d = *d;
	for (i = 0; i < MF_ARRAY_SIZE(string_offs); i++) {
		s = get_string(d, i);
		if (!s)
			continue;
		len = strlen(s) + 1;
		memcpy(at, s, len);
		memcpy((char *)&o->d + string_offs[i], &at, sizeof(at));
		at += len;
	}
	return o;
}

struct mf_outcome *mf_outcome_ref(struct mf_outcome *o)
{
	o->refs++;
	return o;
}

void mf_outcome_unref(struct mf_outcome *o)
{
	if (!o || --o->refs)
		return;
	free(o->text);
	free(o);
}

/* The scalars that make two outcomes differ, in a fixed order. */
struct scalars {
	uint32_t verdict, visibility, on_failure, tls_mode, audit, hash, cow, matched, addr_cnt;
	uint32_t rcode, redirect_port, file_errno, ttl_s, line, else_allow;
	uint32_t ask_timeout_ms, ask_once;
};

static struct scalars scalars_of(const struct mf_decision *d)
{
	return (struct scalars){
		.verdict = d->verdict,
		.visibility = d->visibility,
		.on_failure = d->on_failure,
		.tls_mode = d->tls_mode,
		.audit = d->audit,
		.hash = d->hash,
		.cow = d->cow,
		.matched = d->matched,
		.addr_cnt = d->addr_cnt,
		.rcode = d->rcode,
		.redirect_port = d->redirect_port,
		.file_errno = (uint32_t)d->file_errno,
		.ttl_s = d->ttl_s,
		.line = d->line,
		.else_allow = d->else_allow,
		.ask_timeout_ms = d->ask_timeout_ms,
		.ask_once = d->ask_once,
	};
}

uint64_t mf_decision_hash(const struct mf_decision *d, uint64_t seed)
{
	struct scalars sc = scalars_of(d);
	uint64_t h = mf_hash_bytes(&sc, sizeof(sc), seed);
	const char *s;
	size_t i;

	for (i = 0; i < d->addr_cnt; i++)
		h = mf_hash_bytes(&d->addrs[i], sizeof(d->addrs[i]), h);
	for (i = 0; i < MF_ARRAY_SIZE(string_offs); i++) {
		s = get_string(d, i);
		h = s ? mf_hash_bytes(s, strlen(s), h) : mf_hash_u64(i, h);
	}
	return h;
}

bool mf_decision_same(const struct mf_decision *a, const struct mf_decision *b)
{
	struct scalars sa = scalars_of(a), sb = scalars_of(b);
	const char *x, *y;
	size_t i;

	if (memcmp(&sa, &sb, sizeof(sa)) != 0 ||
	    memcmp(a->addrs, b->addrs, a->addr_cnt * sizeof(a->addrs[0])) != 0)
		return false;
	for (i = 0; i < MF_ARRAY_SIZE(string_offs); i++) {
		x = get_string(a, i);
		y = get_string(b, i);
		if (x != y && (!x || !y || strcmp(x, y) != 0))
			return false;
	}
	return true;
}

void mf_decision_settle(struct mf_decision *d, const char *why)
{
	d->settled = true;
	d->decided = d->verdict;
	d->verdict = d->else_allow ? MF_ALLOW : MF_DENY;
	d->audit = d->else_allow;
	d->reason = why;
}

void mf_decision_settle_ask(struct mf_decision *d)
{
	if (d->verdict == MF_ASK)
		mf_decision_settle(d, "approve_without_channel");
}

bool mf_verdict_fits(enum mf_kind kind, enum mf_verdict verdict)
{
	if ((unsigned)kind >= MF_KIND_NUM || (unsigned)verdict >= MF_VERDICT_NUM)
		return false;
	return verdict_kinds[verdict] >> kind & 1;
}
