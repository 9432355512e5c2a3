/* SPDX-License-Identifier: Apache-2.0 */
/* minifilter_client.c - what is said to the minifilter driver, and what it is answered */
#include "capture/minifilter_client.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/win32.h"

struct mf_minifilter_client {
	struct mf_minifilter_transport transport;
	struct mf_minifilter_options options;
	struct mf_minifilter_path workspace;
	struct mf_session_queue queue;
	/*
	 * Held while we say something. The driver may ask back before it answers, so whoever serves its questions must not
	 * need this lock: counters have their own.
	 */
	pthread_mutex_t lock; /* of the four below */
	uint64_t request_id;
	uint32_t root_pid;
	bool connected, stopped;
	pthread_mutex_t count_lock;
	struct mf_minifilter_stats stats;
};

#define COUNT(c, field)                                 \
	do {                                            \
		pthread_mutex_lock(&(c)->count_lock);   \
		(c)->stats.field++;                     \
		pthread_mutex_unlock(&(c)->count_lock); \
	} while (0)

/* With the lock held. */
static void set_connected(struct mf_minifilter_client *c, bool connected)
{
	c->connected = connected;
	pthread_mutex_lock(&c->count_lock);
	c->stats.connected = connected;
	c->stats.connects += connected;
	pthread_mutex_unlock(&c->count_lock);
}

/* ---- what we say ----------------------------------------------------------------------------------------------- */

/* With the lock held. Return: bytes of the answer, MF_E_* */
static int say(struct mf_minifilter_client *c, struct mf_minifilter_msg *m, uint8_t *answer,
	       size_t room)
{
	uint8_t buf[MF_MINIFILTER_SIZE_MAX];
	int n, r;

	m->request_id = ++c->request_id;
	n = mf_minifilter_encode(m, buf, sizeof(buf));
	if (n < 0)
		return n;
	r = c->transport.send(c->transport.ctx, buf, (size_t)n, answer, room);
	if (r < 0)
		COUNT(c, send_failures);
	return r;
}

static int say_register(struct mf_minifilter_client *c)
{
	struct mf_minifilter_msg m = { .type = MF_MINIFILTER_REGISTER_SESSION };
	int r;

	if (!c->root_pid)
		return 0;
	m.session.token = c->options.token;
	m.session.root_pid = c->root_pid;
	m.session.workspace = c->workspace;
	r = say(c, &m, NULL, 0);
	return r < 0 ? r : 0;
}

static int introduce(struct mf_minifilter_client *c, struct mf_err *err)
{
	struct mf_minifilter_msg m = { .type = MF_MINIFILTER_EXCLUDE_PROCESS };
	int r;

	m.exclude_pid = c->options.own_pid;
	r = say(c, &m, NULL, 0);
	if (r >= 0) {
		m = (struct mf_minifilter_msg){ .type = MF_MINIFILTER_SET_CONFIG,
						.config = c->options.config };
		r = say(c, &m, NULL, 0);
	}
	if (r >= 0)
		r = say_register(c);
	if (r < 0)
		return mf_err_set(err, r, "the minifilter driver refuses our '%s' message",
				  mf_minifilter_type_name(m.type));
	return 0;
}

