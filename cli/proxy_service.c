/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_service.c - the service of "moonfence proxy": forwarding, what it is told over its control socket, what it remembers
 *
 * Two HTTP servers: one on the control socket, whose file only its owner may open, and which may change things; and one
 * for the page, which reaches it through the proxy itself, has nothing but GET, and tells what every user of the machine
 * may know.
 */
#include <event2/event.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/output.h"
#include "cli/proxy_int.h"
#include "core/base/clock.h"
#include "core/base/strbuf.h"
#include "core/names/canonical.h"
#include "core/policy/session.h"
#include "proxies/tls_authority.h"

#define SPAN_OF(t)                                  \
	{                                           \
		(const uint8_t *)(t), sizeof(t) - 1 \
	}

enum {
	METRICS_MAX = 1 << 20,
	PAGE_MAX = 2 << 20,
	HTTP_GOOD = 200,
	HTTP_WRONG = 400,
	HTTP_NOT_FOUND = 404,
	HTTP_DOWN = 502,
	HTTP_UNHEALTHY = 503,
	HTTP_FAILED = 500,
};

/* --- the authority ------------------------------------------------------------------------------------------------- */

static void look_at_authority(struct mf_proxy_service *s)
{
	time_t until = (time_t)mf_tls_authority_until(s->o.authority);
	bool over = until <= (time_t)(mf_clock_wall(&mf_clock_system) / MF_NS_PER_S);
	char day[32] = "", text[MF_PATH_MAX + 80];
	struct tm tm;

	if (s->o.authority_is_temporary) {
		mf_forward_set_health(s->forward, MF_FORWARD_CERTIFICATES, false,
				      "a temporary authority that nothing trusts: 'moonfence ca "
				      "create' makes one that stays");
		return;
	}
	if (gmtime_r(&until, &tm))
		strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	snprintf(text, sizeof(text), "the authority in %s %s %s", s->o.wishes->places.authority,
		 over ? "was valid until" : "is valid until", day);
	mf_forward_set_health(s->forward, MF_FORWARD_CERTIFICATES, !over, text);
}

/* Why clients would refuse our certificate for @name; NULL: they would not */
static const char *certificate_problem(struct mf_proxy_service *s, const char *name,
				       struct mf_err *err)
{
	SSL_CTX *unused;

