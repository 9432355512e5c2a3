/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_services.h - http_services of a run's policies: how its command learns where they are, and the table for the gateway
 *
 * The variables are set when the command starts; the rules are those of the policies in force at each request.
 */
#ifndef MF_CLI_RUN_SERVICES_H
#define MF_CLI_RUN_SERVICES_H

#include "cli/policy_host.h"
#include "core/policy/api_services.h"

struct mf_run_services {
	struct mf_policy_host *host;
	struct mf_api_services *now; /* of @generation; NULL: not read yet */
	uint64_t generation;
	char **envp; /* NULL: the command gets ours as it is */
	char **own;  /* of envp, ours */
	size_t own_cnt;
};

/**
 * mf_run_services_prepare() - Read the policies' services, before they are in force, for the command's environment
 * Policies that cannot be read have none; loading them says why. Return: 0, MF_E_NOMEM
 */
int mf_run_services_prepare(struct mf_run_services *s, struct mf_policy_host *host,
			    struct mf_err *err);

/** mf_run_services_current() - @ctx: the struct; mf_proxy_options.services. Return: NULL: they cannot be read */
const struct mf_api_services *mf_run_services_current(void *ctx);

void mf_run_services_done(struct mf_run_services *s);

/** mf_run_services_environment() - Our environment with NAME=URL of each service in @t; where there is none @s->envp stays NULL */
int mf_run_services_environment(struct mf_run_services *s, const struct mf_api_services *t);

#endif
