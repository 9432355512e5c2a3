/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentsh_http.c - http_services: what they declare may not be reached around them; see agentsh.h
 *
 * A host that is declared is denied to direct connections, whatever network_rules say, unless the service says allow_direct. Each
 * such service becomes a rule that stands before all of network_rules. What its own rules say is asked by its gateway (api_services.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/addr.h"
#include "core/names/canonical.h"
#include "core/policy/agentsh_internal.h"

#define RULE_NAME    "http_service_declared_fail_closed"
#define SERVICES_KEY "http_services"

/* The hosts of one service. */
struct hosts {
	char (*names)[MF_NAME_ROOM]; /* of the rule's texts; addresses as well */
	const char **domains, **cidrs;
	size_t domain_cnt, cidr_cnt;
	struct mf_port_range port; /* of an upstream that is an address */
	bool has_port;
};

/* "https://api.example:8443/v1" without what stands around the authority; NULL where it is none. */
static const char *find_authority(const char *url, size_t *ret_len, uint16_t *ret_port)
{
	static const struct {
		const char *scheme;
		uint16_t port;
	} schemes[] = { { "https://", 443 }, { "http://", 80 } };

	for (size_t i = 0; i < MF_ARRAY_SIZE(schemes); i++) {
		size_t n = strlen(schemes[i].scheme);

		if (strncasecmp(url, schemes[i].scheme, n) != 0)
			continue;
		*ret_port = schemes[i].port;
		*ret_len = strcspn(url + n, "/?#");
		return *ret_len && !memchr(url + n, '@', *ret_len) ? url + n : NULL;
	}
	return NULL;
}

/* A name or address of @text goes into @h; false: it is neither. */
static bool take_host(struct hosts *h, const char *text, size_t len, bool *ret_address)
{
	char *name = h->names[h->domain_cnt + h->cidr_cnt];
	struct mf_addr addr;

	*ret_address = false;
	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (mf_addr_parse(text, len, &addr) == 0) {
		h->cidrs[h->cidr_cnt++] = mf_addr_format(&addr, name, MF_NAME_ROOM);
		*ret_address = true;
		return true;
	}
	if (mf_name_canon(text, len, name) < 0)
		return false;
	h->domains[h->domain_cnt++] = name;
	return true;
}

static bool take_upstream(struct hosts *h, const char *url)
{
	const char *at, *host;
	uint16_t port, given;
	bool address;
	size_t len, n;

	at = find_authority(url, &len, &port);
	if (!at)
		return false;
	if (mf_hostport_parse(at, len, &host, &n, &given) < 0) {
		host = at;
		n = len;
		given = port;
	}
	if (!take_host(h, host, n, &address))
		return false;
	h->has_port = address; /* other ports of an address may be other things altogether */
	h->port.first = h->port.last = given;
	return true;
}

static bool take_hosts(struct mf_agentsh_doc *doc, struct hosts *h,
		       const struct mf_yaml_node *service, const struct mf_agentsh_crumb *at)
{
	const struct mf_yaml_node *upstream = mf_yaml_get(service, "upstream"),
				  *aliases = mf_yaml_get(service, "aliases");
	const struct mf_agentsh_crumb here = { at, "upstream", 0 }, list = { at, "aliases", 0 };
	size_t before = doc->error_cnt;
	bool address;

	if (mf_yaml_is_null(upstream) || !take_upstream(h, upstream->text))
		mf_agentsh_say(doc, MF_AGENTSH_ERROR,
			       mf_yaml_is_null(upstream) ? service : upstream, &here,
			       "must be a URL with a host, such as https://api.example");
	for (size_t i = 0; !mf_yaml_is_null(aliases) && i < aliases->cnt; i++) {
		const struct mf_agentsh_crumb item = { &list, NULL, i };
		const char *text = aliases->items[i]->text;

		if (!take_host(h, text, strlen(text), &address))
			mf_agentsh_say(doc, MF_AGENTSH_ERROR, aliases->items[i], &item,
				       "\"%.100s\" is neither a host name nor an address", text);
	}
	return doc->error_cnt == before;
}

/* Names on every port, and an address on one, are two rules: selectors of one rule are ANDed. */
static void close_hosts(const struct hosts *h, struct mf_agentsh_rule *rule,
			void (*fn)(void *ctx, const struct mf_agentsh_rule *rule), void *ctx)
{
	struct mf_rule_spec *s = &rule->spec;

	if (h->domain_cnt) {
		s->domains = (struct mf_rule_list){ h->domains, h->domain_cnt, true };
		fn(ctx, rule);
		s->domains = (struct mf_rule_list){ 0 };
	}
	if (!h->cidr_cnt)
		return;
	s->cidrs = (struct mf_rule_list){ h->cidrs, h->cidr_cnt, true };
	if (h->has_port) {
		s->ports = &h->port;
		s->port_cnt = 1;
		s->has_ports = true;
	}
	fn(ctx, rule);
}

static void close_service(struct mf_agentsh_doc *doc, const struct mf_yaml_node *service,
			  const struct mf_agentsh_crumb *at,
			  void (*fn)(void *ctx, const struct mf_agentsh_rule *rule), void *ctx)
{
	const struct mf_yaml_node *aliases = mf_yaml_get(service, "aliases"),
				  *name = mf_yaml_get(service, "name"),
				  *direct = mf_yaml_get(service, "allow_direct");
	size_t cnt = 1 + (mf_yaml_is_null(aliases) ? 0 : aliases->cnt);
	struct hosts h = { .names = calloc(cnt, sizeof(*h.names)),
			   .domains = calloc(cnt, sizeof(*h.domains)),
			   .cidrs = calloc(cnt, sizeof(*h.cidrs)) };
	char message[256];
	struct mf_agentsh_rule rule = {
		.spec = { .family = MF_NETWORK_RULES,
			  .list = SERVICES_KEY,
			  .index = (unsigned)at->index,
			  .line = service->line,
			  .file = doc == doc->top ? NULL : doc->source->file,
			  .name = RULE_NAME,
			  .decision = "deny",
			  .message = message },
		.node = service,
	};

	snprintf(message, sizeof(message),
		 "the service %.128s may only be reached through its gateway",
		 mf_yaml_is_null(name) ? "?" : name->text);
	if (!h.names || !h.domains || !h.cidrs)
		doc->no_memory = true;
	else if (take_hosts(doc, &h, service, at) &&
		 (mf_yaml_is_null(direct) || mf_agentsh_bool(direct) != 1))
		close_hosts(&h, &rule, fn, ctx);
	free(h.names);
	free(h.domains);
	free(h.cidrs);
}

void mf_agentsh_close_services(struct mf_agentsh_doc *doc,
			       void (*fn)(void *ctx, const struct mf_agentsh_rule *rule), void *ctx)
{
	const struct mf_yaml_node *list = mf_yaml_get(doc->root, SERVICES_KEY);
	const struct mf_agentsh_crumb at = { NULL, SERVICES_KEY, 0 };

	/* What has a wrong type has been told, and the policy does not load. */
	if (doc->top_errors || mf_yaml_is_null(list))
		return;
	for (size_t i = 0; i < list->cnt && !doc->no_memory; i++) {
		const struct mf_agentsh_crumb here = { &at, NULL, i };

		close_service(doc, list->items[i], &here, fn, ctx);
	}
}
