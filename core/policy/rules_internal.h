/* SPDX-License-Identifier: Apache-2.0 */
/* rules_internal.h - compiled rules, shared by what makes them (rules.c, rules_check.h) and rules_ask.c (answers) only */
#ifndef MF_POLICY_RULES_INTERNAL_H
#define MF_POLICY_RULES_INTERNAL_H

#include "core/policy/rule_index.h"
#include "core/policy/rules.h"
#include "core/policy/threat_feed.h"

#define TRY_PORTS_MAX 32

enum decision {
	DECIDE_ALLOW,
	DECIDE_DENY,
	DECIDE_APPROVE,
	DECIDE_AUDIT,
	DECIDE_REDIRECT,
	DECIDE_SOFT_DELETE,
	DECIDE_NUM
};

struct rule {
	uint8_t family, decision, visibility, on_failure, tls_mode;
	bool preserve_tree, has_ports, has_domains, has_cidrs;
	uint32_t ops; /* 0: all */
	uint32_t ttl_s;
	uint32_t ask_timeout_ms; /* of approve; 0: none is given */
	unsigned index, line;
	uint16_t redirect_port;
	uint8_t addr_cnt;
	struct mf_addr addrs[2];
	struct mf_cidr *cidrs;
	uint32_t cidr_cnt;
	struct mf_port_set ports; /* of a rule with more of them than the index should hold */
	bool wide_ports;
	char *file;  /* NULL: that of all */
	char *label; /* "dns_redirects[2] npm-mirror" */
	char *message, *redirect_host, *redirect_unix, *tls_sni, *dir;
	struct mf_outcome *outcome; /* made when the rule first wins */
	struct mf_outcome
		*forward_outcome; /* of a DNS redirect, for types that it does not answer */
};

struct mf_rules {
	struct rule *rules; /* ascending within a family */
	uint32_t cnt, room;
	uint32_t family_cnt[MF_RULE_FAMILY_NUM];
	struct mf_threat_feeds *feeds; /* asked before the rules; NULL: none */
	struct mf_rule_index *index[MF_RULE_FAMILY_NUM];
	/* Network rules and connect redirects that let a name be reached on some port. */
	struct mf_rule_index *known;
	/* Denies that name only networks: they hold where the address is not known (P9). */
	struct mf_rule_index *blind;
	enum mf_dns_default dns_default;
	enum mf_policy_default network_default, file_default;
	bool ask_else_allow, redirect_else_allow, other_types_forward; /* as in mf_rules_options */
	char *policy, *file;
	/* With which "name:port" expressions are tried for resolve_known. */
	uint16_t try_ports[TRY_PORTS_MAX];
	uint32_t try_port_cnt;
	struct mf_outcome *known_outcome, *default_outcome, *scratch;
};

/**
 * mf_rules_split_match() - "name", "name:443", "name:*", "[2001:db8::1]:443"; a glob is its name part
 * Return: 0 with @name (addresses in canonical text) and *ret_port; MF_E_INVAL (the port), MF_E_LIMIT (the name)
 */
int mf_rules_split_match(const char *match, char *name, size_t size, int *ret_port);

/**
 * mf_rules_find_network() - The network rule that judges @s
 * @dns: the subject is a question for a name: rules about networks are left out
 * Return: 0 and *ret (MF_RULE_NONE), MF_E_LIMIT
 */
int mf_rules_find_network(struct mf_rules *rules, struct mf_rule_subject *s, bool dns,
			  uint32_t *ret);

#endif
