/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c - bytes between two connected sockets */
#include "proxies/relay.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

enum {
	COPY_LEN = 16384, /* one recv() of a direction that is not bulk; a full one makes it bulk */
	BULK_ROUNDS = 16, /* splices before copying is tried again, renewed by every full one */
	TLS_HANDSHAKE = 22, /* first byte of a record */
	SPLICE_MIN = 16384, /* a splice that moves less is a sign that copying would do */
	PIPE_SIZE = 1 << 20,
	BUDGET = 4 << 20, /* bytes of one direction in one call, so that others get their turn */
	ROUNDS_MAX = 64,  /* and system calls, for those who send single bytes */
	PIPES_MAX = 256,
};

struct mf_relay_stash {
	uint32_t off, len;
	uint8_t bytes[];
};

int mf_relay_pool_init(struct mf_relay_pool *pool, uint32_t pipe_max)
{
	memset(pool, 0, sizeof(*pool));
	pool->pipe_max = pipe_max ? pipe_max : PIPES_MAX;
	pool->pipe_size = PIPE_SIZE;
	pool->buf = malloc(MF_RELAY_CHUNK);
	return pool->buf ? 0 : MF_E_NOMEM;
}

void mf_relay_pool_done(struct mf_relay_pool *pool)
{
	while (pool->free_pipes) {
		struct mf_pipe *p = pool->free_pipes;

		pool->free_pipes = p->next;
		mf_pipe_close(p);
		free(p);
	}
	free(pool->buf);
	pool->buf = NULL;
}

static struct mf_pipe *take_pipe(struct mf_relay_pool *pool)
{
	struct mf_pipe *p = pool->free_pipes;

	if (p) {
		pool->free_pipes = p->next;
		pool->free_cnt--;
		return p;
	}
	if (pool->no_pipes || pool->pipe_cnt >= pool->pipe_max)
		return NULL;
	p = malloc(sizeof(*p));
	if (!p)
		return NULL;
	switch (mf_pipe_open(p, pool->pipe_size)) {
	case 0:
		pool->pipe_cnt++;
		return p;
	case MF_E_UNSUPPORTED:
		pool->no_pipes = true;
		break;
	}
	free(p);
	return NULL;
}

static void give_pipe(struct mf_relay_pool *pool, struct mf_relay_dir *d)
{
	d->pipe->next = pool->free_pipes;
	pool->free_pipes = d->pipe;
	pool->free_cnt++;
	d->pipe = NULL;
}

void mf_relay_init(struct mf_relay *r, int fd_client, int fd_server)
{
	memset(r, 0, sizeof(*r));
	r->fd[0] = fd_client;
	r->fd[1] = fd_server;
}

int mf_relay_queue(struct mf_relay *r, unsigned from, const void *ptr, size_t len)
{
	struct mf_relay_dir *d = &r->dir[from];
	size_t old = d->stash ? d->stash->len - d->stash->off : 0;
	struct mf_relay_stash *s = malloc(sizeof(*s) + old + len);

	if (!s)
		return MF_E_NOMEM;
	if (old)
		memcpy(s->bytes, d->stash->bytes + d->stash->off, old);
	memcpy(s->bytes + old, ptr, len);
	s->off = 0;
	s->len = (uint32_t)(old + len);
	free(d->stash);
	d->stash = s;
	return 0;
}

void mf_relay_done(struct mf_relay *r, struct mf_relay_pool *pool)
{
	for (unsigned i = 0; i < 2; i++) {
		struct mf_relay_dir *d = &r->dir[i];

		free(d->stash);
		d->stash = NULL;
		if (!d->pipe)
			continue;
		/* there are somebody's bytes in it: not for the next connection */
		mf_pipe_close(d->pipe);
		free(d->pipe);
		d->pipe = NULL;
		pool->pipe_cnt--;
	}
}

