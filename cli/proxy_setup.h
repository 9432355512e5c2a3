/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_setup.h - what "moonfence proxy setup" was asked for, and the system's part of it */
#ifndef MF_CLI_PROXY_SETUP_H
#define MF_CLI_PROXY_SETUP_H

#include <stdbool.h>

enum mf_proxy_setup_mode {
	MF_PROXY_SETUP_DEFAULT, /* redirect where we may, else explicit */
	MF_PROXY_SETUP_REDIRECT,
	MF_PROXY_SETUP_EXPLICIT,
};

struct mf_proxy_setup {
	const char *user, *ca_dir, *unit; /* the last two: NULL for none */
	bool trust, json;
	enum mf_proxy_setup_mode mode;
};

/** mf_proxy_setup_make() - Make what is not there yet, and tell each step; Return: the exit status */
int mf_proxy_setup_make(const struct mf_proxy_setup *wishes);

#endif
