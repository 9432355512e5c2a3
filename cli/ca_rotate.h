/* SPDX-License-Identifier: Apache-2.0 */
/* ca_rotate.h - another authority in place of the one in force, in every store that trusts that one, or nowhere */
#ifndef MF_CLI_CA_ROTATE_H
#define MF_CLI_CA_ROTATE_H

#include "cli/ca_stores.h"
#include "proxies/tls_authority_disk.h"

/* Told of each store that was changed; @step "trusts the new one", "no longer trusts the old one", or an error's text. */
struct mf_ca_report {
	void (*step)(void *ctx, const struct mf_ca_store *store, const char *step);
	void *ctx;
};

/**
 * mf_ca_rotate() - Make another authority and let it take over
 * The new one is made beside the old one, trusted where that one is trusted, put in its place, and the old one is no longer
 * trusted. When a step fails, all before it are undone and the old one stays in force. A process that is killed in between
 * leaves files that mf_ca_recover() knows.
 * @dir: locked, without leftovers (mf_ca_recover()); @plan: what the new one shall be
 * Return: 0; or an error, and the old one is in force (if even undoing failed, @err says what is left)
 */
int mf_ca_rotate(const struct mf_private_dir *dir, const struct mf_ca_stores *stores,
		 const struct mf_tls_plan *plan, const struct mf_ca_report *report,
		 struct mf_err *err);

/**
 * mf_ca_recover() - Clean up after a rotation that was killed: what is not in force is trusted nowhere
 * Return: 0; MF_E_*: it could not be taken out of a store; the files stay, so that a later call tries again
 */
int mf_ca_recover(const struct mf_private_dir *dir, const struct mf_ca_stores *stores,
		  struct mf_err *err);

#endif
