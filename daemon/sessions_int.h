/* SPDX-License-Identifier: Apache-2.0 */
/* sessions_int.h - the inside of sessions: sessions.c (the table, what happens in it), sessions_routes.c (requests) */
#ifndef MF_DAEMON_SESSIONS_INT_H
#define MF_DAEMON_SESSIONS_INT_H

#include "daemon/session_link.h"
#include "daemon/sessions.h"
#include "daemon/work.h"

enum mf_session_state {
	MF_SESSION_STARTING, /* no answer yet */
	MF_SESSION_RUNNING,
	MF_SESSION_ENDED,
	MF_SESSION_STATE_NUM
};

struct mf_session_entry {
	struct mf_session_entry *next;
	struct mf_sessions *all;
	enum mf_session_state state;
	long pid;
	char *socket;
	json_t *card;	     /* as it said last; NULL: not yet */
	char *wanted_id;     /* of one that was started; NULL: it says itself */
	bool ours;	     /* a child */
	bool reaped;	     /* ours, and its end was seen */
	bool told_to_end;    /* by a request */
	bool killing;	     /* an item of work is on its way */
	bool kill_refused;   /* by the system, and it was logged */
	uint64_t kill_at_ns; /* what is left of it then is killed; 0: nothing is */
	int exit_status;     /* -1: not known */
	int64_t peer_pid;    /* of one that registered: who must serve its socket; 0: anybody */
	struct mf_api_call *attached; /* its registration; NULL: it was found, or started */
	bool attached_told;	      /* it was told that it is in the list */
	bool asked;		      /* an answer is on its way */
	unsigned uses;		      /* of work that is on its way: may not be freed */
	struct mf_session_link *link;
	struct mf_api_call *starter; /* waits until it runs, or has ended */
};

struct mf_sessions {
	struct mf_sessions_options o;
	struct event_base *base;
	struct event *tick;
	struct mf_loop_wake *wake; /* what threads have done is looked at */
	struct mf_work *work;
	struct mf_session_entry *entries;
	size_t running, ended;
	unsigned ticks;
	void (*looked)(void *ctx); /* after each look at all; NULL: nobody cares */
	void *looked_ctx;
};

/** mf_sessions_add() - Its socket is where those of our user are. Return: NULL: no memory, or too many */
struct mf_session_entry *mf_sessions_add(struct mf_sessions *s, long pid);
/** mf_sessions_add_at() - The same, of one that registers: its socket is served by @pid or not asked */
struct mf_session_entry *mf_sessions_add_at(struct mf_sessions *s, long pid, const char *socket);
/** mf_sessions_find_pid() - One that has not ended; NULL: none */
struct mf_session_entry *mf_sessions_find_pid(struct mf_sessions *s, long pid);
/** mf_session_entry_ask() - Ask it who it is, beside everything else */
void mf_session_entry_ask(struct mf_session_entry *e);
/** mf_session_entry_find() - The one that a request's path names; Return: NULL: answered */
struct mf_session_entry *mf_session_entry_find(struct mf_sessions *s, struct mf_api_call *call);
const char *mf_session_entry_id(const struct mf_session_entry *e);
json_t *mf_session_entry_json(const struct mf_session_entry *e);

/** mf_sessions_knows_all() - Whether everybody that was there when the daemon began has said who it is */
bool mf_sessions_knows_all(const struct mf_sessions *s);

/** mf_sessions_find() - The one that is called so and has not ended; NULL: none */
struct mf_session_entry *mf_sessions_find(const struct mf_sessions *s, const char *id);

/**
 * mf_sessions_spawn() - Start one as @start (SessionStart, checked) says
 * @tell: what it prints goes to our stderr, unless @start names a file. Return: 0; MF_E_LIMIT, MF_E_NOMEM, MF_E_IO
 */
int mf_sessions_spawn(struct mf_sessions *s, const json_t *start, bool tell,
		      struct mf_session_entry **ret, struct mf_err *err);

/* sessions_attach.c */
/** mf_session_entry_pass() - Put a request to the session itself: its answer is the call's. @body: copied, NULL for none */
void mf_session_entry_pass(struct mf_session_entry *e, struct mf_api_call *call, const char *method,
			   const char *target, const json_t *body);
/** mf_session_entry_pass_end() - Ask it to end; the call is answered by what we know of it, or by what is wrong there */
void mf_session_entry_pass_end(struct mf_session_entry *e, struct mf_api_call *call);
/** mf_session_entry_tell() - Put a request to it, whatever it answers */
void mf_session_entry_tell(struct mf_session_entry *e, const char *method, const char *target);
/** mf_session_entry_attach() - It runs: who registered is told */
void mf_session_entry_attach(struct mf_session_entry *e);
/** mf_session_entry_detach() - Its registration ends: it has ended, is none, or we stop */
void mf_session_entry_detach(struct mf_session_entry *e);

/* sessions_end.c */
/** mf_session_entry_kill_when_due() - At each look: kill what is left of one whose time to end is over */
void mf_session_entry_kill_when_due(struct mf_session_entry *e);

/* sessions_routes.c, sessions_end.c, sessions_approvals.c, sessions_attach.c; their ctx: struct mf_sessions */
extern const struct mf_api_set mf_sessions_set, mf_sessions_end_set, mf_sessions_approvals_set,
	mf_sessions_attach_set;

#endif
