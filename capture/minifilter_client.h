/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minifilter_client.h - our side of the conversation with a minifilter driver
 *
 * On each connection the client says who it is (its process is excluded from all checks), sets the driver's settings, and
 * registers its session; a session registered earlier is registered again after a loss. Then it answers:
 *
 *	ping                      pong, with the version that both speak; another major version ends the conversation for good
 *	process created, ended    events of the session (session_events.h); of other sessions: ignored, counted
 *	file, registry check      judge() where there is one; without one: allowed, or denied when settings say fail closed.
 *	                          A check whose name was cut or is no text is denied in any case (P55)
 *	anything else             refused with a status, if an answer is awaited; counted
 *
 * How bytes travel is a transport: the filter manager's port on Windows (minifilter_win32.h), a pipe or memory in tests.
 *
 * Threads: one thread runs mf_minifilter_client_serve(), which blocks; mf_minifilter_client_register(), _stop() and the
 * events belong to the session's thread.
 */
#ifndef MF_CAPTURE_MINIFILTER_CLIENT_H
#define MF_CAPTURE_MINIFILTER_CLIENT_H

#include "capture/minifilter_msg.h"
#include "capture/session_events.h"
#include "core/base/log.h"

/* All but receive() may be called by any thread. */
struct mf_minifilter_transport {
	/** connect() - @context goes with it; Return: 0, MF_E_NOENT (no driver), MF_E_PERM, MF_E_IO */
	int (*connect)(void *ctx, const uint8_t *context, size_t len, struct mf_err *err);
	/** receive() - Waits for a message; Return: its bytes, MF_E_CLOSED (disconnected), MF_E_IO */
	int (*receive)(void *ctx, uint8_t *buf, size_t room);
	/** send() - A message, and the driver's answer; Return: bytes of the answer, MF_E_CLOSED, MF_E_IO (refused) */
	int (*send)(void *ctx, const uint8_t *msg, size_t len, uint8_t *answer, size_t room);
	/** reply() - To a received message; Return: 0, MF_E_CLOSED, MF_E_IO (nobody waits any longer) */
	int (*reply)(void *ctx, const uint8_t *reply, size_t len);
	/** disconnect() - Ends a receive() that waits; connect() may follow */
	void (*disconnect)(void *ctx);
	void *ctx;
};

struct mf_minifilter_options {
	size_t size;	       /* of this struct */
	uint64_t token;	       /* of the session; not 0 */
	uint32_t own_pid;      /* excluded from checks */
	const char *workspace; /* UTF-8, may be NULL; at most 519 UTF-16 units; copied */
	struct mf_minifilter_config config; /* all zero: open, and the defaults */
	uint32_t
		answer_ttl_ms; /* how long the driver may keep an answer; 0: settings' cache time */
	/* Judge a check that can be judged; NULL as above. Called by the serving thread. */
	enum mf_minifilter_decision (*judge)(void *ctx, const struct mf_minifilter_msg *check);
	void *judge_ctx;
	struct mf_session_wake wake;
	const struct mf_log *log; /* may be NULL */
};

struct mf_minifilter_stats {
	uint64_t connects, received, allowed, denied, pings;
	uint64_t created, ended, foreign; /* process events; foreign: of other sessions */
	uint64_t malformed, unknown;	  /* messages refused */
	uint64_t send_failures, reply_failures;
	uint32_t version; /* agreed on by a ping; 0: none came yet */
	bool connected;
};

struct mf_minifilter_client;

/** mf_minifilter_client_new() - @transport is copied; Return: 0, MF_E_INVAL, MF_E_LIMIT, MF_E_SYNTAX, MF_E_NOMEM */
int mf_minifilter_client_new(const struct mf_minifilter_options *options,
			     const struct mf_minifilter_transport *transport,
			     struct mf_minifilter_client **ret, struct mf_err *err);

/** mf_minifilter_client_connect() - Connect and introduce ourselves; Return: 0, as transport.connect(), MF_E_IO (refused) */
int mf_minifilter_client_connect(struct mf_minifilter_client *c, struct mf_err *err);

/**
 * mf_minifilter_client_serve() - Take messages until the connection ends
 * Return: MF_E_CLOSED: connect again; MF_E_UNSUPPORTED: never, the driver speaks another protocol, or _stop() was called
 */
int mf_minifilter_client_serve(struct mf_minifilter_client *c);

/** mf_minifilter_client_register() - The session's first process; told to the driver now and after each reconnection
 * Return: 0; MF_E_CLOSED: not connected now, told later; MF_E_IO: refused */
int mf_minifilter_client_register(struct mf_minifilter_client *c, uint32_t root_pid);

/** mf_minifilter_client_ask_metrics() - The driver's counters; Return: 0, MF_E_CLOSED, MF_E_IO, MF_E_BAD */
int mf_minifilter_client_ask_metrics(struct mf_minifilter_client *c,
				     struct mf_minifilter_metrics *ret);

/** mf_minifilter_client_stop() - Unregister, disconnect; serve() returns and connects never again */
void mf_minifilter_client_stop(struct mf_minifilter_client *c);

struct mf_session_events mf_minifilter_client_events(struct mf_minifilter_client *c);
void mf_minifilter_client_get_stats(struct mf_minifilter_client *c,
				    struct mf_minifilter_stats *ret);
/** mf_minifilter_client_free() - After serve() has returned; NULL is fine */
void mf_minifilter_client_free(struct mf_minifilter_client *c);

#endif
