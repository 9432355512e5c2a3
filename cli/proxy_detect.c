/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_detect.c - detected development servers become routes of the service
 *
 * Who looks is the service itself, or as root its broker, which sees everybody's processes and tells of changes in the same
 * words (mf_dev_server_to_json()). A server's own claims are nothing to rely on: its name goes through the route table, which gives
 * detection few names, and its address must be loopback.
 */
#include <stdio.h>
#include <string.h>

#include "cli/proxy_int.h"

#define SERVERS_MAX MF_DEV_SERVERS_MAX

/* --- changes ------------------------------------------------------------------------------------------------------------ */

static enum mf_forward_mode mode_of(const json_t *server)
{
	const char *speech = json_string_value(json_object_get(server, "speech"));

	if (speech && strcmp(speech, mf_dev_speech_name(MF_DEV_TLS)) == 0)
		return MF_FORWARD_TLS;
	if (speech && strcmp(speech, mf_dev_speech_name(MF_DEV_H2C)) == 0)
		return MF_FORWARD_H2;
	return MF_FORWARD_PLAIN;
}

static bool read_target(const json_t *server, struct mf_forward_target *ret)
{
	const char *at = json_string_value(json_object_get(server, "at"));
	struct mf_addr addr;

	if (!at || mf_forward_target_parse(at, ret, NULL) < 0 ||
	    mf_addr_parse(ret->host, strlen(ret->host), &addr) < 0 || !mf_addr_is_loopback(&addr))
		return false;
	ret->mode = mode_of(server);
	return true;
}

static void drop_route(struct mf_proxy_service *s, const json_t *server)
{
	const char *name = json_string_value(json_object_get(server, "name"));

	if (name && *name)
		(void)mf_forward_routes_unset(mf_forward_get_routes(s->forward),
					      MF_FORWARD_DETECTED, name, NULL);
}

static void add_route(struct mf_proxy_service *s, const json_t *server)
{
	const char *name = json_string_value(json_object_get(server, "name"));
	struct mf_forward_target target;

	if (name && *name && read_target(server, &target) &&
	    !mf_forward_is_blocked(s->forward, target.port))
		(void)mf_forward_routes_set(mf_forward_get_routes(s->forward), MF_FORWARD_DETECTED,
					    name, &target, NULL);
}

static void report(struct mf_proxy_service *s)
{
	char text[80];
	size_t cnt = json_object_size(s->servers);

	snprintf(text, sizeof(text), "%zu development server%s seen", cnt, cnt == 1 ? "" : "s");
	mf_forward_set_health(s->forward, MF_FORWARD_DEV_SERVERS, true, text);
}

void mf_proxy_service_lay_routes(struct mf_proxy_service *s)
{
	const char *id;
	json_t *server;

	json_object_foreach(s->servers, id, server) add_route(s, server);
}

void mf_proxy_service_change_server(struct mf_proxy_service *s, bool gone, json_t *server)
{
	char id[32];
	json_t *old;

	snprintf(id, sizeof(id), "%lld",
		 (long long)json_integer_value(json_object_get(server, "id")));
	old = json_object_get(s->servers, id);
	if (old)
		drop_route(s, old);
	if (gone)
		(void)json_object_del(s->servers, id);
	else if (old || json_object_size(s->servers) < SERVERS_MAX)
		(void)json_object_set(s->servers, id, server);
	/* two servers never have one name; but between two changes the old one may */
	mf_proxy_service_lay_routes(s);
	report(s);
	mf_proxy_service_tell_names(s);
}

static void on_told(void *ctx, enum mf_dev_change change, const struct mf_dev_server *server)
{
	json_t *text = mf_dev_server_to_json(server);

	if (text)
		mf_proxy_service_change_server(ctx, change == MF_DEV_DISAPPEARED, text);
	json_decref(text);
}

/* --- life --------------------------------------------------------------------------------------------------------------- */

int mf_proxy_service_detect(struct mf_proxy_service *s, struct mf_err *err)
{
	struct mf_dev_servers_options o = { .size = sizeof(o), .told = on_told, .ctx = s };
	struct mf_err why;

	s->servers = json_object();
	if (!s->servers)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the service");
	if (s->o.wishes->no_detection)
		return 0;
	report(s);
	/* forwarding goes on without */
	if (!s->o.is_brokered && mf_dev_servers_start(s->base, &o, &s->dev, &why) < 0)
		mf_forward_set_health(s->forward, MF_FORWARD_DEV_SERVERS, false, why.msg);
	return 0;
}

void mf_proxy_service_stop_detecting(struct mf_proxy_service *s)
{
	mf_dev_servers_stop(s->dev);
	s->dev = NULL;
	json_decref(s->servers);
	s->servers = NULL;
}

/* --- questions ----------------------------------------------------------------------------------------------------------- */

json_t *mf_proxy_service_servers(void *service)
{
	struct mf_proxy_service *s = service;
	json_t *list = json_array(), *server;
	const char *id;

	json_object_foreach(s->servers, id, server)(void) json_array_append(list, server);
	return list;
}

enum mf_forward_mode mf_proxy_service_guess_mode(void *service,
						 const struct mf_forward_target *target)
{
	struct mf_proxy_service *s = service;
	struct mf_addr addr;
	const char *id;
	json_t *server;

	if (strcmp(target->host, "localhost") != 0 &&
	    (mf_addr_parse(target->host, strlen(target->host), &addr) < 0 ||
	     !mf_addr_is_loopback(&addr)))
		return MF_FORWARD_PLAIN;
	json_object_foreach(s->servers, id, server)
	{
		struct mf_forward_target at;

		if (read_target(server, &at) && at.port == target->port)
			return at.mode;
	}
	return MF_FORWARD_PLAIN;
}