	return strchr(name, '*') ||
			       mf_tls_authority_certify(s->o.authority, name, &unused, err) == 0
		       ? NULL
		       : err->msg;
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

/* Takes the reference. */
static void answer_json(struct mf_http_exchange *x, int status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (text)
		mf_http_answer_text(x, status, "application/json", text);
	else
		mf_http_answer_text(x, HTTP_FAILED, "text/plain", "out of memory\n");
	free(text);
}

static void answer_problem(struct mf_http_exchange *x, int status, const char *why)
{
	answer_json(x, status, json_pack("{s:s}", "error", why));
}

static void on_health(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_proxy_service *s = ctx;
	json_t *body;
	bool ok;

	(void)req;
	look_at_authority(s);
	body = mf_forward_health_json(s->forward, &ok);
	answer_json(x, ok ? HTTP_GOOD : HTTP_UNHEALTHY, body);
}

static void on_metrics(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_proxy_service *s = ctx;
	struct mf_strbuf text = MF_STRBUF_INIT(METRICS_MAX);

	(void)req;
	mf_forward_write_metrics(s->forward, &text);
	mf_proxy_service_write_dns_metrics(s, &text);
	mf_http_answer_text(x, text.failed ? HTTP_FAILED : HTTP_GOOD, "text/plain; version=0.0.4",
			    text.str ? text.str : "");
	mf_strbuf_done(&text);
}

/* No store, no scripts, nothing from elsewhere. */
static const struct mf_http_field page_fields[] = {
	{ SPAN_OF("cache-control"), SPAN_OF("no-store") },
	{ SPAN_OF("content-security-policy"),
	  SPAN_OF("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
		  "form-action 'none'; frame-ancestors 'none'") },
	{ SPAN_OF("x-content-type-options"), SPAN_OF("nosniff") },
	{ SPAN_OF("referrer-policy"), SPAN_OF("no-referrer") },
};

static void answer_page(struct mf_http_exchange *x, int status, struct mf_strbuf *text)
{
	if (text->failed)
		mf_http_answer_text(x, HTTP_FAILED, "text/plain", "out of memory\n");
	else
		mf_http_answer(x,
			       &(struct mf_http_answer){ .status = status,
							 .type = "text/html; charset=utf-8",
							 .body = mf_span_of(text->str, text->len),
							 .fields = page_fields,
							 .field_cnt = MF_ARRAY_SIZE(page_fields) });
	mf_strbuf_done(text);
}

static void on_down(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_proxy_service *s = ctx;
	struct mf_strbuf text = MF_STRBUF_INIT(PAGE_MAX);

	mf_forward_write_down(s->forward, req->authority, &text);
	answer_page(x, HTTP_DOWN, &text);
}

static void on_page(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_proxy_service *s = ctx;
	struct mf_strbuf text = MF_STRBUF_INIT(PAGE_MAX);

	(void)req;
	look_at_authority(s);
	mf_forward_write_page(s->forward, &text);
	answer_page(x, HTTP_GOOD, &text);
}

static void on_status(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_proxy_service *s = ctx;
	json_t *body;

	(void)req;
	look_at_authority(s);
	body = mf_forward_status_json(s->forward);
	if (body) {
		(void)json_object_set_new(body, "pid", json_integer(s->pid));
		(void)json_object_set_new(body, "dns", mf_proxy_service_dns_json(s));
	}
	answer_json(x, HTTP_GOOD, body);
}

static void on_maps(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_proxy_service *s = ctx;

	(void)req;
	answer_json(x, HTTP_GOOD, mf_forward_maps_json(s->forward));
}

static void on_servers(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	(void)req;
	answer_json(x, HTTP_GOOD, mf_proxy_service_servers(ctx));
}

static void on_test(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_proxy_service *s = ctx;
	char name[512], port[16] = "";

	if (mf_http_find_param(req->query, "name", name, sizeof(name)) < 0) {
		answer_problem(x, HTTP_WRONG, "the name is missing");
		return;
	}
	if (mf_http_find_param(req->query, "port", port, sizeof(port)) < 0)
		port[0] = '\0';
	answer_json(x, HTTP_GOOD,
		    mf_forward_test_json(s->forward, name, (uint16_t)strtoul(port, NULL, 10)));
}

/* --- changes -------------------------------------------------------------------------------------------------------- */

/* Every name that should lead to this machine, to whom it concerns. */
void mf_proxy_service_tell_names(struct mf_proxy_service *s)
{
	const struct mf_forward_routes *t = mf_forward_get_routes(s->forward);
	const char **names;
	size_t cnt = 0, max = 0;

	if (!s->o.names_changed)
		return;
	for (unsigned i = 0; i < MF_FORWARD_SOURCE_NUM; i++)
		max += mf_forward_routes_count(t, (enum mf_forward_source)i);
	names = calloc(max ? max : 1, sizeof(char *));
	for (unsigned i = 0; names && i < MF_FORWARD_SOURCE_NUM; i++) {
		for (size_t k = 0; k < mf_forward_routes_count(t, (enum mf_forward_source)i); k++) {
			const struct mf_forward_route *r =
				mf_forward_routes_at(t, (enum mf_forward_source)i, k);

			/* a hosts file has no wildcards */
			if (!r->wildcard)
				names[cnt++] = r->name;
		}
	}
	if (names)
		s->o.names_changed(s->o.ctx, names, cnt);
	free(names);
}

static int save(struct mf_proxy_service *s, struct mf_err *err)
{
	json_t *maps = mf_forward_maps_write(mf_forward_get_routes(s->forward));
	int r;

	if (!maps || json_object_set_new(s->settings, "maps", maps) < 0)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the settings");
	r = mf_proxy_save(&s->o.wishes->places, s->settings, err);
	mf_proxy_service_tell_names(s);
	mf_proxy_service_lay_routes(s);
	return r;
}

static int status_of(int r)
{
	return r == MF_E_NOENT ? HTTP_NOT_FOUND : r == MF_E_IO ? HTTP_FAILED : HTTP_WRONG;
}

/* The route, and whether its clients will believe us. */
static void answer_map(struct mf_proxy_service *s, struct mf_http_exchange *x, const char *name,
		       enum mf_forward_mode mode)
{
	json_t *answer = mf_forward_test_json(s->forward, name, 0);
	char canon[MF_NAME_ROOM], room[MF_PROXY_DNS_DETAIL + 200];
	struct mf_err err = { 0 };
	const char *why = mf_proxy_service_name_problem(s, name, room, sizeof(room));

