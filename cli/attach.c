/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c - see attach.h */
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/attach.h"
#include "cli/paths.h"
#include "core/base/clock.h"
#include "core/base/thread.h"
#include "daemon/client.h"

enum {
	LOOK_MS = 400,	  /* how often the thread looks whether it is to end */
	PAUSE_MS = 500,	  /* between two tries */
	FIRST_MS = 10000, /* that the daemon may take for the first time */
};

struct mf_attach {
	char daemon[MF_PATH_MAX], *body;
	const struct mf_log *log;
	pthread_t thread;
	bool started;
	_Atomic bool stop;
	uint64_t until_ns; /* of the first try */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under the lock */
	bool over; /* the first try has ended, one way or the other */
	int rc;
	struct mf_err err;
	/* of the thread */
	bool registered;
};

static void tell_first(struct mf_attach *a, int rc, const struct mf_err *err)
{
	pthread_mutex_lock(&a->lock);
	if (!a->over) {
		a->over = true;
		a->rc = rc;
		if (err)
			a->err = *err;
		pthread_cond_signal(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
}

/* Whatever comes says that we are in its list. */
static bool on_bytes(void *ctx, struct mf_span bytes)
{
	struct mf_attach *a = ctx;

	(void)bytes;
	if (!a->registered)
		mf_log_info(a->log, "registered at the daemon that serves %s", a->daemon);
	a->registered = true;
	tell_first(a, 0, NULL);
	return !atomic_load(&a->stop);
}

static bool on_idle(void *ctx)
{
	struct mf_attach *a = ctx;

	return !atomic_load(&a->stop) &&
	       (a->registered || mf_clock_now(&mf_clock_system) < a->until_ns);
}

static int read_refusal(const struct mf_client_answer *answer, struct mf_err *err)
{
	json_t *problem = answer->body.str ? json_loads(answer->body.str, 0, NULL) : NULL;
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	int rc = mf_err_set(err, answer->status == 403 ? MF_E_PERM : MF_E_INVAL,
			    "the daemon does not take this session: %.600s",
			    detail ? detail : "it does not say why");

	json_decref(problem);
	return rc;
}

/* One registration, to its end. */
static void attach(struct mf_attach *a)
{
	struct mf_client_answer answer;
	struct mf_err err = { 0 };
	int rc = mf_client_call(a->daemon,
				&(struct mf_client_request){ .method = "POST",
							     .target = "/v1/attach",
							     .body = mf_span_str(a->body),
							     .piece = on_bytes,
							     .ctx = a,
							     .timeout_ms = LOOK_MS,
							     .idle = on_idle },
				&answer, &err);

	if (rc == 0 && answer.status != 200)
		rc = read_refusal(&answer, &err);
	if (rc == 0 || answer.body.str)
		mf_client_answer_done(&answer);
	if (a->registered && !atomic_load(&a->stop))
		mf_log_info(a->log, "the daemon has gone: the session registers when it is back");
	a->registered = false;
	tell_first(a, rc < 0 ? rc : MF_E_CLOSED, &err);
}

static void *run(void *arg)
{
	static const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };
	struct mf_attach *a = arg;

	for (;;) {
		attach(a);
		if (atomic_load(&a->stop) || a->rc < 0)
			return NULL;
		nanosleep(&pause, NULL);
	}
}

static int make(struct mf_attach *a, const char *daemon, const char *socket, struct mf_err *err)
{
	json_t *body = json_pack("{s:s}", "socket", socket);

	a->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (strcmp(daemon, "default") != 0)
		snprintf(a->daemon, sizeof(a->daemon), "%s", daemon);
	else if (!mf_paths_control(a->daemon))
		return mf_err_set(err, MF_E_NOENT,
				  "nobody knows where this user's daemon is: give its socket");
	a->until_ns = mf_clock_now(&mf_clock_system) + FIRST_MS * MF_NS_PER_MS;
	if (!a->body || mf_thread_start(&a->thread, run, a) != 0)
		return mf_err_set(err, MF_E_NOMEM, "no memory or thread");
	a->started = true;
	pthread_mutex_lock(&a->lock);
	while (!a->over)
		pthread_cond_wait(&a->changed, &a->lock);
	pthread_mutex_unlock(&a->lock);
	if (a->rc < 0)
		*err = a->err;
	return a->rc;
}

int mf_attach_begin(const char *daemon, const char *socket, const struct mf_log *log,
		    struct mf_attach **ret, struct mf_err *err)
{
	struct mf_attach *a = socket ? calloc(1, sizeof(*a)) : NULL;
	int rc;

	if (!socket)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "--daemon: this session has no control socket to be asked at");
	if (!a)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	a->log = log;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	rc = make(a, daemon, socket, err);
	if (rc < 0)
		mf_attach_end(a);
	else
		*ret = a;
	return rc;
}

void mf_attach_end(struct mf_attach *a)
{
	if (!a)
		return;
	atomic_store(&a->stop, true);
	if (a->started)
		pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a->body);
	free(a);
}