int mf_minifilter_client_connect(struct mf_minifilter_client *c, struct mf_err *err)
{
	uint8_t context[MF_MINIFILTER_CONNECT_SIZE];
	int r;

	(void)mf_minifilter_encode_connect(MF_MINIFILTER_VERSION, c->options.own_pid, context,
					   sizeof(context));
	pthread_mutex_lock(&c->lock);
	if (c->stopped) {
		r = mf_err_set(err, MF_E_CLOSED, "the session has ended");
	} else {
		r = c->transport.connect(c->transport.ctx, context, sizeof(context), err);
		if (r == 0)
			r = introduce(c, err);
		if (r < 0)
			c->transport.disconnect(c->transport.ctx);
		set_connected(c, r == 0);
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

int mf_minifilter_client_register(struct mf_minifilter_client *c, uint32_t root_pid)
{
	int r;

	pthread_mutex_lock(&c->lock);
	c->root_pid = root_pid;
	r = c->connected ? say_register(c) : MF_E_CLOSED;
	pthread_mutex_unlock(&c->lock);
	return r;
}

int mf_minifilter_client_ask_metrics(struct mf_minifilter_client *c,
				     struct mf_minifilter_metrics *ret)
{
	struct mf_minifilter_msg m = { .type = MF_MINIFILTER_GET_METRICS };
	uint8_t answer[128];
	uint64_t asked;
	int r;

	pthread_mutex_lock(&c->lock);
	r = c->connected ? say(c, &m, answer, sizeof(answer)) : MF_E_CLOSED;
	asked = c->request_id;
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		return r;
	if (mf_minifilter_decode(answer, (size_t)r, &m) < 0 || m.type != MF_MINIFILTER_METRICS ||
	    (m.request_id && m.request_id != asked))
		return MF_E_BAD;
	*ret = m.metrics;
	return 0;
}

void mf_minifilter_client_stop(struct mf_minifilter_client *c)
{
	struct mf_minifilter_msg m = { .type = MF_MINIFILTER_UNREGISTER_SESSION };

	pthread_mutex_lock(&c->lock);
	m.session.token = c->options.token;
	if (c->connected && c->root_pid)
		(void)say(c, &m, NULL, 0);
	c->stopped = true;
	set_connected(c, false);
	c->transport.disconnect(c->transport.ctx);
	pthread_mutex_unlock(&c->lock);
}

/* ---- what we answer -------------------------------------------------------------------------------------------- */

static void send_reply(struct mf_minifilter_client *c, const uint8_t *buf, int len)
{
	if (len < 0 || c->transport.reply(c->transport.ctx, buf, (size_t)len) < 0)
		COUNT(c, reply_failures);
}

static void refuse(struct mf_minifilter_client *c, const struct mf_minifilter_msg *m,
		   int32_t status)
{
	uint8_t buf[MF_MINIFILTER_REPLY_MAX];

	if (m->reply_len >= MF_MINIFILTER_FM_HEADER)
		send_reply(
			c, buf,
			mf_minifilter_encode_reply(m->message_id, status, NULL, buf, sizeof(buf)));
}

static void answer_check(struct mf_minifilter_client *c, const struct mf_minifilter_msg *m)
{
	const struct mf_minifilter_options *o = &c->options;
	enum mf_minifilter_decision d =
		o->config.fail_closed ? MF_MINIFILTER_DENY : MF_MINIFILTER_ALLOW;
	uint8_t buf[MF_MINIFILTER_REPLY_MAX];
	uint32_t ttl = o->answer_ttl_ms ? o->answer_ttl_ms : o->config.cache_ttl_ms;
	int n;

	if (mf_minifilter_must_deny(m))
		d = MF_MINIFILTER_DENY;
	else if (o->judge)
		d = o->judge(o->judge_ctx, m);
	if (d == MF_MINIFILTER_ALLOW)
		COUNT(c, allowed);
	else
		COUNT(c, denied);
	n = mf_minifilter_encode_verdict(m, d, ttl, buf, sizeof(buf));
	if (n == MF_E_INVAL)
		refuse(c, m, MF_MINIFILTER_STATUS_INVALID);
	else
		send_reply(c, buf, n);
}

/* Return: 0, MF_E_UNSUPPORTED */
static int answer_ping(struct mf_minifilter_client *c, const struct mf_minifilter_msg *m)
{
	struct mf_minifilter_msg pong = { .type = MF_MINIFILTER_PONG,
					  .request_id = m->request_id,
					  .ping.time = m->ping.time };
	uint8_t buf[MF_MINIFILTER_REPLY_MAX];
	struct mf_err err;

	COUNT(c, pings);
	if (mf_minifilter_agree(m->ping.version, &pong.ping.version, &err) < 0) {
		mf_log_error(c->options.log, "%s", err.msg);
		refuse(c, m, MF_MINIFILTER_STATUS_UNSUPPORTED);
		return MF_E_UNSUPPORTED;
	}
	pthread_mutex_lock(&c->count_lock);
	c->stats.version = pong.ping.version;
	pthread_mutex_unlock(&c->count_lock);
	if (m->reply_len >= MF_MINIFILTER_FM_HEADER + mf_minifilter_size(MF_MINIFILTER_PONG)) {
		send_reply(c, buf,
			   mf_minifilter_encode_reply(m->message_id, MF_MINIFILTER_STATUS_OK, &pong,
						      buf, sizeof(buf)));
		return 0;
	}
	// Nobody waits for a reply to it: the pong is a message of its own, with the request id of the ping.
	if (mf_minifilter_encode(&pong, buf, sizeof(buf)) < 0 ||
	    c->transport.send(c->transport.ctx, buf, mf_minifilter_size(MF_MINIFILTER_PONG), NULL,
			      0) < 0)
		COUNT(c, send_failures);
	return 0;
}

static void take_process(struct mf_minifilter_client *c, const struct mf_minifilter_msg *m)
{
	bool created = m->type == MF_MINIFILTER_PROCESS_CREATED;
	struct mf_session_event ev = {
		.kind = created ? MF_SESSION_CREATED : MF_SESSION_EXITED,
		.pid = m->process.pid,
		.parent = m->process.parent,
		.time_ns = mf_win32_time_of_filetime(m->process.create_time),
	};

	if (m->process.token != c->options.token || !m->process.pid) {
		COUNT(c, foreign);
	} else {
		if (created)
			COUNT(c, created);
		else
			COUNT(c, ended);
		(void)mf_session_queue_put(&c->queue, &ev);
		mf_session_wake_call(&c->options.wake);
	}
	if (m->reply_len)
		refuse(c, m, MF_MINIFILTER_STATUS_OK);
}

/* Return: 0, MF_E_UNSUPPORTED */
static int take(struct mf_minifilter_client *c, const uint8_t *buf, size_t len)
{
	struct mf_minifilter_msg m;
	int r = mf_minifilter_decode_received(buf, len, &m);

	COUNT(c, received);
	if (r == MF_E_BAD) {
		COUNT(c, malformed);
		refuse(c, &m, MF_MINIFILTER_STATUS_INVALID);
		return 0;
	}
	if (r == 0) {
		switch (m.type) {
		case MF_MINIFILTER_PING:
			return answer_ping(c, &m);
		case MF_MINIFILTER_FILE_CHECK:
		case MF_MINIFILTER_REGISTRY_CHECK:
			answer_check(c, &m);
			return 0;
		case MF_MINIFILTER_PROCESS_CREATED:
		case MF_MINIFILTER_PROCESS_ENDED:
			take_process(c, &m);
			return 0;
		default:
			break;
		}
	}
	COUNT(c, unknown);
	refuse(c, &m, MF_MINIFILTER_STATUS_UNSUPPORTED);
	return 0;
}

int mf_minifilter_client_serve(struct mf_minifilter_client *c)
{
	uint8_t buf[MF_MINIFILTER_RECEIVE_MAX + 8];
	bool stopped;
	int r;

	do {
		r = c->transport.receive(c->transport.ctx, buf, sizeof(buf));
		if (r >= 0)
			r = take(c, buf, (size_t)r);
	} while (r == 0);
	pthread_mutex_lock(&c->lock);
	set_connected(c, false);
	c->stopped = c->stopped || r == MF_E_UNSUPPORTED;
	stopped = c->stopped;
	c->transport.disconnect(c->transport.ctx);
	pthread_mutex_unlock(&c->lock);
	return stopped ? MF_E_UNSUPPORTED : MF_E_CLOSED;
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

static int next_event(void *ctx, struct mf_session_event *ret)
{
	struct mf_minifilter_client *c = ctx;

	return mf_session_queue_take(&c->queue, ret);
}

struct mf_session_events mf_minifilter_client_events(struct mf_minifilter_client *c)
{
	return (struct mf_session_events){ .name = "minifilter", .next = next_event, .ctx = c };
}

void mf_minifilter_client_get_stats(struct mf_minifilter_client *c, struct mf_minifilter_stats *ret)
{
	pthread_mutex_lock(&c->count_lock);
	*ret = c->stats;
	pthread_mutex_unlock(&c->count_lock);
}

static int take_options(struct mf_minifilter_client *c, struct mf_err *err)
{
	static const struct mf_minifilter_config defaults = { 0, 5000, 10, 4096, 5000 };
	static const struct mf_minifilter_config none;
	struct mf_minifilter_msg m = { .type = MF_MINIFILTER_REGISTER_SESSION };
	uint8_t buf[MF_MINIFILTER_SIZE_MAX];
	struct mf_minifilter_options *o = &c->options;
	int r;

	if (o->size != sizeof(*o) || !o->token || !o->own_pid)
		return mf_err_set(err, MF_E_INVAL, "minifilter: a token and a process are needed");
	if (memcmp(&o->config, &none, sizeof(none)) == 0)
		o->config = defaults;
	r = mf_minifilter_check_config(&o->config, err);
	if (r < 0 || !o->workspace)
		return r;
	c->workspace.len = strlen(o->workspace);
	if (c->workspace.len < sizeof(c->workspace.text)) {
		memcpy(c->workspace.text, o->workspace, c->workspace.len + 1);
		m.session.workspace = c->workspace;
		r = mf_minifilter_encode(&m, buf, sizeof(buf));
	} else {
		r = MF_E_LIMIT;
	}
	o->workspace = NULL;
	return r < 0 ? mf_err_set(err, r, "minifilter: the workspace's path is too long or no text")
		     : 0;
}

int mf_minifilter_client_new(const struct mf_minifilter_options *options,
			     const struct mf_minifilter_transport *transport,
			     struct mf_minifilter_client **ret, struct mf_err *err)
{
	struct mf_minifilter_client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	c->options = *options;
	c->transport = *transport;
	r = take_options(c, err);
	if (r == 0 && (pthread_mutex_init(&c->lock, NULL) != 0 ||
		       pthread_mutex_init(&c->count_lock, NULL) != 0))
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void mf_minifilter_client_free(struct mf_minifilter_client *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->count_lock);
	free(c);
}
