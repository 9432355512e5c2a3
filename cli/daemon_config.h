/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_config.h - moonfence.yaml read again while the daemon runs: what is taken over, what wants a restart
 *
 * policy.paths, policy.signing and policy.trust_store are: policies are loaded as the new file says, and tested, before anything
 * of it counts. What is run, and restart.*, is daemon/services.h's. All other keys count when the daemon is started again, and are
 * named to whoever had the file read. What the command line says goes before the file, as at the start.
 */
#ifndef MF_CLI_DAEMON_CONFIG_H
#define MF_CLI_DAEMON_CONFIG_H

#include "cli/policy_host.h"
#include "daemon/config.h"
#include "daemon/routes.h"

#define MF_DAEMON_SAID_MAX 8

struct mf_daemon_config {
	struct mf_policy_host *host;
	struct mf_routes_policy *policy;
	const struct mf_config *start; /* what the daemon began with */
	struct mf_config *now;	       /* the last that counted; NULL: @start */
	bool loading;		       /* policies of one: another waits its turn elsewhere */
	const char *said[MF_DAEMON_SAID_MAX + 1]; /* keys that the command line says */
	void (*use_paths)(void *ctx, const char *const *paths,
			  size_t cnt); /* those who start with ours */
	void *use_ctx;
	char default_policy[MF_PATH_MAX];
};

/** mf_daemon_config_check() - What the parser cannot see; Return: 0, MF_E_INVAL */
int mf_daemon_config_check(const struct mf_config *c, struct mf_err *err);

/* For struct mf_services_options; @config: a struct mf_daemon_config. */
bool mf_daemon_config_policies(void *config, const struct mf_config *c,
			       void (*done)(void *ctx, const struct mf_err *err), void *done_ctx);
void mf_daemon_config_settle(void *config, struct mf_config *c, json_t *answer);

/** mf_daemon_config_done() - After the policies are unloaded */
void mf_daemon_config_done(struct mf_daemon_config *d);

#endif
