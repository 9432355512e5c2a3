/* SPDX-License-Identifier: Apache-2.0 */
/* services_int.h - the inside of services: services.c (what happens to them), services_routes.c (requests) */
#ifndef MF_DAEMON_SERVICES_INT_H
#define MF_DAEMON_SERVICES_INT_H

#include "daemon/services.h"
#include "daemon/sessions_int.h"

enum mf_service_state {
	MF_SERVICE_WAITING,  /* to be started, or taken over */
	MF_SERVICE_STARTING, /* it has not said who it is */
	MF_SERVICE_RUNNING,
	MF_SERVICE_DELAYED, /* it failed: started again at at_ns */
	MF_SERVICE_ENDING,  /* it was asked to */
	MF_SERVICE_ENDED,   /* by itself and well, or as somebody wanted */
	MF_SERVICE_FAILED,  /* too often, or it may not be started again */
	MF_SERVICE_STATE_NUM
};

struct mf_service {
	struct mf_service *next;
	struct mf_service_config c;
	enum mf_service_state state;
	struct mf_session_entry *entry; /* held by its uses; NULL: no process */
	bool taken_over;
	bool again;		       /* once it has ended */
	bool gone;		       /* from the file: forgotten once it has ended */
	struct mf_service_config wish; /* what to be then; start NULL: as it is */
	unsigned failures;	       /* one after the other */
	uint64_t restarts;	       /* in all */
	uint64_t at_ns;		       /* delayed: when; running and starting: since when */
	int exit_status;	       /* of the last one; -1: not known, or none ended */
	char why[256];		       /* it is not running; "": nothing to say */
};

struct mf_services {
	struct mf_services_options o;
	struct mf_restart_config restart;
	struct mf_service *list; /* in the file's order, those that are to end behind */
	struct mf_counter *restarts;
	bool started, stopping;
	bool knows; /* which sessions ran already */
};

json_t *mf_service_json(const struct mf_service *s);
struct mf_service *mf_services_find(const struct mf_services *v, const char *id);
/** mf_service_stop() - @again: it is started anew then, whatever its restarts say */
void mf_service_stop(struct mf_services *v, struct mf_service *s, bool again);
/** mf_services_read() - Read the file, and have it count; @call is answered, NULL: what is wrong is logged */
void mf_services_read(struct mf_services *v, struct mf_api_call *call);

extern const struct mf_api_set mf_services_set; /* services_routes.c; its ctx: struct mf_services */

#endif
