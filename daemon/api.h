/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.h - the daemon's API as a table: method, path, what goes in, what comes out, who does it
 *
 *	static const struct mf_api_route routes[] = {
 *		{ .method = "GET", .path = "/v1/sessions/{id}", .id = "getSession", .summary = "One session",
 *		  .answer = "Session", .fn = get_session },
 *	};
 *	static const struct mf_api_schema schemas[] = { { "Session", "{\"type\": \"object\", ...}" } };
 *	static const struct mf_api_set set = { routes, MF_ARRAY_SIZE(routes), schemas, MF_ARRAY_SIZE(schemas) };
 *
 *	mf_api_add(api, &set, my_state, &err);
 *
 *	static void get_session(void *ctx, struct mf_api_call *call)
 *	{
 *		const char *id = mf_api_param(call, 0);
 *
 *		if (!find(id))
 *			mf_api_problem(call, 404, "no_session", "there is no session '%s'", id);
 *		else
 *			mf_api_answer(call, 200, json_pack(...));
 *	}
 *
 * The table is the one source: requests are dispatched by it, bodies are checked against the schema that it names
 * (schema.h), and the OpenAPI document is written from it (openapi.h). What carries requests here is somebody else's
 * (struct mf_api_transport): HTTP over a socket, or a test.
 *
 * Threads: those of one loop; all calls here from its thread. A handler answers at once, or keeps the call and answers
 * later; each call ends by exactly one of mf_api_answer(), mf_api_answer_text(), mf_api_problem*(), or a stream's end.
 */
#ifndef MF_DAEMON_API_H
#define MF_DAEMON_API_H

#include <jansson.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/span.h"
#include "core/base/strbuf.h"
#include "core/observe/metrics.h"

#define MF_API_PARAMS_MAX  2   /* of one path */
#define MF_API_PARAM_MAX   256 /* bytes of one, decoded, with its NUL */
#define MF_API_SETS_MAX	   16
#define MF_API_WAITING_MAX 512 /* calls without an answer, streams included: then 503 */

struct mf_api;
struct mf_api_call;

/* Who asks, as the system says. */
struct mf_peer {
	bool known;
	uint32_t uid; /* Windows: 0 */
	int64_t pid;  /* of who connected; 0: not known. It may have ended since */
};

typedef void (*mf_api_fn)(void *ctx, struct mf_api_call *call);

/* One more answer that is good, for the document. */
struct mf_api_also {
	int status;	    /* 0: the list ends */
	const char *type;   /* NULL: application/json */
	const char *answer; /* schema; NULL: @type says what it is */
};

struct mf_api_route {
	const char *method, *path; /* "GET"; "/v1/decide/{kind}" */
	const char *id;		   /* operationId: unique */
	const char *summary;	   /* one line */
	const char *
		query; /* query parameters: the inside of OpenAPI's list as JSON text; NULL: none */
	const char *request; /* schema of the body; NULL: there is none */
	const char *answer;  /* schema of the answer; NULL: @type says what it is, or nothing */
	const char *type;    /* content type of the answer; NULL: application/json */
	int status;	     /* when all goes well; 0: 200 */
	const struct mf_api_also *also; /* NULL: no others */
	bool body_optional;
	bool own_check; /* the handler reads the body itself, as strictly (mf_api_body_text()) */
	mf_api_fn fn;
};

struct mf_api_schema {
	const char *name; /* other schemas refer to it by "#/components/schemas/NAME" */
	const char *json; /* JSON Schema: of it, what schema.h knows */
};

struct mf_api_set {
	const struct mf_api_route *routes;
	size_t route_cnt;
	const struct mf_api_schema *schemas;
	size_t schema_cnt;
};

/* An answer on its way out. */
struct mf_api_answer {
	int status;
	const char *type;
	struct mf_span body;
	const char *allow; /* 405: methods; else NULL */
};

/*
 * What carries a call. One of @answer and @begin is called once; @answer ends the call's carrier. A stream: @begin, any
 * number of @send, @end. All may be called inside mf_api_dispatch().
 */
struct mf_api_transport {
	void (*answer)(void *carrier, const struct mf_api_answer *a);
	/* Return: 0; MF_E_UNSUPPORTED: this client cannot be sent one (then @answer follows) */
	int (*begin)(void *carrier, const char *type, struct mf_api_call *call);
	/* Return: bytes that wait to be taken by the client; MF_E_CLOSED */
	int64_t (*send)(void *carrier, struct mf_span bytes);
	void (*end)(void *carrier);
};

