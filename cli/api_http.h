/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_http.h - the API (daemon/api.h) over HTTP (proxies/http_service.h) on the control socket (daemon/listen.h)
 *
 * Whoever connects is looked at once, by what the kernel knows of the connecting process. Who may not use the API is given to
 * a small service of its own, which answers 403 to everything: strangers take no place from others.
 */
#ifndef MF_CLI_API_HTTP_H
#define MF_CLI_API_HTTP_H

#include "daemon/api.h"
#include "daemon/listen.h"

struct event_base;
struct mf_api_http;

struct mf_api_http_options {
	uint32_t connections_max, body_max, idle_ms; /* 0: those of the HTTP service */
	bool (*is_stranger)(
		void *ctx,
		int64_t pid); /* one who may connect, and is refused all the same; NULL: nobody */
	void *stranger_ctx;
};

/** mf_api_http_new() - Serve @api at @listen, both borrowed; Return: 0, MF_E_NOMEM, MF_E_INVAL */
int mf_api_http_new(struct event_base *base, struct mf_api *api, struct mf_listen *listen,
		    const struct mf_api_http_options *options, struct mf_api_http **ret,
		    struct mf_err *err);

/** mf_api_http_stop() - Take no more connections; those that are open go on */
void mf_api_http_stop(struct mf_api_http *h);
/** mf_api_http_is_idle() - Whether nobody waits for an answer */
bool mf_api_http_is_idle(const struct mf_api_http *h);
/** mf_api_http_free() - Connections are closed; streams end by their gone callback. NULL is fine */
void mf_api_http_free(struct mf_api_http *h);

#endif
