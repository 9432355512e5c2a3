/* SPDX-License-Identifier: Apache-2.0 */
/* forward_config.c - the limits of domain forwarding and its manual routes, in JSON */
#include <stdio.h>
#include <string.h>

#include "proxies/forward.h"

enum {
	MS_MAX = 24 * 3600 * 1000,
};

static const char *const no_name_names[] = { "original", "deny" };
_Static_assert(MF_ARRAY_SIZE(no_name_names) == MF_FORWARD_NO_NAME_NUM, "a name for each choice");

void mf_forward_config_init(struct mf_forward_config *c)
{
	static const char *const clients[] = { "127.0.0.0/8", "::1/128",       "192.168.0.0/16",
					       "10.0.0.0/8",  "172.16.0.0/12", "fc00::/7",
					       "fe80::/10",   "169.254.0.0/16" };
	static const uint16_t ports[] = { 22, 23, 25, 53, 110, 143 };

	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < MF_ARRAY_SIZE(clients); i++)
		(void)mf_cidr_parse(clients[i], strlen(clients[i]), &c->clients[c->client_cnt++]);
	memcpy(c->blocked_ports, ports, sizeof(ports));
	c->blocked_port_cnt = MF_ARRAY_SIZE(ports);
	c->connections_max = 1000;
	c->connections_per_client = 100;
	c->dial_ms = 10000;
	c->hello_ms = 5000;
	c->idle_ms = 3600000;
}

static int read_networks(struct mf_forward_config *c, json_t *list, struct mf_err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(list) || json_array_size(list) > MF_FORWARD_NETWORKS_MAX)
		return mf_err_set(err, MF_E_SYNTAX,
				  "\"allowed_networks\" wants a list of at most %d networks",
				  MF_FORWARD_NETWORKS_MAX);
	c->client_cnt = 0;
	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(item);

		if (!text || mf_cidr_parse(text, strlen(text), &c->clients[i]) < 0)
			return mf_err_set(
				err, MF_E_SYNTAX,
				"\"allowed_networks\": '%.60s' is no network like 10.0.0.0/8",
				text ? text : "(no text)");
		c->client_cnt = i + 1;
	}
	return 0;
}

static int read_ports(struct mf_forward_config *c, json_t *list, struct mf_err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(list) || json_array_size(list) > MF_FORWARD_PORTS_MAX)
		return mf_err_set(err, MF_E_SYNTAX,
				  "\"blocked_ports\" wants a list of at most %d ports",
				  MF_FORWARD_PORTS_MAX);
	c->blocked_port_cnt = 0;
	json_array_foreach(list, i, item)
	{
		json_int_t port = json_integer_value(item);

		if (!json_is_integer(item) || port < 1 || port > 65535)
			return mf_err_set(err, MF_E_SYNTAX,
					  "\"blocked_ports\" wants numbers from 1 to 65535");
		c->blocked_ports[i] = (uint16_t)port;
		c->blocked_port_cnt = i + 1;
	}
	return 0;
}

static int read_no_name(struct mf_forward_config *c, json_t *value, struct mf_err *err)
{
	const char *text = json_string_value(value);

	for (unsigned i = 0; text && i < MF_FORWARD_NO_NAME_NUM; i++) {
		if (strcmp(text, no_name_names[i]) == 0) {
			c->no_name = (enum mf_forward_no_name)i;
			return 0;
		}
	}
	return mf_err_set(err, MF_E_SYNTAX, "\"no_sni\" is \"original\" or \"deny\"");
}

struct number {
	const char *key;
	size_t offset;
	uint32_t max;
};

static const struct number numbers[] = {
	{ "max_connections", offsetof(struct mf_forward_config, connections_max), 1000000 },
	{ "max_connections_per_client", offsetof(struct mf_forward_config, connections_per_client),
	  1000000 },
	{ "dial_timeout_ms", offsetof(struct mf_forward_config, dial_ms), MS_MAX },
	{ "hello_timeout_ms", offsetof(struct mf_forward_config, hello_ms), MS_MAX },
	{ "idle_timeout_ms", offsetof(struct mf_forward_config, idle_ms), MS_MAX },
};

static uint32_t *number_of(struct mf_forward_config *c, const struct number *n)
{
	return (uint32_t *)((char *)c + n->offset);
}