struct mf_api_request {
	struct mf_span method, path, query, type /* content type; empty: not said */, body;
	struct mf_span last_event_id; /* the header of clients of server-sent events; empty: none */
	struct mf_peer peer;
};

/** mf_api_new() - @metrics, @clock: borrowed. Return: NULL without memory */
struct mf_api *mf_api_new(struct mf_metrics *metrics, const struct mf_clock *clock);
/** mf_api_free() - No calls may be left. NULL is fine */
void mf_api_free(struct mf_api *api);

/**
 * mf_api_add() - One more set of routes; @set is borrowed for good
 * Return: 0; MF_E_FULL; MF_E_EXIST (a route, a name or a schema twice), MF_E_SYNTAX (schema, parameters): bugs that tests find
 */
int mf_api_add(struct mf_api *api, const struct mf_api_set *set, void *ctx, struct mf_err *err);

/** mf_api_dispatch() - Find who does it, or answer: 400, 404, 405, 413, 415, 422, 503 */
void mf_api_dispatch(struct mf_api *api, const struct mf_api_transport *t, void *carrier,
		     const struct mf_api_request *req);

/** mf_api_next() - The routes in their order, with @at beginning at 0; NULL: no more */
const struct mf_api_route *mf_api_next(const struct mf_api *api, size_t *at);
/** mf_api_next_schema() - The schemas likewise, parsed; borrowed */
const json_t *mf_api_next_schema(const struct mf_api *api, size_t *at, const char **ret_name);

/* What a handler asks. Texts live as long as the call, spans as long as the handler runs. */
const char *mf_api_param(const struct mf_api_call *call, unsigned i); /* decoded; never NULL */
/** mf_api_query() - A query parameter, decoded, in @buf; Return: false: not there (or malformed, which was not dispatched) */
bool mf_api_query(const struct mf_api_call *call, const char *name, char *buf, size_t size);
bool mf_api_query_flag(const struct mf_api_call *call, const char *name); /* =true, =1 */
const json_t *mf_api_body(const struct mf_api_call *call); /* as its schema says; NULL: none */
struct mf_span mf_api_body_text(const struct mf_api_call *call); /* own_check: as it came */
struct mf_span mf_api_last_event_id(const struct mf_api_call *call);
const struct mf_peer *mf_api_peer(const struct mf_api_call *call);

/** mf_api_answer() - Drops the reference of @json; NULL (no memory) becomes 500. Ends the call */
void mf_api_answer(struct mf_api_call *call, int status, json_t *json);
/** mf_api_answer_text() - The same with anything; @type NULL: application/json */
void mf_api_answer_text(struct mf_api_call *call, int status, const char *type,
			struct mf_span text);

/**
 * mf_api_problem() - Say what is wrong: RFC 9457, with @code, a word that programs compare, as member "code". Ends the call
 */
void mf_api_problem(struct mf_api_call *call, int status, const char *code, const char *fmt, ...)
	MF_PRINTF(4, 5);
/** mf_api_problem_at() - The same, and where in the request's body: a JSON pointer, "/0/port" */
void mf_api_problem_at(struct mf_api_call *call, int status, const char *code, const char *pointer,
		       const char *fmt, ...) MF_PRINTF(5, 6);
/** mf_api_problem_err() - The same from an error, with file, line and column where it has them */
void mf_api_problem_err(struct mf_api_call *call, int status, const struct mf_err *err);

/*
 * Answers without an end that is known: one line after the other. When the client leaves, @gone is called once and the call
 * has ended; else mf_api_stream_end() ends it. @room (may be NULL) is called when all that was sent has been taken.
 */
struct mf_api_stream_ops {
	void (*gone)(void *ctx);
	void (*room)(void *ctx);
};

/** mf_api_stream_begin() - Return: 0; MF_E_UNSUPPORTED: answered by 505, the call has ended */
int mf_api_stream_begin(struct mf_api_call *call, const char *type,
			const struct mf_api_stream_ops *ops, void *ctx);
/** mf_api_stream_send() - Return: bytes that the client has not taken yet; the sender stops above what it can bear */
int64_t mf_api_stream_send(struct mf_api_call *call, struct mf_span bytes);
void mf_api_stream_end(struct mf_api_call *call);

/* For transports: the client of a stream has left; it has taken everything. */
void mf_api_stream_gone(struct mf_api_call *call);
void mf_api_stream_room(struct mf_api_call *call);

struct mf_metrics *mf_api_metrics(struct mf_api *api);
uint64_t mf_api_waiting(const struct mf_api *api); /* calls that are not answered yet */

#endif
