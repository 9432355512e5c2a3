/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentsh_schema.c - every key that an agentsh policy may have, and the type of its value; see agentsh.h
 *
 * Types are strict where agentsh's are, and where its decoder looks away (below command_rules, fractions as ports, octal
 * numbers) they are strict as well. An empty value is the key left out, as in agentsh.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/policy/agentsh_internal.h"
#include "core/policy/request.h"

enum type {
	T_TEXT,
	T_REQUIRED, /* text that must be there */
	T_TEXTS,    /* a list of texts */
	T_INT,
	T_BOOL,
	T_PORTS,
	T_DURATION,
	T_DECISION,
	T_MAP,	    /* with the keys of "fields" */
	T_LIST,	    /* of such mappings */
	T_MAP_OF,   /* any keys, each with such a mapping */
	T_TEXT_MAP, /* any keys, each with a text */
	T_CONTEXT,  /* of command_rules */
	T_ANY,
	T_REFUSED /* a key of another dialect or version */
};

struct field {
	const char *key;
	enum type type;
	const struct field *fields;
	const char *instead; /* T_REFUSED: what to write */
};

#define END                             \
	{                               \
		NULL, T_ANY, NULL, NULL \
	}
#define KEY(name, kind)                \
	{                              \
		name, kind, NULL, NULL \
	}
#define SUB(name, kind, list)          \
	{                              \
		name, kind, list, NULL \
	}
#define NOT(name, text)                     \
	{                                   \
		name, T_REFUSED, NULL, text \
	}

/* clang-format off */

/* --- families that are enforced ---------------------------------------------------------------------------------- */

static const struct field file_fields[] = {
	KEY("name", T_TEXT), KEY("description", T_TEXT), KEY("paths", T_TEXTS), KEY("operations", T_TEXTS),
	KEY("decision", T_TEXT), KEY("message", T_TEXT), KEY("timeout", T_TEXT), KEY("redirect_to", T_TEXT),
	KEY("preserve_tree", T_BOOL), KEY("visibility", T_TEXT), KEY("final", T_BOOL),
	NOT("path", "paths, a list"), NOT("action", "decision"), NOT("ops", "operations"), END
};
static const struct field network_fields[] = {
	KEY("name", T_TEXT), KEY("description", T_TEXT), KEY("domains", T_TEXTS), KEY("ports", T_PORTS),
	KEY("cidrs", T_TEXTS), KEY("decision", T_TEXT), KEY("message", T_TEXT), KEY("timeout", T_TEXT),
	KEY("visibility", T_TEXT), KEY("final", T_BOOL),
	NOT("domain", "domains, a list"), NOT("hosts", "domains"), NOT("action", "decision"), END
};
static const struct field dns_fields[] = {
	KEY("name", T_TEXT), KEY("match", T_TEXT), KEY("resolve_to", T_TEXT), KEY("visibility", T_TEXT),
	KEY("on_failure", T_TEXT), KEY("description", T_TEXT), KEY("message", T_TEXT),
	KEY("match_mode", T_TEXT), KEY("resolve_to6", T_TEXT), KEY("ttl", T_INT), KEY("final", T_BOOL),
	NOT("redirect_ip", "resolve_to"), NOT("host", "match"), END
};
static const struct field tls_fields[] = { KEY("mode", T_TEXT), KEY("sni", T_TEXT), END };
static const struct field connect_fields[] = {
	KEY("name", T_TEXT), KEY("match", T_TEXT), KEY("redirect_to", T_TEXT), KEY("redirect_to_unix", T_TEXT),
	SUB("tls", T_MAP, tls_fields), KEY("visibility", T_TEXT), KEY("message", T_TEXT), KEY("on_failure", T_TEXT),
	KEY("description", T_TEXT), KEY("match_mode", T_TEXT), KEY("redirect_target_policy", T_TEXT),
	KEY("final", T_BOOL), NOT("tls_mode", "tls: {mode: ...}"), NOT("rewrite_sni", "tls: {mode: rewrite_sni, sni: ...}"),
	NOT("sni", "tls: {sni: ...}"), NOT("destination", "redirect_to"), NOT("resolve_to", "redirect_to, host:port"),
	NOT("host", "match"), END
};
static const struct field *const rule_fields[] = { network_fields, dns_fields, connect_fields, file_fields };
_Static_assert(MF_ARRAY_SIZE(rule_fields) == MF_RULE_FAMILY_NUM, "keys of each family");