	if (!why && mode != MF_FORWARD_PASS && mf_name_canon(name, strlen(name), canon) > 0)
		why = certificate_problem(s, canon, &err);
	if (answer && why)
		(void)json_object_set_new(answer, "warning", json_string(why));
	answer_json(x, HTTP_GOOD, answer);
}

static void on_map_add(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_proxy_service *s = ctx;
	json_t *body = json_loadb((const char *)req->body.ptr, req->body.len,
				  JSON_REJECT_DUPLICATES, NULL);
	const char *name = json_string_value(json_object_get(body, "name"));
	struct mf_forward_target target;
	struct mf_err err = { 0 };
	int r = name ? mf_forward_target_read(body, &target, &err)
		     : mf_err_set(&err, MF_E_SYNTAX, "a map wants a name");

	if (r == 0)
		r = mf_forward_map(s->forward, name, &target, &err);
	if (r == 0)
		r = save(s, &err);
	if (r < 0)
		answer_problem(x, status_of(r), err.msg);
	else
		answer_map(s, x, name, target.mode);
	json_decref(body);
}

static void on_map_remove(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_proxy_service *s = ctx;
	struct mf_err err = { 0 };
	char name[512];
	int r = MF_E_SYNTAX;

	if (mf_http_find_param(req->query, "name", name, sizeof(name)) < 0)
		mf_err_set(&err, r, "the name is missing");
	else
		r = mf_forward_routes_unset(mf_forward_get_routes(s->forward), MF_FORWARD_MANUAL,
					    name, &err);
	if (r == 0)
		r = save(s, &err);
	if (r < 0)
		answer_problem(x, status_of(r), err.msg);
	else
		answer_json(x, HTTP_GOOD, json_pack("{s:s}", "removed", name));
}

static void on_stop(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	static const struct timeval soon = { 0, 20000 };
	struct mf_proxy_service *s = ctx;

	(void)req;
	answer_json(x, HTTP_GOOD,
		    json_pack("{s:b, s:I}", "stopping", true, "pid", (json_int_t)s->pid));
	/* after the answer has gone */
	event_base_loopexit(s->base, &soon);
}

static const struct mf_http_route page_routes[] = {
	{ .method = "GET", .path = "/", .fn = on_page },
	{ .method = "GET", .path = "/healthz", .fn = on_health },
	{ .method = "GET", .path = "/metrics", .fn = on_metrics },
};

static const struct mf_http_route down_routes[] = {
	{ .method = "GET", .path = "/", .prefix = true, .fn = on_down },
	{ .method = "POST", .path = "/", .prefix = true, .fn = on_down },
	{ .method = "PUT", .path = "/", .prefix = true, .fn = on_down },
	{ .method = "PATCH", .path = "/", .prefix = true, .fn = on_down },
	{ .method = "DELETE", .path = "/", .prefix = true, .fn = on_down },
	{ .method = "OPTIONS", .path = "/", .prefix = true, .fn = on_down },
};

static const struct mf_http_route control_routes[] = {
	{ .method = "GET", .path = "/healthz", .fn = on_health },
	{ .method = "GET", .path = "/metrics", .fn = on_metrics },
	{ .method = "GET", .path = "/status", .fn = on_status },
	{ .method = "GET", .path = "/maps", .fn = on_maps },
	{ .method = "GET", .path = "/servers", .fn = on_servers },
	{ .method = "GET", .path = "/test", .fn = on_test },
	{ .method = "POST", .path = "/maps", .fn = on_map_add },
	{ .method = "DELETE", .path = "/maps", .fn = on_map_remove },
	{ .method = "POST", .path = "/stop", .fn = on_stop },
};

/* --- life ----------------------------------------------------------------------------------------------------------- */

static int open_to(struct mf_http_service *http)
{
	evutil_socket_t pair[2];

	if (evutil_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return MF_E_IO;
	evutil_make_socket_nonblocking(pair[0]);
	evutil_make_socket_nonblocking(pair[1]);
	if (mf_http_service_take(http, (int)pair[1], NULL, NULL) == 0)
		return (int)pair[0];
	evutil_closesocket(pair[0]);
	return MF_E_FULL;
}

static int open_page(void *ctx)
{
	struct mf_proxy_service *s = ctx;

	return open_to(s->page);
}

static int open_down(void *ctx)
{
	struct mf_proxy_service *s = ctx;

	return open_to(s->down);
}

static int read_settings(struct mf_proxy_service *s, struct mf_forward_config *config,
			 struct mf_err *err)
{
	const char *path = s->o.wishes->places.settings;
	json_error_t why;
	json_t *limits, *unused;
	const char *key;

	s->settings = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (!s->settings && json_error_code(&why) == json_error_cannot_open_file)
		s->settings = json_object();
	if (!json_is_object(s->settings))
		return mf_err_at(err, MF_E_SYNTAX, path, (unsigned)(why.line > 0 ? why.line : 1), 0,
				 "%s", s->settings ? "the settings are no JSON object" : why.text);
	json_object_foreach(s->settings, key, unused) if (
		strcmp(key, "limits") != 0 &&
		strcmp(key, "maps") !=
			0) return mf_err_at(err, MF_E_SYNTAX, path, 1, 0,
					    "there is no setting \"%.60s\": \"limits\" and "
					    "\"maps\" are all",
					    key);
	limits = json_object_get(s->settings, "limits");
	return limits ? mf_forward_config_read(config, limits, err) : 0;
}

static int add_wished_map(struct mf_proxy_service *s, const char *wish, struct mf_err *err)
{
	struct mf_forward_target target;
	const char *eq = strchr(wish, '=');
	char name[512];
	int r;

	if (!eq || (size_t)(eq - wish) >= sizeof(name))
		return mf_err_set(err, MF_E_SYNTAX, "--map wants NAME=TARGET: '%.100s'", wish);
	memcpy(name, wish, (size_t)(eq - wish));
	name[eq - wish] = '\0';
	r = mf_forward_target_parse(eq + 1, &target, err);
	return r < 0 ? r : mf_forward_map(s->forward, name, &target, err);
}

static int add_maps(struct mf_proxy_service *s, struct mf_err *err)
{
	json_t *maps = json_object_get(s->settings, "maps");
	int r = maps ? mf_forward_maps_read(mf_forward_get_routes(s->forward), maps, err) : 0;

	for (size_t i = 0; i < s->o.wishes->map_cnt && r == 0; i++)
		r = add_wished_map(s, s->o.wishes->maps[i], err);
	return r;
}

static int start_http(struct mf_proxy_service *s, struct mf_err *err)
{
	struct mf_http_service_options o = { .size = sizeof(o) };
	int r = mf_http_service_new(s->base, &o, &s->control, err);

	if (r == 0)
		r = mf_http_service_new(s->base, &o, &s->page, err);
	if (r == 0)
		r = mf_http_service_new(s->base, &o, &s->down, err);
	if (r == 0)
		r = mf_http_service_add(s->control, control_routes, MF_ARRAY_SIZE(control_routes),
					s);
	if (r == 0)
		r = mf_http_service_add(s->page, page_routes, MF_ARRAY_SIZE(page_routes), s);
	if (r == 0)
		r = mf_http_service_add(s->down, down_routes, MF_ARRAY_SIZE(down_routes), s);
	return r == 0 ? mf_http_service_listen(s->control, s->o.control_fd, NULL, err) : r;
}

static int start_forward(struct mf_proxy_service *s, const struct mf_forward_config *config,
			 struct mf_err *err)
{
	struct mf_forward_options o = {
		.size = sizeof(o),
		.fd_cnt = s->o.fd_cnt,
		.find_original = s->o.find_original,
		.find_original_ctx = s->o.ctx,
		.authority = s->o.authority,
		.session = &s->session,
		.config = config,
		.open_page = open_page,
		.open_down = open_down,
		.open_page_ctx = s,
		.list_servers = mf_proxy_service_servers,
		.guess_mode = mf_proxy_service_guess_mode,
		.servers_ctx = s,
	};

	memcpy(o.fds, s->o.fds, sizeof(o.fds));
	return mf_forward_new(s->base, &o, &s->forward, err);
}

int mf_proxy_service_new(struct event_base *base, const struct mf_proxy_service_options *o,
			 struct mf_proxy_service **ret, struct mf_err *err)
{
	struct mf_proxy_service *s = calloc(1, sizeof(*s));
	struct mf_forward_config config;
	int r;

	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the service");
	s->o = *o;
	s->host = o->host;
	s->base = base;
	s->pid = mf_proxy_pid();
	mf_forward_config_init(&config);
	r = read_settings(s, &config, err);
	if (r == 0)
		r = mf_proxy_service_load_policies(s, err);
	if (r == 0)
		r = start_http(s, err);
	if (r == 0)
		r = start_forward(s, &config, err);
	if (r == 0)
		r = add_maps(s, err);
	if (r == 0)
		r = mf_proxy_service_start_dns(s, err);
	if (r == 0)
		r = mf_proxy_service_detect(s, err);
	if (r < 0) {
		mf_proxy_service_free(s);
		return r;
	}
	look_at_authority(s);
	mf_proxy_service_tell_names(s);
	*ret = s;
	return 0;
}

void mf_proxy_service_new_authority(struct mf_proxy_service *s)
{
	s->o.authority_is_temporary = false;
	look_at_authority(s);
}

void mf_proxy_service_rules(struct mf_proxy_service *s, bool ok, const char *detail)
{
	mf_forward_set_health(s->forward, MF_FORWARD_RULES, ok, detail);
}

void mf_proxy_service_free(struct mf_proxy_service *s)
{
	if (!s)
		return;
	mf_proxy_service_stop_detecting(s);
	mf_proxy_service_stop_dns(s);
	mf_http_service_free(s->control);
	mf_forward_free(s->forward);
	mf_http_service_free(s->page);
	mf_http_service_free(s->down);
	mf_proxy_service_free_policies(s);
	json_decref(s->settings);
	free(s);
}
