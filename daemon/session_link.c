/* SPDX-License-Identifier: Apache-2.0 */
/* session_link.c - see session_link.h */
#include "daemon/session_link.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/strbuf.h"
#include "core/base/thread.h"
#include "daemon/client.h"

enum {
	LOOK_MS = 400, /* how often a thread looks whether it is to end */
	PAUSE_MS = 20,
	TRIES_MAX = 1000, /* connections in a row that brought nothing */
};

struct mf_session_link {
	char *socket;
	int64_t peer_pid;
	struct mf_event_ring *ring;
	void (*over)(void *ctx);
	void *ctx;
	pthread_t thread;
	bool started;
	_Atomic bool stop, is_over;
	_Atomic int status;
	/* of the thread */
	char last[MF_EVENT_ID_LEN + 1]; /* "": none yet */
	struct mf_strbuf line;
	bool moved; /* this connection brought something */
};

/* What session_end says of the command. */
static void read_end(struct mf_session_link *l, const char *line, size_t len)
{
	json_t *event = json_loadb(line, len, 0, NULL);
	json_t *fields = json_object_get(event, "fields");
	json_t *status = json_object_get(fields, "exit_code");
	json_t *sig = json_object_get(fields, "signal");

	if (json_is_integer(sig) && json_integer_value(sig) > 0)
		atomic_store(&l->status, 128 + (int)json_integer_value(sig));
	else if (json_is_integer(status))
		atomic_store(&l->status, (int)json_integer_value(status));
	json_decref(event);
}

static void take_line(struct mf_session_link *l, const char *line, size_t len)
{
	static const char end[] = "\"type\":\"session_end\"";

	if (mf_event_ring_put(l->ring, line, len) < 0)
		return;
	memcpy(l->last, line + MF_EVENT_ID_AT, MF_EVENT_ID_LEN);
	l->moved = true;
	if (len > 128 &&
	    memcmp(line + MF_EVENT_ID_AT + MF_EVENT_ID_LEN + 2, end, sizeof(end) - 1) == 0)
		read_end(l, line, len);
}

static bool on_bytes(void *ctx, struct mf_span bytes)
{
	struct mf_session_link *l = ctx;
	const char *p = (const char *)bytes.ptr, *end = p + bytes.len, *nl;

	for (; (nl = memchr(p, '\n', (size_t)(end - p))); p = nl + 1) {
		mf_strbuf_add(&l->line, p, (size_t)(nl - p));
		if (!l->line.failed && l->line.len)
			take_line(l, l->line.str, l->line.len);
		mf_strbuf_clear(&l->line);
	}
	mf_strbuf_add(&l->line, p, (size_t)(end - p));
	return !atomic_load(&l->stop);
}

static bool on_idle(void *ctx)
{
	struct mf_session_link *l = ctx;

	return !atomic_load(&l->stop);
}

/* One connection, to its end. Return: whether the session still serves */
static bool follow(struct mf_session_link *l)
{
	struct mf_client_answer a;
	struct mf_err err = { 0 };
	char target[96];
	int r;

	snprintf(target, sizeof(target), "/v1/events?after=%s", l->last);
	l->moved = false;
	r = mf_client_call(l->socket,
			   &(struct mf_client_request){ .method = "GET",
							.target = target,
							.piece = on_bytes,
							.ctx = l,
							.peer_pid = l->peer_pid,
							.timeout_ms = LOOK_MS,
							.idle = on_idle },
			   &a, &err);
	/* half a line comes again, whole */
	mf_strbuf_clear(&l->line);
	if (r == 0)
		mf_client_answer_done(&a);
	return r != MF_E_NOENT && r != MF_E_CLOSED && r != MF_E_PERM;
}

static void *run(void *arg)
{
	struct mf_session_link *l = arg;
	unsigned tries = 0;

	while (!atomic_load(&l->stop) && tries < TRIES_MAX && follow(l)) {
		static const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };

		tries = l->moved ? 0 : tries + 1;
		if (tries > 1)
			nanosleep(&pause, NULL);
	}
	atomic_store(&l->is_over, true);
	if (!atomic_load(&l->stop))
		l->over(l->ctx);
	return NULL;
}

int mf_session_link_new(const char *socket, int64_t peer_pid, struct mf_event_ring *ring,
			void (*over)(void *ctx), void *ctx, struct mf_session_link **ret,
			struct mf_err *err)
{
	struct mf_session_link *l = calloc(1, sizeof(*l));

	if (!l)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	l->socket = strdup(socket);
	l->peer_pid = peer_pid;
	l->ring = ring;
	l->over = over;
	l->ctx = ctx;
	l->line = (struct mf_strbuf)MF_STRBUF_INIT(MF_EVENT_ROOM);
	atomic_store(&l->status, -1);
	if (!l->socket || mf_thread_start(&l->thread, run, l) != 0) {
		mf_session_link_free(l);
		return mf_err_set(err, MF_E_NOMEM, "no memory or thread to follow a session");
	}
	l->started = true;
	*ret = l;
	return 0;
}

bool mf_session_link_is_over(const struct mf_session_link *l, int *ret_status)
{
	*ret_status = atomic_load(&l->status);
	return atomic_load(&l->is_over);
}

void mf_session_link_free(struct mf_session_link *l)
{
	if (!l)
		return;
	atomic_store(&l->stop, true);
	if (l->started)
		pthread_join(l->thread, NULL);
	mf_strbuf_done(&l->line);
	free(l->socket);
	free(l);
}