/* --- families that are accepted ---------------------------------------------------------------------------------- */

static const struct field command_redirect_fields[] = {
	KEY("command", T_TEXT), KEY("args", T_TEXTS), KEY("args_append", T_TEXTS), KEY("environment", T_TEXT_MAP), END
};
static const struct field command_fields[] = {
	KEY("name", T_TEXT), KEY("description", T_TEXT), KEY("commands", T_TEXTS), KEY("args_patterns", T_TEXTS),
	KEY("decision", T_DECISION), KEY("message", T_TEXT), KEY("timeout", T_DURATION),
	SUB("redirect_to", T_MAP, command_redirect_fields), KEY("context", T_CONTEXT), KEY("env_allow", T_TEXTS),
	KEY("env_deny", T_TEXTS), KEY("env_max_bytes", T_INT), KEY("env_max_keys", T_INT),
	KEY("env_block_iteration", T_BOOL), END
};
static const struct field unix_fields[] = {
	KEY("name", T_TEXT), KEY("description", T_TEXT), KEY("paths", T_TEXTS), KEY("operations", T_TEXTS),
	KEY("decision", T_DECISION), KEY("message", T_TEXT), KEY("timeout", T_DURATION), END
};
static const struct field registry_fields[] = {
	KEY("name", T_TEXT), KEY("description", T_TEXT), KEY("paths", T_TEXTS), KEY("operations", T_TEXTS),
	KEY("decision", T_DECISION), KEY("message", T_TEXT), KEY("timeout", T_DURATION), KEY("priority", T_INT),
	KEY("cache_ttl", T_DURATION), KEY("notify", T_BOOL), END
};
static const struct field signal_target_fields[] = {
	KEY("type", T_TEXT), KEY("pattern", T_TEXT), KEY("min", T_INT), KEY("max", T_INT), END
};
static const struct field signal_fields[] = {
	KEY("name", T_TEXT), KEY("description", T_TEXT), KEY("signals", T_TEXTS),
	SUB("target", T_MAP, signal_target_fields), KEY("decision", T_DECISION), KEY("fallback", T_DECISION),
	KEY("redirect_to", T_TEXT), KEY("message", T_TEXT), KEY("timeout", T_DURATION), END
};
static const struct field http_rule_fields[] = {
	KEY("name", T_TEXT), KEY("methods", T_TEXTS), KEY("paths", T_TEXTS), KEY("decision", T_DECISION),
	KEY("message", T_TEXT), KEY("timeout", T_DURATION), END
};
static const struct field http_fields[] = {
	KEY("name", T_REQUIRED), KEY("upstream", T_TEXT), KEY("expose_as", T_TEXT), KEY("aliases", T_TEXTS),
	KEY("allow_direct", T_BOOL), KEY("default", T_DECISION), SUB("rules", T_LIST, http_rule_fields),
	KEY("secret", T_ANY), KEY("inject", T_ANY), KEY("scrub_response", T_BOOL), END
};
static const struct field licence_fields[] = { KEY("allow", T_TEXTS), KEY("deny", T_TEXTS), END };
static const struct field package_match_fields[] = {
	KEY("packages", T_TEXTS), KEY("name_patterns", T_TEXTS), KEY("finding_type", T_TEXT), KEY("severity", T_TEXT),
	KEY("reasons", T_TEXTS), SUB("license_spdx", T_MAP, licence_fields), KEY("ecosystem", T_TEXT),
	NOT("options", "nothing: match.options is not yet supported"), END
};
static const struct field package_fields[] = {
	SUB("match", T_MAP, package_match_fields), KEY("action", T_TEXT), KEY("reason", T_TEXT), END
};
static const struct field env_fields[] = {
	KEY("allow", T_TEXTS), KEY("deny", T_TEXTS), KEY("max_bytes", T_INT), KEY("max_keys", T_INT),
	KEY("block_iteration", T_BOOL), END
};
static const struct field consecutive_fields[] = {
	KEY("value", T_TEXT), KEY("count_ge", T_INT), KEY("count_le", T_INT), END
};
static const struct field condition_fields[29];
static const struct field condition_fields[29] = {
	KEY("via_index", T_INT), KEY("via_index_value", T_TEXT), KEY("via_contains", T_TEXTS),
	KEY("via_not_contains", T_TEXTS), KEY("via_matches", T_TEXTS), KEY("class_contains", T_TEXTS),
	KEY("class_not_contains", T_TEXTS), SUB("consecutive_class", T_MAP, consecutive_fields),
	SUB("consecutive_comm", T_MAP, consecutive_fields), KEY("depth_eq", T_INT), KEY("depth_gt", T_INT),
	KEY("depth_lt", T_INT), KEY("depth_ge", T_INT), KEY("depth_le", T_INT), KEY("is_tainted", T_BOOL),
	KEY("is_agent", T_BOOL), KEY("env_contains", T_TEXTS), KEY("args_contain", T_TEXTS), KEY("comm_matches", T_TEXTS),
	KEY("path_matches", T_TEXTS), KEY("source_name", T_TEXTS), KEY("source_context", T_TEXTS),
	SUB("or", T_LIST, condition_fields), SUB("and", T_LIST, condition_fields), SUB("not", T_MAP, condition_fields),
	END
};
static const struct field chain_fields[] = {
	KEY("name", T_TEXT), KEY("description", T_TEXT), KEY("priority", T_INT), SUB("condition", T_MAP, condition_fields),
	KEY("action", T_TEXT), KEY("message", T_TEXT), KEY("continue", T_BOOL), END
};
static const struct field override_fields[] = {
	KEY("args_allow", T_TEXTS), KEY("args_deny", T_TEXTS), KEY("default", T_TEXT), END
};
static const struct field race_fields[] = {
	KEY("on_missing_parent", T_TEXT), KEY("on_pid_mismatch", T_TEXT), KEY("on_validation_error", T_TEXT),
	KEY("log_race_conditions", T_BOOL), END
};
static const struct field context_fields[] = {
	KEY("description", T_TEXT), KEY("identities", T_TEXTS), SUB("chain_rules", T_LIST, chain_fields),
	SUB("command_rules", T_LIST, command_fields), SUB("file_rules", T_LIST, file_fields),
	SUB("network_rules", T_LIST, network_fields), SUB("unix_socket_rules", T_LIST, unix_fields),
	SUB("env_policy", T_MAP, env_fields), KEY("allowed_commands", T_TEXTS), KEY("denied_commands", T_TEXTS),
	KEY("require_approval", T_TEXTS), SUB("command_overrides", T_MAP_OF, override_fields),
	KEY("default_decision", T_DECISION), SUB("race_policy", T_MAP, race_fields), KEY("max_depth", T_INT),
	KEY("stop_at", T_TEXTS), KEY("pass_through", T_TEXTS), END
};
static const struct field platform_fields[] = {
	KEY("comm", T_TEXTS), KEY("exe_path", T_TEXTS), KEY("cmdline", T_TEXTS), KEY("bundle_id", T_TEXTS),
	KEY("exe_name", T_TEXTS), END
};
static const struct field identity_fields[] = {
	KEY("description", T_TEXT), SUB("linux", T_MAP, platform_fields), SUB("darwin", T_MAP, platform_fields),
	SUB("windows", T_MAP, platform_fields), SUB("all_platforms", T_MAP, platform_fields), END
};
static const struct field transparent_fields[] = { KEY("add", T_TEXTS), KEY("remove", T_TEXTS), END };
static const struct field limit_fields[] = {
	KEY("max_memory_mb", T_INT), KEY("memory_swap_max_mb", T_INT), KEY("cpu_quota_percent", T_INT),
	KEY("disk_read_bps_max", T_INT), KEY("disk_write_bps_max", T_INT), KEY("net_bandwidth_mbps", T_INT),
	KEY("pids_max", T_INT), KEY("command_timeout", T_DURATION), KEY("session_timeout", T_DURATION),
	KEY("idle_timeout", T_DURATION), END
};
static const struct field audit_fields[] = {
	KEY("log_allowed", T_BOOL), KEY("log_denied", T_BOOL), KEY("log_approved", T_BOOL), KEY("include_stdout", T_BOOL),
	KEY("include_stderr", T_BOOL), KEY("include_file_content", T_BOOL), KEY("retention_days", T_INT), END
};
static const struct field mcp_tool_fields[] = {
	KEY("server", T_TEXT), KEY("tool", T_TEXT), KEY("content_hash", T_TEXT), END
};
static const struct field mcp_server_fields[] = { KEY("id", T_TEXT), END };
static const struct field mcp_pinning_fields[] = {
	KEY("enabled", T_BOOL), KEY("on_change", T_TEXT), KEY("auto_trust_first", T_BOOL), END
};
static const struct field mcp_fields[] = {
	KEY("enforce_policy", T_BOOL), KEY("tool_policy", T_TEXT), SUB("allowed_tools", T_LIST, mcp_tool_fields),
	KEY("server_policy", T_TEXT), SUB("allowed_servers", T_LIST, mcp_server_fields),
	SUB("version_pinning", T_MAP, mcp_pinning_fields), KEY("cross_server", T_ANY), END
};
static const struct field metadata_fields[] = {
	KEY("rule_name", T_REQUIRED), KEY("source", T_REQUIRED), KEY("db_service", T_TEXT), KEY("bypass_mode", T_TEXT),
	KEY("destination", T_TEXT), END
};