size_t mf_relay_memory(const struct mf_relay *r)
{
	size_t sum = 0;

	for (unsigned i = 0; i < 2; i++)
		if (r->dir[i].stash)
			sum += sizeof(struct mf_relay_stash) + r->dir[i].stash->len;
	return sum;
}

/* Results of one step of a direction. */
enum step { STEP_ON, STEP_BLOCKED, STEP_BROKEN };

/* Send what waits. STEP_ON: nothing waits any more. */
static enum step flush_stash(struct mf_relay *r, unsigned i)
{
	struct mf_relay_dir *d = &r->dir[i];

	while (d->stash) {
		struct mf_relay_stash *s = d->stash;
		ssize_t n = mf_sock_send(r->fd[1 - i], s->bytes + s->off, s->len - s->off);

		if (n == MF_E_AGAIN) {
			r->writable[1 - i] = false;
			return STEP_BLOCKED;
		}
		if (n < 0)
			return STEP_BROKEN;
		d->bytes += (uint64_t)n;
		s->off += (uint32_t)n;
		if (s->off == s->len) {
			free(s);
			d->stash = NULL;
		}
	}
	return STEP_ON;
}

static enum step flush_pipe(struct mf_relay *r, unsigned i, struct mf_relay_pool *pool)
{
	struct mf_relay_dir *d = &r->dir[i];

	while (d->piped) {
		ssize_t n = mf_pipe_drain(d->pipe, r->fd[1 - i], d->piped, false);

		if (n == MF_E_AGAIN) {
			r->writable[1 - i] = false;
			return STEP_BLOCKED;
		}
		if (n <= 0)
			return STEP_BROKEN;
		d->bytes += (uint64_t)n;
		d->piped -= (uint32_t)n;
		pool->spliced += (uint64_t)n;
	}
	if (d->pipe)
		give_pipe(pool, d);
	return STEP_ON;
}

/* Read once, send once; *ret_n is what moved. */
static enum step copy_once(struct mf_relay *r, unsigned i, struct mf_relay_pool *pool,
			   size_t *ret_n)
{
	struct mf_relay_dir *d = &r->dir[i];
	bool filtered = i == 0 && r->filter;
	/* with nothing better to change over to, bulk is copied in big pieces */
	ssize_t room = pool->no_pipes || filtered ? MF_RELAY_CHUNK : COPY_LEN;
	ssize_t n = mf_sock_recv(r->fd[i], pool->buf, (size_t)room), sent;
	struct mf_span out = mf_span_of(pool->buf, n > 0 ? (size_t)n : 0);

	if (n == MF_E_AGAIN) {
		r->readable[i] = false;
		return STEP_BLOCKED;
	}
	if (n < 0)
		return STEP_BROKEN;
	if (n == 0) {
		d->eof = true;
		return STEP_ON;
	}
	if (n < room)
		r->readable[i] = r->ended[i];
	else if (!pool->no_pipes && !filtered)
		d->bulk = BULK_ROUNDS;
	*ret_n = (size_t)n;
	pool->copied += (uint64_t)n;
	if (i == 0 && r->turned && r->on_hello && pool->buf[0] == TLS_HANDSHAKE) {
		if (r->on_hello(r) < 0)
			return STEP_BROKEN;
		filtered = r->filter;
	}
	r->turned = i == 1;
	if (filtered && r->filter->take(r->filter, out, &out) < 0)
		d->eof = r->refused = true;
	if (!out.len)
		return STEP_ON;
	sent = mf_sock_send(r->fd[1 - i], out.ptr, out.len);
	if (sent < 0 && sent != MF_E_AGAIN)
		return STEP_BROKEN;
	if (sent < 0)
		sent = 0;
	d->bytes += (uint64_t)sent;
	if ((size_t)sent == out.len)
		return STEP_ON;
	r->writable[1 - i] = false;
	if (mf_relay_queue(r, i, out.ptr + sent, out.len - (size_t)sent) < 0)
		return STEP_BROKEN;
	return STEP_BLOCKED;
}

