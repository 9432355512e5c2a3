/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_signing.h - whether policies must be signed to be loaded: agentsh's policies.signing {mode, trust_store}
 *
 * Each policy, module and data file that lies in no installed pack wants a FILE.sig by a key of the trust store (packs/policy_keys.h),
 * at every load, before it is parsed. The store is read each time: a key that is taken out, or has expired, counts no more from the
 * next load on.
 */
#ifndef MF_CLI_POLICY_SIGNING_H
#define MF_CLI_POLICY_SIGNING_H

#include <pthread.h>

#include "cli/options.h"
#include "core/base/log.h"
#include "core/policy/source.h"

#define MF_TRUST_STORE_OPTION_HELP                                                               \
	"load only policies that a key in DIR signed (FILE.sig, as agentsh has it); packs have " \
	"signatures of their own"
#define MF_SIGNING_OPTION_HELP \
	"what --trust-store is for: enforce (default), warn (say what is wrong, and load), off"

enum mf_signing_mode { MF_SIGNING_ENFORCE, MF_SIGNING_WARN, MF_SIGNING_OFF, MF_SIGNING_MODE_NUM };

struct mf_policy_signing {
	const char *trust_store; /* NULL: nothing is checked */
	enum mf_signing_mode mode;
	bool said;	 /* @mode was asked for */
	bool may_change; /* by mf_policy_signing_change(), from before the first load on */
	const struct mf_log *log;
	pthread_mutex_t lock; /* of the first two, where they may change */
};

/** mf_policy_signing_init() - Nothing is checked; there is nothing to free: a command has one as long as it runs */
void mf_policy_signing_init(struct mf_policy_signing *s);

/**
 * mf_policy_signing_change() - From the next load on; any thread
 * @trust_store: borrowed until the next change; NULL: nothing is checked
 */
void mf_policy_signing_change(struct mf_policy_signing *s, const char *trust_store,
			      enum mf_signing_mode mode);

/** mf_policy_signing_mode() - Of a word; Return: MF_SIGNING_MODE_NUM: none */
enum mf_signing_mode mf_policy_signing_mode(const char *word);

/** mf_policy_signing_take_mode() - "enforce", "warn" or "off"; Return: 0, or the exit status of wrong usage, which was told */
int mf_policy_signing_take_mode(const struct mf_usage *usage, struct mf_policy_signing *s,
				const char *value);

/**
 * mf_policy_signing_guard() - Who looks at the files of a runtime (mf_runtime_guard()); @s is borrowed
 * Return: 0: *@ret checks, or has no check where nothing is to be checked; MF_E_INVAL: a mode without a store
 */
int mf_policy_signing_guard(struct mf_policy_signing *s, struct mf_source_guard *ret,
			    struct mf_err *err);

#endif