static const struct field feed_fields[] = {
	KEY("name", T_REQUIRED), KEY("file", T_REQUIRED), KEY("format", T_TEXT),
	NOT("url", "file, a list below the policy's directory that something else fetches"), END
};
static const struct field threat_fields[] = {
	KEY("enabled", T_BOOL), KEY("action", T_TEXT), KEY("allowlist", T_TEXTS), SUB("feeds", T_LIST, feed_fields),
	NOT("local_lists", "feeds, with their files"), NOT("sync_interval", "nothing: a list that changes is read anew"), END
};

/* Behind these stands nothing that a verdict could come from. */
static const struct field top_enforced[] = {
	KEY("version", T_INT), KEY("name", T_REQUIRED), KEY("description", T_TEXT), SUB("metadata", T_LIST, metadata_fields),
	KEY("compat", T_TEXT), KEY("domain_star", T_TEXT), KEY("dns_default", T_TEXT),
	KEY("redirect_target_policy", T_TEXT), KEY("vars_from_env", T_BOOL),
	KEY("approve_without_channel", T_TEXT), KEY("redirect_unsupported", T_TEXT),
	KEY("redirect_other_types", T_TEXT), KEY("extends", T_TEXTS),
	SUB("threat_feeds", T_MAP, threat_fields),
	KEY("file_rules", T_ANY), KEY("network_rules", T_ANY), KEY("dns_redirects", T_ANY), KEY("connect_redirects", T_ANY),
	NOT("services", "http_services, with secret, inject and scrub_response in its entries"),
	NOT("dns_redirect", "dns_redirects"), NOT("connect_redirect", "connect_redirects"), END
};
static const struct field top_accepted[] = {
	SUB("command_rules", T_LIST, command_fields), SUB("unix_socket_rules", T_LIST, unix_fields),
	SUB("registry_rules", T_LIST, registry_fields), SUB("signal_rules", T_LIST, signal_fields),
	SUB("package_rules", T_LIST, package_fields), SUB("http_services", T_LIST, http_fields), KEY("providers", T_ANY),
	SUB("process_contexts", T_MAP_OF, context_fields), SUB("process_identities", T_MAP_OF, identity_fields),
	SUB("transparent_commands", T_MAP, transparent_fields), SUB("env_policy", T_MAP, env_fields),
	KEY("env_inject", T_TEXT_MAP), SUB("resource_limits", T_MAP, limit_fields), SUB("audit", T_MAP, audit_fields),
	SUB("mcp_rules", T_MAP, mcp_fields), KEY("db_services", T_ANY), KEY("database_rules", T_ANY),
	KEY("database_connection_rules", T_ANY), KEY("policies", T_ANY), END
};
/* clang-format on */

