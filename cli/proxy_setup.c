/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_setup.c - moonfence proxy setup: what was asked for; proxy_setup_*.c do it */
#include "cli/proxy_setup.h"

#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "core/base/err.h"

enum { OPT_JSON = 1, OPT_USER, OPT_TRUST, OPT_CA_DIR, OPT_UNIT, OPT_MODE };

static const struct mf_option options[] = {
	{ OPT_MODE, 0, "proxy-mode", "MODE",
	  "redirect (default as root): rules of nftables; explicit: a listener, no privileges" },
	{ OPT_USER, 'u', "user", "NAME",
	  "the user that the service shall run as (default: moonfence)" },
	{ OPT_TRUST, 0, "trust-ca", NULL, "let this user's programs trust the local authority" },
	{ OPT_CA_DIR, 0, "ca-dir", "DIR", "the local certificate authority is there" },
	{ OPT_UNIT, 0, "unit", "FILE",
	  "write a systemd unit that enables forwarding at every start of the system" },
	{ OPT_JSON, 'j', "json", NULL, "print JSON" },
};

static const struct mf_usage usage = {
	.name = "proxy setup",
	.synopsis = "[OPTION]...",
	.text = "Makes what domain forwarding wants: a system user for its service, and the local "
		"certificate\n"
		"authority. What is there already stays. Starts nothing.\n",
	.example = "  moonfence proxy setup --trust-ca\n"
		   "  moonfence proxy setup --unit /etc/systemd/system/moonfence-proxy.service\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

static int take_option(struct mf_proxy_setup *s, int opt, const char *value)
{
	switch (opt) {
	case OPT_JSON:
		s->json = true;
		return 0;
	case OPT_USER:
		s->user = value;
		return 0;
	case OPT_TRUST:
		s->trust = true;
		return 0;
	case OPT_CA_DIR:
		s->ca_dir = value;
		return 0;
	case OPT_UNIT:
		s->unit = value;
		return 0;
	case OPT_MODE:
		s->mode = strcmp(value, "explicit") == 0 ? MF_PROXY_SETUP_EXPLICIT
							 : MF_PROXY_SETUP_REDIRECT;
		if (s->mode == MF_PROXY_SETUP_REDIRECT && strcmp(value, "redirect") != 0)
			return mf_options_wrong(&usage,
						"--proxy-mode knows 'redirect' and 'explicit', "
						"not '%s'",
						value);
		return 0;
	}
	return 0;
}

int mf_cmd_proxy_setup(int argc, char **argv)
{
	struct mf_proxy_setup s = { .user = "moonfence" };
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(&s, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "'%s' is not an option", o.operands[0]);
	return mf_proxy_setup_make(&s);
}