static int read_number(struct mf_forward_config *c, const char *key, json_t *value,
		       struct mf_err *err)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(numbers); i++) {
		json_int_t n = json_integer_value(value);

		if (strcmp(numbers[i].key, key) != 0)
			continue;
		if (!json_is_integer(value) || n < 1 || n > numbers[i].max)
			return mf_err_set(err, MF_E_SYNTAX, "\"%s\" wants a number from 1 to %u",
					  key, numbers[i].max);
		*number_of(c, &numbers[i]) = (uint32_t)n;
		return 0;
	}
	return mf_err_set(err, MF_E_SYNTAX, "there is no setting \"%.60s\"", key);
}

int mf_forward_config_read(struct mf_forward_config *c, json_t *object, struct mf_err *err)
{
	const char *key;
	json_t *value;
	int r = 0;

	if (!json_is_object(object))
		return mf_err_set(err, MF_E_SYNTAX, "the settings are no JSON object");
	json_object_foreach(object, key, value)
	{
		if (strcmp(key, "allowed_networks") == 0)
			r = read_networks(c, value, err);
		else if (strcmp(key, "blocked_ports") == 0)
			r = read_ports(c, value, err);
		else if (strcmp(key, "no_sni") == 0)
			r = read_no_name(c, value, err);
		else
			r = read_number(c, key, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

json_t *mf_forward_config_write(const struct mf_forward_config *c)
{
	struct mf_forward_config copy = *c;
	json_t *o = json_object(), *networks = json_array(), *ports = json_array();
	char text[MF_CIDR_TEXT_MAX];
	int failed = 0;

	for (size_t i = 0; i < c->client_cnt; i++)
		failed |= json_array_append_new(
			networks, json_string(mf_cidr_format(&c->clients[i], text, sizeof(text))));
	for (size_t i = 0; i < c->blocked_port_cnt; i++)
		failed |= json_array_append_new(ports, json_integer(c->blocked_ports[i]));
	failed |= json_object_set_new(o, "allowed_networks", networks);
	failed |= json_object_set_new(o, "blocked_ports", ports);
	for (size_t i = 0; i < MF_ARRAY_SIZE(numbers); i++)
		failed |= json_object_set_new(o, numbers[i].key,
					      json_integer(*number_of(&copy, &numbers[i])));
	failed |= json_object_set_new(o, "no_sni", json_string(no_name_names[c->no_name]));
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* --- manual routes -------------------------------------------------------------------------------------------------- */

int mf_forward_target_read(json_t *value, struct mf_forward_target *ret, struct mf_err *err)
{
	const char *text = json_string_value(value), *mode = NULL;
	int found, r;

	if (json_is_object(value)) {
		text = json_string_value(json_object_get(value, "target"));
		mode = json_string_value(json_object_get(value, "mode"));
	}
	if (!text)
		return mf_err_set(err, MF_E_SYNTAX, "a map wants a target, as \"127.0.0.1:3000\"");
	r = mf_forward_target_parse(text, ret, err);
	if (r < 0 || !mode)
		return r;
	found = mf_forward_mode_find(mode);
	if (found < 0)
		return mf_err_set(err, MF_E_SYNTAX,
				  "a map's mode is auto, plain, tls, h2 or pass, not '%.60s'",
				  mode);
	ret->mode = (enum mf_forward_mode)found;
	return 0;
}

int mf_forward_maps_read(struct mf_forward_routes *t, json_t *object, struct mf_err *err)
{
	struct mf_forward_target target;
	const char *name;
	json_t *value;
	int r = 0;

	if (!json_is_object(object))
		return mf_err_set(err, MF_E_SYNTAX, "the maps are no JSON object");
	json_object_foreach(object, name, value)
	{
		r = mf_forward_target_read(value, &target, err);
		if (r == 0)
			r = mf_forward_routes_set(t, MF_FORWARD_MANUAL, name, &target, err);
		if (r < 0)
			return r;
	}
	return 0;
}

json_t *mf_forward_maps_write(const struct mf_forward_routes *t)
{
	json_t *o = json_object();
	int failed = !o;

	for (size_t i = 0; i < mf_forward_routes_count(t, MF_FORWARD_MANUAL); i++) {
		const struct mf_forward_route *r = mf_forward_routes_at(t, MF_FORWARD_MANUAL, i);
		char name[MF_NAME_ROOM + 2], target[MF_FORWARD_TARGET_TEXT_MAX];

		snprintf(name, sizeof(name), "%s%s", r->wildcard ? "*." : "", r->name);
		mf_forward_target_format(&r->target, target, sizeof(target));
		failed |= json_object_set_new(o, name,
					      json_pack("{s:s, s:s}", "target", target, "mode",
							mf_forward_mode_name(r->target.mode)));
	}
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}