/* --- scalars ------------------------------------------------------------------------------------------------------ */

static bool is_word(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

int mf_agentsh_bool(const struct mf_yaml_node *node)
{
	static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "YES",
					   "on",   "On",   "ON",   "y",	  "Y",	 NULL };
	static const char *const no[] = { "false", "False", "FALSE", "no", "No", "NO",
					  "off",   "Off",   "OFF",   "n",  "N",	 NULL };

	if (node->kind != MF_YAML_SCALAR || !node->plain)
		return -1;
	return is_word(node->text, yes) ? 1 : is_word(node->text, no) ? 0 : -1;
}

/* "12", "-3": no fractions, no leading zeros, no other bases, no quotes. */
static bool is_integer(const struct mf_yaml_node *node)
{
	const char *text = node->text;
	size_t n;

	if (node->kind != MF_YAML_SCALAR || !node->plain)
		return false;
	text += *text == '-' || *text == '+';
	n = strspn(text, "0123456789");
	return n > 0 && n <= 18 && text[n] == '\0' && (n == 1 || text[0] != '0');
}

static void check_decision(struct mf_agentsh_doc *doc, const struct mf_yaml_node *node,
			   const struct mf_agentsh_crumb *at)
{
	static const char *const words[] = { "allow",	 "deny",	"approve", "audit",
					     "redirect", "soft_delete", "absorb",  NULL };
	const char *near;

	for (const char *const *w = words; *w; w++)
		if (strcasecmp(node->text, *w) == 0)
			return;
	near = mf_word_nearest(node->text, words);
	mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, at, "\"%.64s\" is no decision%s%s%s",
		       node->text, near ? "; did you mean \"" : "", near ? near : "",
		       near ? "\"?" : "");
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void check_value(struct mf_agentsh_doc *doc, const struct field *field,
			const struct mf_yaml_node *node, const struct mf_agentsh_crumb *at);

