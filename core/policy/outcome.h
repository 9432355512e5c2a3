/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome.h - a verdict with its parameters and its provenance, immutable once made
 *
 * Rules make outcomes when they are compiled, verdict constructors (deny{...}) when a hook runs. Graph leaves and memo
 * entries hold references; mf_decide() copies pointers into the caller's struct mf_decision and keeps a reference until
 * the next call. Reference counts are not atomic: an outcome belongs to one VM.
 */
#ifndef MF_POLICY_OUTCOME_H
#define MF_POLICY_OUTCOME_H

#include <moonfence/moonfence.h>

struct mf_outcome {
	unsigned refs;
	/* Everything of mf_decision but size, origin, generation, elapsed_ns, expires_ns, error. Strings point into text. */
	struct mf_decision d;
	char *text; /* the strings, one block */
};

/**
 * mf_outcome_new() - Copy @d and the strings it points to
 * Return: an outcome with one reference, or NULL without memory
 */
struct mf_outcome *mf_outcome_new(const struct mf_decision *d);
struct mf_outcome *mf_outcome_ref(struct mf_outcome *o);
void mf_outcome_unref(struct mf_outcome *o); /* NULL is fine */

/** mf_decision_hash() - Hash of everything that mf_decision_same() compares */
uint64_t mf_decision_hash(const struct mf_decision *d, uint64_t seed);
/** mf_decision_same() - Whether two decisions say the same: all but size, origin, error, generation and times */
bool mf_decision_same(const struct mf_decision *a, const struct mf_decision *b);

/**
 * mf_decision_settle() - Put deny, or allow where the policy says so, in the place of a verdict that cannot be carried out
 * @why: the new reason, which must outlive @d
 */
void mf_decision_settle(struct mf_decision *d, const char *why);

/** mf_decision_settle_ask() - The same for an ask, as long as there is nobody to ask; others are left alone */
void mf_decision_settle_ask(struct mf_decision *d);

/** mf_verdict_fits() - Whether a kind can carry a verdict (soft_delete only for file, ...) */
bool mf_verdict_fits(enum mf_kind kind, enum mf_verdict verdict);

#endif
