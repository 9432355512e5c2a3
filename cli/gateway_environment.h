/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_environment.h - variables of the environment that Aero's own servers know, for `moonfence gateway`
 *
 * Deployments that have them need not be told anew. A variable says what an option says, and counts where that option was not given; an
 * empty one counts as none (a list of ports does not). docs/gateway.md has the table; what would open less than the variable asks for is ignored and
 * says so, what would open more fails. Names that others have, too (PORT, API_KEY), are looked at when we are told to (--env aero).
 */
#ifndef MF_CLI_GATEWAY_ENVIRONMENT_H
#define MF_CLI_GATEWAY_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

struct mf_gateway_command;

/* --env: which variables are looked at */
enum mf_gateway_env {
	MF_GATEWAY_ENV_OWN,  /* AERO_... */
	MF_GATEWAY_ENV_AERO, /* all that Aero's servers know */
	MF_GATEWAY_ENV_NONE,
};

/* Texts that options point at. */
struct mf_gateway_texts {
	char *all[512];
	size_t cnt;
};

/**
 * mf_gateway_environment_apply() - After the command line, of which mf_gateway_options_has() tells
 * Return: 0; an exit status, and what was wrong has been said
 */
int mf_gateway_environment_apply(struct mf_gateway_command *g);
void mf_gateway_texts_free(struct mf_gateway_texts *t);

#endif