static const struct field *find_field(const struct field *fields, const char *key)
{
	for (; fields->key; fields++)
		if (strcmp(fields->key, key) == 0)
			return fields;
	return NULL;
}

static void unknown_key(struct mf_agentsh_doc *doc, const struct field *fields,
			const struct field *more, const struct mf_yaml_node *key,
			const struct mf_agentsh_crumb *at)
{
	const char *words[64], *near;
	size_t n = 0;

	for (const struct field *f = fields; f->key && n + 1 < MF_ARRAY_SIZE(words); f++)
		if (f->type != T_REFUSED)
			words[n++] = f->key;
	for (const struct field *f = more; f && f->key && n + 1 < MF_ARRAY_SIZE(words); f++)
		if (f->type != T_REFUSED)
			words[n++] = f->key;
	words[n] = NULL;
	near = mf_word_nearest(key->text, words);
	mf_agentsh_say(doc, MF_AGENTSH_ERROR, key, at, "this key is not known%s%s%s",
		       near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static void check_pair(struct mf_agentsh_doc *doc, const struct field *field,
		       const struct mf_yaml_node *map, size_t i, const struct mf_agentsh_crumb *at)
{
	const struct mf_agentsh_crumb here = { at, mf_yaml_key(map, i)->text, 0 };

	if (field->type == T_REFUSED)
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, mf_yaml_key(map, i), &here,
			       "this key is not taken; write %s", field->instead);
	else
		check_value(doc, field, mf_yaml_value(map, i), &here);
}

static void check_map(struct mf_agentsh_doc *doc, const struct field *fields,
		      const struct mf_yaml_node *map, const struct mf_agentsh_crumb *at)
{
	if (map->kind != MF_YAML_MAP) {
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, map, at, "must be a mapping, not %s",
			       mf_yaml_kind_name(map->kind));
		return;
	}
	for (size_t i = 0; i < map->cnt; i++) {
		const struct mf_yaml_node *key = mf_yaml_key(map, i);
		const struct mf_agentsh_crumb here = { at, key->text, 0 };
		const struct field *field = find_field(fields, key->text);

		if (field)
			check_pair(doc, field, map, i, at);
		else
			unknown_key(doc, fields, NULL, key, &here);
	}
	for (const struct field *f = fields; f->key; f++) {
		const struct mf_yaml_node *value = mf_yaml_get(map, f->key);

		if (f->type == T_REQUIRED &&
		    (mf_yaml_is_null(value) || (value->kind == MF_YAML_SCALAR && !*value->text)))
			mf_agentsh_say(doc, MF_AGENTSH_ERROR, map, at, "%s is required", f->key);
	}
}