static enum step splice_once(struct mf_relay *r, unsigned i, struct mf_relay_pool *pool,
			     size_t *ret_n)
{
	struct mf_relay_dir *d = &r->dir[i];
	ssize_t n;

	if (!d->pipe)
		d->pipe = take_pipe(pool);
	if (!d->pipe) {
		d->bulk = 0;
		return STEP_ON;
	}
	n = mf_pipe_fill(d->pipe, r->fd[i], pool->pipe_size);
	if (n <= 0)
		give_pipe(pool, d);
	if (n == MF_E_AGAIN) {
		r->readable[i] = false;
		return STEP_BLOCKED;
	}
	if (n < 0)
		return STEP_BROKEN;
	if (n == 0) {
		d->eof = true;
		return STEP_ON;
	}
	if (n < SPLICE_MIN)
		d->bulk--;
	else
		d->bulk = BULK_ROUNDS;
	d->piped = (uint32_t)n;
	*ret_n = (size_t)n;
	r->turned = i == 1;
	return flush_pipe(r, i, pool);
}

/* What a refused client still says: read, so that closing the connection is no reset that overtakes an answer. */
static void throw_away(struct mf_relay *r, struct mf_relay_pool *pool)
{
	ssize_t n = 1;

	for (unsigned round = 0; round < ROUNDS_MAX && n > 0 && r->readable[0]; round++)
		n = mf_sock_recv(r->fd[0], pool->buf, MF_RELAY_CHUNK);
	if (n == MF_E_AGAIN)
		r->readable[0] = false;
	else if (n <= 0)
		r->refused = false;
}

/* Whether side @i may speak without a look at its words. */
static bool may_splice(const struct mf_relay *r, unsigned i)
{
	return r->dir[i].bulk && (i == 1 || !(r->filter || (r->turned && r->on_hello)));
}

/* One direction until it blocks. Return: BUSY when the budget ended it. */
static enum mf_relay_state pump_dir(struct mf_relay *r, unsigned i, struct mf_relay_pool *pool)
{
	struct mf_relay_dir *d = &r->dir[i];
	size_t moved = 0;

	if (d->done && i == 0 && r->refused)
		throw_away(r, pool);
	if (d->done)
		return MF_RELAY_WAITING;
	for (unsigned round = 0; round < ROUNDS_MAX && moved < BUDGET; round++) {
		enum step s = STEP_ON;
		size_t n = 0;

		if (!r->writable[1 - i] && (d->stash || d->piped))
			return MF_RELAY_WAITING;
		s = flush_stash(r, i);
		if (s == STEP_ON)
			s = flush_pipe(r, i, pool);
		if (s == STEP_ON && d->eof) {
			/* the second end of two is told by closing */
			if (!r->dir[1 - i].done)
				mf_sock_shutdown_write(r->fd[1 - i]);
			d->done = true;
			return MF_RELAY_WAITING;
		}
		if (s == STEP_ON && (!r->readable[i] || (i == 1 && r->hold)))
			return MF_RELAY_WAITING;
		if (s == STEP_ON)
			s = may_splice(r, i) ? splice_once(r, i, pool, &n)
					     : copy_once(r, i, pool, &n);
		if (s == STEP_BROKEN)
			return MF_RELAY_BROKEN;
		if (s == STEP_BLOCKED)
			return MF_RELAY_WAITING;
		moved += n;
	}
	return MF_RELAY_BUSY;
}

enum mf_relay_state mf_relay_pump(struct mf_relay *r, struct mf_relay_pool *pool)
{
	enum mf_relay_state a = pump_dir(r, 0, pool), b;

	if (a == MF_RELAY_BROKEN)
		return a;
	b = pump_dir(r, 1, pool);
	if (b == MF_RELAY_BROKEN)
		return b;
	if (r->dir[0].done && r->dir[1].done)
		return MF_RELAY_FINISHED;
	return a == MF_RELAY_BUSY || b == MF_RELAY_BUSY ? MF_RELAY_BUSY : MF_RELAY_WAITING;
}
