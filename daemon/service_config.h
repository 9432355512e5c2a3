/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_config.h - what moonfence.yaml says of the processes that the daemon runs: `sessions:`, `mounts:`, `proxy:`, `gateway:`
 *
 *	mounts:
 *	  - id: project
 *	    source: /srv/project
 *	    place: /srv/fenced
 *	    policies: [/etc/moonfence/files.lua]
 *
 * Each becomes the body of a POST /v1/sessions (sessions_routes.c makes a command line of it): what the API starts and what the
 * file names are started alike. The keys stand in the table of config_services.c.
 */
#ifndef MF_DAEMON_SERVICE_CONFIG_H
#define MF_DAEMON_SERVICE_CONFIG_H

#include <jansson.h>
#include <stdint.h>

#define MF_SERVICES_MAX 64

enum mf_service_restart {
	MF_SERVICE_RESTART_ON_FAILURE, /* its status was not 0 */
	MF_SERVICE_RESTART_ALWAYS,
	MF_SERVICE_RESTART_NEVER,
	MF_SERVICE_RESTART_NUM
};

struct mf_service_config {
	json_t *start; /* kind, id and so on, as SessionStart has them */
	enum mf_service_restart restart;
	bool keep; /* it goes on when the daemon ends */
};

/* Of all of them. */
struct mf_restart_config {
	uint32_t delay_ms, delay_max_ms; /* the first pause, which doubles up to the second */
	uint32_t times;			 /* failures one after the other, then no more */
};

const char *mf_service_restart_name(enum mf_service_restart r);

static inline const char *mf_service_config_id(const struct mf_service_config *s)
{
	return json_string_value(json_object_get(s->start, "id"));
}

#endif