static bool is_list(struct mf_agentsh_doc *doc, const struct mf_yaml_node *node,
		    const struct mf_agentsh_crumb *at)
{
	if (node->kind == MF_YAML_LIST)
		return true;
	mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, at, "must be a list, not %s",
		       mf_yaml_kind_name(node->kind));
	return false;
}

static void check_list(struct mf_agentsh_doc *doc, const struct field *item,
		       const struct mf_yaml_node *node, const struct mf_agentsh_crumb *at)
{
	if (!is_list(doc, node, at))
		return;
	for (size_t i = 0; i < node->cnt; i++) {
		const struct mf_agentsh_crumb here = { at, NULL, i };

		if (mf_yaml_is_null(node->items[i]))
			mf_agentsh_say(doc, MF_AGENTSH_ERROR, node->items[i], &here,
				       "an item without a value");
		else
			check_value(doc, item, node->items[i], &here);
	}
}

/* Any keys, each with a value of the kind @item. */
static void check_map_of(struct mf_agentsh_doc *doc, const struct field *item,
			 const struct mf_yaml_node *node, const struct mf_agentsh_crumb *at)
{
	if (node->kind != MF_YAML_MAP) {
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, at, "must be a mapping, not %s",
			       mf_yaml_kind_name(node->kind));
		return;
	}
	for (size_t i = 0; i < node->cnt; i++)
		check_pair(doc, item, node, i, at);
}

static void check_port(struct mf_agentsh_doc *doc, const struct mf_yaml_node *node,
		       const struct mf_agentsh_crumb *at)
{
	if (!is_integer(node))
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, at,
			       "must be a port, a whole number without quotes, fraction or leading "
			       "zero%s%.32s%s",
			       node->kind == MF_YAML_SCALAR ? ", not \"" : "",
			       node->kind == MF_YAML_SCALAR ? node->text : "",
			       node->kind == MF_YAML_SCALAR ? "\"" : "");
	else if (atoll(node->text) < 0 || atoll(node->text) > 65535)
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, at, "%s is not a port (0 to 65535)",
			       node->text);
}

static void check_scalar(struct mf_agentsh_doc *doc, enum type type,
			 const struct mf_yaml_node *node, const struct mf_agentsh_crumb *at)
{
	if (node->kind != MF_YAML_SCALAR) {
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, at, "must be %s, not %s",
			       type == T_INT	? "a number"
			       : type == T_BOOL ? "true or false"
						: "text",
			       mf_yaml_kind_name(node->kind));
		return;
	}
	if (type == T_INT && !is_integer(node))
		mf_agentsh_say(
			doc, MF_AGENTSH_ERROR, node, at,
			"must be a whole number without quotes or leading zero, not \"%.32s\"",
			node->text);
	else if (type == T_BOOL && mf_agentsh_bool(node) < 0)
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, at,
			       "must be true or false, not \"%.32s\"", node->text);
	else if (type == T_DURATION && !mf_rules_is_duration(node->text))
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, node, at,
			       "\"%.64s\" is not a duration such as 300ms, 5s, 1h30m or 7d",
			       node->text);
	else if (type == T_DECISION)
		check_decision(doc, node, at);
}

/* [direct], [nested], or {min_depth, max_depth} */
static void check_context(struct mf_agentsh_doc *doc, const struct mf_yaml_node *node,
			  const struct mf_agentsh_crumb *at)
{
	static const struct field depths[] = { KEY("min_depth", T_INT), KEY("max_depth", T_INT),
					       END };
	static const char *const words[] = { "direct", "nested", NULL };

	if (node->kind == MF_YAML_MAP) {
		check_map(doc, depths, node, at);
		return;
	}
	if (!is_list(doc, node, at))
		return;
	for (size_t i = 0; i < node->cnt; i++) {
		const struct mf_agentsh_crumb here = { at, NULL, i };

		if (node->items[i]->kind != MF_YAML_SCALAR || !is_word(node->items[i]->text, words))
			mf_agentsh_say(doc, MF_AGENTSH_ERROR, node->items[i], &here,
				       "must be direct or nested");
	}
}

