/* SPDX-License-Identifier: Apache-2.0 */
/* minifilter_double.c - a driver that insists on the protocol's table */
#include "tests/unit/capture/minifilter_double.h"

#include "tests/unit/test.h"

#include <time.h>

static uint32_t u32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t u64(const uint8_t *p)
{
	return u32(p) | (uint64_t)u32(p + 4) << 32;
}

void double_init(struct minifilter_double *d)
{
	memset(d, 0, sizeof(*d));
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	d->present = true;
}

void double_done(struct minifilter_double *d)
{
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->changed);
}

static int refuse(struct minifilter_double *d)
{
	d->refused++;
	return MF_E_IO;
}

int double_connect(struct minifilter_double *d, const uint8_t *context, size_t len)
{
	int r = 0;

	pthread_mutex_lock(&d->lock);
	if (!d->present)
		r = MF_E_NOENT;
	else if (len != 8 || u32(context) != 0x00010000 || d->connected) // one client at a time
		r = refuse(d);
	if (r == 0) {
		d->client_pid = u32(context + 4);
		d->connected = true;
		d->generation++;
		d->connects++;
		d->first = d->cnt = 0;
	}
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	return r;
}

void double_disconnect(struct minifilter_double *d)
{
	pthread_mutex_lock(&d->lock);
	d->connected = false;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static void take_workspace(struct minifilter_double *d, const uint8_t *p)
{
	size_t i;

	for (i = 0; i + 1 < sizeof(d->workspace) && (p[2 * i] || p[2 * i + 1]); i++)
		d->workspace[i] = p[2 * i + 1] ? '?' : (char)p[2 * i];
	d->workspace[i] = '\0';
}

static int answer_metrics(const uint8_t *msg, uint8_t *answer, size_t room)
{
	if (room < 72)
		return MF_E_IO;
	memset(answer, 0, 72);
	answer[0] = 106;
	answer[4] = 72;
	memcpy(answer + 8, msg + 8, 8);
	for (uint8_t i = 0; i < 12; i++)
		answer[16 + 4 * i] = (uint8_t)(i + 1);
	answer[68] = 13;
	return 72;
}

static int take(struct minifilter_double *d, const uint8_t *msg, size_t len, uint8_t *answer,
		size_t room)
{
	if (len < 16 || u32(msg + 4) != len)
		return refuse(d);
	switch (u32(msg)) {
	case 50:
		if (len != 32)
			return refuse(d);
		d->pongs++;
		d->pong_version = u32(msg + 16);
		return 0;
	case 100:
		if (len != 1072 || (msg[28 + 1038] | msg[28 + 1039]))
			return refuse(d);
		d->registered++;
		d->token = u64(msg + 16);
		d->root_pid = u32(msg + 24);
		take_workspace(d, msg + 28);
		return 0;
	case 101:
		if (len != 24 || u64(msg + 16) != d->token)
			return refuse(d);
		d->unregistered++;
		return 0;
	case 104:
		if (len != 40 || u32(msg + 16) > 1 || u32(msg + 20) < 100 ||
		    u32(msg + 20) > 60000 || u32(msg + 24) < 1 || u32(msg + 24) > 1000 ||
		    u32(msg + 28) < 100 || u32(msg + 28) > 100000 || u32(msg + 32) < 100 ||
		    u32(msg + 32) > 3600000 || u32(msg + 36))
			return refuse(d);
		d->configured++;
		d->fail_mode = u32(msg + 16);
		return 0;
	case 105:
		if (len != 16)
			return refuse(d);
		d->metrics_asked++;
		return answer_metrics(msg, answer, room);
	case 107:
		if (len != 24 || u32(msg + 20))
			return refuse(d);
		d->excluded++;
		d->excluded_pid = u32(msg + 16);
		return 0;
	default:
		return refuse(d);
	}
}

int double_send(struct minifilter_double *d, const uint8_t *msg, size_t len, uint8_t *answer,
		size_t room)
{
	int r = MF_E_CLOSED;

	pthread_mutex_lock(&d->lock);
	if (d->connected)
		r = take(d, msg, len, answer, room);
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	return r;
}

static int take_reply(struct minifilter_double *d, const uint8_t *p, size_t len)
{
	const uint8_t *m = p + 16;

	if (len < 16 || u32(p + 4))
		return refuse(d);
	if (len > 16 && (len < 32 || u32(m + 4) != len - 16))
		return refuse(d);
	// A verdict has 24 bytes, a pong 32; nothing else is a reply.
	if (len == 40 && (u32(m) == 1 || u32(m) == 2)) {
		d->decision = u32(m + 16);
		d->ttl = u32(m + 20);
		if (d->decision > 2)
			return refuse(d);
	} else if (len == 48 && u32(m) == 50) {
		d->pongs++;
		d->pong_version = u32(m + 16);
	} else if (len != 16) {
		return refuse(d);
	}
	d->reply_type = len > 16 ? u32(m) : UINT32_MAX;
	d->reply_request = len > 16 ? u64(m + 8) : 0;
	d->reply_status = (int32_t)u32(p);
	d->reply_message = u64(p + 8);
	d->reply_len = (uint32_t)len;
	d->replies++;
	return 0;
}

int double_reply(struct minifilter_double *d, const uint8_t *reply, size_t len)
{
	int r = MF_E_CLOSED;

	pthread_mutex_lock(&d->lock);
	if (d->connected)
		r = take_reply(d, reply, len);
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	return r;
}

int double_receive(struct minifilter_double *d, uint8_t *buf, size_t room)
{
	unsigned generation;
	int r = MF_E_CLOSED;

	pthread_mutex_lock(&d->lock);
	generation = d->generation;
	while (d->connected && d->generation == generation && !d->cnt)
		pthread_cond_wait(&d->changed, &d->lock);
	if (d->connected && d->generation == generation) {
		size_t len = d->queue[d->first].len;

		r = len <= room ? (int)len : MF_E_IO;
		if (r >= 0)
			memcpy(buf, d->queue[d->first].bytes, len);
		d->first = (d->first + 1) % DOUBLE_QUEUE_MAX;
		d->cnt--;
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

void double_say(struct minifilter_double *d, uint32_t type, uint32_t size, uint64_t request,
		uint32_t reply_len, uint64_t message, const uint8_t *body, size_t body_len)
{
	uint8_t *p;
	unsigned at;

	pthread_mutex_lock(&d->lock);
	assert_true(d->cnt < DOUBLE_QUEUE_MAX);
	at = (d->first + d->cnt) % DOUBLE_QUEUE_MAX;
	p = d->queue[at].bytes;
	assert_true(16 + size <= sizeof(d->queue[at].bytes) && 16 + body_len <= size);
	memset(p, 0, 16 + size);
	memcpy(p, &reply_len, 4);
	memcpy(p + 8, &message, 8);
	memcpy(p + 16, &type, 4);
	memcpy(p + 20, &size, 4);
	memcpy(p + 24, &request, 8);
	if (body_len)
		memcpy(p + 32, body, body_len);
	d->queue[at].len = 16 + size;
	d->cnt++;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

void double_wait(struct minifilter_double *d, const unsigned *counter, unsigned n)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&d->lock);
	while (*counter < n && r == 0)
		r = pthread_cond_timedwait(&d->changed, &d->lock, &until);
	pthread_mutex_unlock(&d->lock);
	assert_int_equal(r, 0);
}

/* ---- in memory ------------------------------------------------------------------------------------------------- */

static int mem_connect(void *ctx, const uint8_t *context, size_t len, struct mf_err *err)
{
	int r = double_connect(ctx, context, len);

	return r < 0 ? mf_err_set(err, r, "the double refuses") : 0;
}

static int mem_receive(void *ctx, uint8_t *buf, size_t room)
{
	return double_receive(ctx, buf, room);
}

static int mem_send(void *ctx, const uint8_t *msg, size_t len, uint8_t *answer, size_t room)
{
	return double_send(ctx, msg, len, answer, room);
}

static int mem_reply(void *ctx, const uint8_t *reply, size_t len)
{
	return double_reply(ctx, reply, len);
}

static void mem_disconnect(void *ctx)
{
	double_disconnect(ctx);
}

struct mf_minifilter_transport double_transport(struct minifilter_double *d)
{
	return (struct mf_minifilter_transport){ .connect = mem_connect,
						 .receive = mem_receive,
						 .send = mem_send,
						 .reply = mem_reply,
						 .disconnect = mem_disconnect,
						 .ctx = d };
}
