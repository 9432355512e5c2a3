/* SPDX-License-Identifier: Apache-2.0 */
/* rules_network.c - network_rules: names, ports and networks become keys of the index */
#include <stdlib.h>
#include <string.h>

#include "core/policy/rules_check.h"

#define PORT_KEYS_MAX \
	64 /* ports of one rule that become keys of the index; above, they are checked */

static void add_domains(struct mf_rule_check *c, struct mf_rule_index *ix, int port)
{
	const struct mf_rule_list *list = &c->spec->domains;
	struct mf_err why = { 0 };

	for (size_t i = 0; i < list->cnt; i++) {
		int r;

		mf_rule_look_at(c, "domains", i);
		if (mf_rule_refuses_variable(c, "domains", list->items[i]))
			continue;
		r = mf_rule_index_add_domain(ix, c->id, list->items[i], port, &why);
		if (r < 0)
			mf_rule_wrong_pattern(c, "domains", list->items[i], r, &why);
	}
}

static void add_cidrs(struct mf_rule_check *c, int port)
{
	if (c->rule->decision == DECIDE_DENY && c->rule->cidr_cnt &&
	    mf_rule_index_add_any(c->b->rules->blind, c->id, port) < 0)
		mf_rule_wrong_memory(c);
	for (uint32_t i = 0; i < c->rule->cidr_cnt; i++)
		if (mf_rule_index_add_cidr(c->b->rules->index[MF_NETWORK_RULES], c->id,
					   &c->rule->cidrs[i], port) < 0)
			mf_rule_wrong_memory(c);
}

static void parse_cidrs(struct mf_rule_check *c)
{
	const struct mf_rule_list *list = &c->spec->cidrs;

	c->rule->cidrs = list->cnt ? calloc(list->cnt, sizeof(*c->rule->cidrs)) : NULL;
	if (list->cnt && !c->rule->cidrs) {
		mf_rule_wrong_memory(c);
		return;
	}
	for (size_t i = 0; i < list->cnt; i++) {
		struct mf_cidr net;

		mf_rule_look_at(c, "cidrs", i);
		if (mf_cidr_parse(list->items[i], strlen(list->items[i]), &net) < 0)
			mf_rule_wrong(c,
				      "cidrs \"%.64s\" is not a network such as \"10.0.0.0/8\" or "
				      "\"fd00::/8\"",
				      list->items[i]);
		else
			c->rule->cidrs[c->rule->cidr_cnt++] = net;
	}
}

/* Entries for one port, or for any. */
static void index_network(struct mf_rule_check *c, int port)
{
	struct mf_rule_index *ix = c->b->rules->index[MF_NETWORK_RULES];

	if (c->spec->domains.present)
		add_domains(c, ix, port);
	else if (c->spec->cidrs.present)
		add_cidrs(c, port);
	else if (mf_rule_index_add_any(ix, c->id, port) < 0)
		mf_rule_wrong_memory(c);
}

/*
 * A rule that lets names be reached makes them known. One that names networks but no names does not: which names lie
 * there could only be found by asking.
 */
static void index_known(struct mf_rule_check *c)
{
	if (c->rule->decision == DECIDE_DENY || (c->spec->has_ports && c->spec->port_cnt == 0))
		return;
	if (c->spec->domains.present)
		add_domains(c, c->b->rules->known, MF_PORT_ANY);
	else if (!c->spec->cidrs.present &&
		 mf_rule_index_add_any(c->b->rules->known, c->id, MF_PORT_ANY) < 0)
		mf_rule_wrong_memory(c);
}

void mf_rule_check_network(struct mf_rule_check *c)
{
	const struct mf_rule_spec *s = c->spec;
	unsigned before = c->b->error_cnt;
	size_t ports = 0;

	mf_rule_check_decision(c);
	c->rule->has_ports = s->has_ports;
	c->rule->has_domains = s->domains.present;
	c->rule->has_cidrs = s->cidrs.present;
	parse_cidrs(c);
	for (size_t i = 0; i < s->port_cnt; i++) {
		ports += s->ports[i].last - s->ports[i].first + 1u;
		if (mf_port_set_add(&c->rule->ports, s->ports[i].first, s->ports[i].last) < 0)
			mf_rule_wrong_memory(c);
	}
	if (c->b->error_cnt != before)
		return;
	c->rule->wide_ports = ports > PORT_KEYS_MAX;
	for (size_t i = 0; i < s->port_cnt && !c->rule->wide_ports; i++)
		for (int port = s->ports[i].first; port <= s->ports[i].last; port++)
			index_network(c, port);
	if (!s->has_ports || c->rule->wide_ports)
		index_network(c, MF_PORT_ANY);
	if (c->b->error_cnt == before)
		index_known(c);
}