static void check_value(struct mf_agentsh_doc *doc, const struct field *field,
			const struct mf_yaml_node *node, const struct mf_agentsh_crumb *at)
{
	const struct field map = { field->key, T_MAP, field->fields, NULL };
	const struct field text = { field->key, T_TEXT, NULL, NULL };
	const struct field port = { field->key, T_PORTS, NULL, NULL };

	if (mf_yaml_is_null(node))
		return;
	switch (field->type) {
	case T_TEXTS:
		check_list(doc, &text, node, at);
		break;
	case T_PORTS:
		if (at->key) /* the list; below it stand its items */
			check_list(doc, &port, node, at);
		else
			check_port(doc, node, at);
		break;
	case T_MAP:
		check_map(doc, field->fields, node, at);
		break;
	case T_LIST:
		check_list(doc, &map, node, at);
		break;
	case T_MAP_OF:
		check_map_of(doc, &map, node, at);
		break;
	case T_TEXT_MAP:
		check_map_of(doc, &text, node, at);
		break;
	case T_CONTEXT:
		check_context(doc, node, at);
		break;
	case T_ANY:
	case T_REFUSED:
		break;
	default:
		check_scalar(doc, field->type, node, at);
	}
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

bool mf_agentsh_check_rule(struct mf_agentsh_doc *doc, enum mf_rule_family family,
			   const struct mf_yaml_node *rule, const struct mf_agentsh_crumb *at)
{
	size_t before = doc->error_cnt;

	check_map(doc, rule_fields[family], rule, at);
	return doc->error_cnt == before;
}

/* What a service may say that its gateway does not do. */
static bool has_secrets(const struct mf_yaml_node *services)
{
	static const char *const keys[] = { "secret", "inject", "scrub_response" };

	for (size_t i = 0; services->kind == MF_YAML_LIST && i < services->cnt; i++)
		for (size_t k = 0; k < MF_ARRAY_SIZE(keys); k++)
			if (!mf_yaml_is_null(mf_yaml_get(services->items[i], keys[k])))
				return true;
	return false;
}

bool mf_agentsh_is_accepted_only(const struct mf_yaml_node *key, const struct mf_yaml_node *value)
{
	if (!find_field(top_accepted, key->text) || mf_yaml_is_null(value))
		return false;
	if (strcmp(key->text, "http_services") == 0)
		return has_secrets(value);
	return value->kind == MF_YAML_SCALAR || value->cnt > 0;
}

static void note_accepted(struct mf_agentsh_doc *doc, const struct mf_yaml_node *key,
			  const struct mf_yaml_node *value, const struct mf_agentsh_crumb *at)
{
	if (!mf_agentsh_is_accepted_only(key, value))
		return;
	if (strcmp(key->text, "http_services") == 0)
		mf_agentsh_say(
			doc, MF_AGENTSH_NOTE, key, at,
			"accepted, not enforced: secret, inject and scrub_response; requests "
			"go to the services as programs make them");
	else if (value->kind == MF_YAML_LIST)
		mf_agentsh_say(doc, MF_AGENTSH_NOTE, key, at, "accepted, not enforced (%zu %s)",
			       value->cnt, value->cnt == 1 ? "entry" : "entries");
	else
		mf_agentsh_say(doc, MF_AGENTSH_NOTE, key, at, "accepted, not enforced");
}

void mf_agentsh_check_top(struct mf_agentsh_doc *doc)
{
	const struct mf_yaml_node *root = doc->root, *version;

	for (size_t i = 0; i < root->cnt; i++) {
		const struct mf_yaml_node *key = mf_yaml_key(root, i);
		const struct mf_agentsh_crumb at = { NULL, key->text, 0 };
		const struct field *field = find_field(top_enforced, key->text);

		if (field) {
			check_pair(doc, field, root, i, NULL);
			continue;
		}
		field = find_field(top_accepted, key->text);
		if (field) {
			note_accepted(doc, key, mf_yaml_value(root, i), &at);
			check_pair(doc, field, root, i, NULL);
		} else {
			unknown_key(doc, top_enforced, top_accepted, key, &at);
		}
	}
	version = mf_yaml_get(root, "version");
	if (mf_yaml_is_null(version) || (is_integer(version) && atoll(version->text) <= 0))
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, version ? version : root, NULL,
			       "version must be > 0");
	version = mf_yaml_get(root, "name");
	if (mf_yaml_is_null(version) || (version->kind == MF_YAML_SCALAR && !*version->text))
		mf_agentsh_say(doc, MF_AGENTSH_ERROR, root, NULL, "name is required");
}
