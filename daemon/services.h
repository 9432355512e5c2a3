/* SPDX-License-Identifier: Apache-2.0 */
/*
 * services.h - what moonfence.yaml has the daemon run, kept running: sessions, mounts, the proxy, the gateway
 *
 * A service is a session (sessions.h) that the daemon starts by itself, starts again when it fails, after pauses that grow and
 * not for ever, and ends with itself. One that runs already when the daemon begins, because the last daemon was killed, is
 * taken over.
 *
 * /v1/services, /v1/services/{id}, its restart and stop, /v1/config/reload
 *
 * Threads: the loop's.
 */
#ifndef MF_DAEMON_SERVICES_H
#define MF_DAEMON_SERVICES_H

#include "daemon/config.h"
#include "daemon/sessions.h"

struct mf_services;

struct mf_services_options {
	struct mf_sessions *sessions; /* NULL: for documents */
	const char *file;	      /* moonfence.yaml; NULL: there is none */
	const struct mf_log *log;
	/*
	 * What else a file says that was read again. @policies: whether it changes them; then @done is called, maybe at once, with an
	 * error where they do not load: nothing of the file counts then. @settle: it counts; @c is the callee's from now on, @answer
	 * gets "settings", "restart_needed" and "overridden". NULL: nobody cares
	 */
	bool (*policies)(void *ctx, const struct mf_config *c,
			 void (*done)(void *ctx, const struct mf_err *err), void *done_ctx);
	void (*settle)(void *ctx, struct mf_config *c, json_t *answer);
	void *ctx;
};

/** mf_services_new() - Adds its routes. @options: what it names is borrowed. Return: 0; MF_E_NOMEM and those of mf_api_add() */
int mf_services_new(struct mf_api *api, const struct mf_services_options *options,
		    struct mf_services **ret, struct mf_err *err);

/**
 * mf_services_start() - Run what @c names, as soon as it is known what runs already
 * @c: may go afterwards. Return: 0; MF_E_NOMEM; MF_E_UNSUPPORTED: no sessions are started on this system, and it names some
 */
int mf_services_start(struct mf_services *v, const struct mf_config *c, struct mf_err *err);

/** mf_services_reload() - Read the file again: what is new is started, what is gone or another is ended; errors are logged */
void mf_services_reload(struct mf_services *v);

/** mf_services_stop() - Ask all to end, but those that are kept; NULL is fine */
void mf_services_stop(struct mf_services *v);
/** mf_services_waiting() - How many have not ended since */
size_t mf_services_waiting(const struct mf_services *v);
/** mf_services_free() - Before the sessions, when nothing is dispatched any more. NULL is fine */
void mf_services_free(struct mf_services *v);

#endif
