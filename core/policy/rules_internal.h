/* SPDX-License-Identifier: Apache-2.0 */
/* rules_internal.h - compiled rules, shared by rules.c (checks and compiles) and rules_ask.c (answers) only */
#ifndef MF_POLICY_RULES_INTERNAL_H
#define MF_POLICY_RULES_INTERNAL_H

#include "core/policy/rule_index.h"
#include "core/policy/rules.h"

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
	unsigned index, line;
	uint16_t redirect_port;
	uint8_t addr_cnt;
	struct mf_addr addrs[2];
	struct mf_cidr *cidrs;
	uint32_t cidr_cnt;
	struct mf_port_set ports; /* of a rule with more of them than the index should hold */
	bool wide_ports;
	char *label; /* "dns_redirects[2] npm-mirror" */
	char *message, *redirect_host, *redirect_unix, *tls_sni, *dir;
	struct mf_outcome *outcome; /* made when the rule first wins */
};

struct mf_rules {
	struct rule *rules; /* ascending within a family */
	uint32_t cnt, room;
	uint32_t family_cnt[MF_RULE_FAMILY_NUM];
	struct mf_rule_index *index[MF_RULE_FAMILY_NUM];
	/* Network rules and connect redirects that let a name be reached on some port. */
	struct mf_rule_index *known;
	/* Denies that name only networks: they hold where the address is not known (P9). */
	struct mf_rule_index *blind;
	enum mf_dns_default dns_default;
	char *policy, *file;
	/* With which "name:port" expressions are tried for resolve_known. */
	uint16_t try_ports[TRY_PORTS_MAX];
	uint32_t try_port_cnt;
	struct mf_outcome *known_outcome, *default_outcome, *scratch;
};

/* Names of the bits of rule.ops, NULL-terminated. */
extern const char *const mf_rules_op_words[];

/**
 * mf_rules_find_network() - The network rule that judges @s
 * @dns: the subject is a question for a name: rules about networks are left out
 * Return: 0 and *ret (MF_RULE_NONE), MF_E_LIMIT
 */
int mf_rules_find_network(struct mf_rules *rules, struct mf_rule_subject *s, bool dns,
			  uint32_t *ret);

#endif
