/* SPDX-License-Identifier: Apache-2.0 */
/* rules_help.h - what the tests of declarative rules share: rules from Lua text, requests, verdicts as text */
#ifndef MF_TESTS_RULES_HELP_H
#define MF_TESTS_RULES_HELP_H

#include "core/policy/rules.h"

/* One policy as a Lua table; NULL with @err when it is refused. The sandbox stays until rules_done(). */
struct rules_case {
	struct mf_sandbox *sb;
	struct mf_rules *rules;
	struct mf_err err;
	int code;
};

void rules_load(struct rules_case *c, const char *lua);
/* The same; @observer is told of every rule. */
void rules_load_observed(struct rules_case *c, const char *lua,
			 const struct mf_rule_observer *observer);
void rules_done(struct rules_case *c);

/*
 * Asks, and writes the answer as text: "none", "deny network_rules[1] x", "resolve 10.0.0.1 dns_redirects[2] y",
 * "redirect host:1 ...", "redirect_path /x ...", "allow audited ...".
 */
const char *rules_dns(struct mf_rules *rules, const char *name);
/* @ip may be NULL; @host may be NULL; several hosts with blanks between, the first is the most recent. */
const char *rules_connect(struct mf_rules *rules, const char *ip, int port, const char *host);
const char *rules_sni(struct mf_rules *rules, const char *ip, int port, const char *host,
		      const char *sni);
const char *rules_file(struct mf_rules *rules, const char *op, const char *path,
		       const char *target);

#endif
