/* SPDX-License-Identifier: Apache-2.0 */
/* api_int.h - the inside of the API: api.c (the table, dispatching), api_answer.c (calls and their answers) */
#ifndef MF_DAEMON_API_INT_H
#define MF_DAEMON_API_INT_H

#include "daemon/api.h"

struct mf_api {
	struct mf_metrics *metrics;
	const struct mf_clock *clock;
	struct {
		const struct mf_api_set *set;
		void *ctx;
	} sets[MF_API_SETS_MAX];
	size_t set_cnt;
	json_t *schemas; /* name to schema, all sets */
	uint64_t waiting;
	struct mf_histogram *seconds;
	struct mf_counter *busy; /* calls that were one too many */
};

struct mf_api_call {
	struct mf_api *api;
	const struct mf_api_route *route; /* NULL: there is none for it */
	void *ctx;			  /* of the set */
	const struct mf_api_transport *t;
	void *carrier;
	struct mf_span query, text, last_event_id;
	char *query_copy; /* the query outlives the handler */
	json_t *body;
	struct mf_peer peer;
	uint64_t began_ns;
	const struct mf_api_stream_ops *ops; /* NULL: no stream */
	void *stream_ctx;
	char path[512]; /* for problems: cut where it is longer */
	char params[MF_API_PARAMS_MAX][MF_API_PARAM_MAX];
};

/** mf_api_count() - One call has been answered by @status */
void mf_api_count(struct mf_api *api, const struct mf_api_route *route, int status,
		  uint64_t began_ns);

/** mf_api_decode() - "%XX" in @text; Return: length without the NUL in @buf, MF_E_BAD, MF_E_LIMIT */
int mf_api_decode(struct mf_span text, char *buf, size_t size);

void mf_api_refuse_method(struct mf_api_call *call, const char *allow);

#endif
