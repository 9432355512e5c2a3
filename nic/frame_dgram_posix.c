/* SPDX-License-Identifier: Apache-2.0 */
/* frame_dgram_posix.c - each datagram is a frame; see frame_socket.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nic/frame_socket.h"
#include "nic/frame_socket_posix.h"

#define QUEUE_MAX	256u /* frames that wait for a peer whose buffer is full */
#define QUEUE_BYTES_MAX (1u << 20)

struct queued {
	struct queued *next;
	size_t len;
	uint8_t bytes[];
};

struct dgram {
	struct mf_frame_source source;
	bool connected;
	struct sockaddr_un peer; /* where not connected */
	socklen_t peer_len;	 /* 0: nobody yet */
	struct stat seen;	 /* its socket, when it became the peer */
	struct queued *first, **last;
	unsigned queued;
	size_t queued_bytes;
	uint8_t in[MF_FRAME_MAX];
};

static void forget_queue(struct dgram *d)
{
	while (d->first) {
		struct queued *q = d->first;

		d->first = q->next;
		free(q);
	}
	d->last = &d->first;
	d->queued = 0;
	d->queued_bytes = 0;
	d->source.waiting = 0;
}

/* Whether it may be a peer: a socket of one of us. @ret: which one */
static bool is_ours(const struct sockaddr_un *at, struct stat *ret)
{
	return lstat(at->sun_path, ret) == 0 && S_ISSOCK(ret->st_mode) &&
	       (ret->st_uid == 0 || ret->st_uid == geteuid());
}

/* One number may be another file's later, hence the time. */
static bool same_file(const struct stat *a, const struct stat *b)
{
#ifdef __APPLE__
	const struct timespec *x = &a->st_ctimespec, *y = &b->st_ctimespec;
#else
	const struct timespec *x = &a->st_ctim, *y = &b->st_ctim;
#endif
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && x->tv_sec == y->tv_sec &&
	       x->tv_nsec == y->tv_nsec;
}

/* Whether somebody still has the peer's socket */
static bool is_there(const struct dgram *d)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	bool gone;

	if (fd < 0)
		return true;
	/* one that speaks to us alone says EPERM */
	gone = connect(fd, (const struct sockaddr *)&d->peer, d->peer_len) < 0 &&
	       (errno == ECONNREFUSED || errno == ENOENT || errno == ENOTSOCK);
	close(fd);
	return !gone;
}

/* Whoever is there now is another machine than the one that was. */
static void replace(struct dgram *d, const struct sockaddr_un *at, socklen_t len,
		    const struct stat *file)
{
	bool another = d->peer_len;

	forget_queue(d);
	d->peer_len = 0; /* what the owner still says to the one that was goes nowhere */
	if (another && d->source.replaced)
		d->source.replaced(d->source.ctx);
	d->peer = *at;
	d->peer_len = len;
	d->seen = *file;
}

/* A new peer may take the place of the old one once that has gone (its machine was started anew), if it is one of us. */
static bool adopt(struct dgram *d, const struct sockaddr_un *from, socklen_t len)
{
	struct stat st;

	if (d->connected)
		return true;
	if (d->peer_len == len && memcmp(&d->peer, from, len) == 0)
		return true;
	if (len <= offsetof(struct sockaddr_un, sun_path) || from->sun_family != AF_UNIX ||
	    !from->sun_path[0] || !is_ours(from, &st) || (d->peer_len && is_there(d)))
		return false;
	replace(d, from, len, &st);
	return true;
}

static bool dgram_look(struct mf_frame_source *source)
{
	struct dgram *d = (struct dgram *)source;
	const struct sockaddr_un at = d->peer;
	struct stat st;

	if (d->connected || !d->peer_len || !is_ours(&at, &st) || same_file(&d->seen, &st))
		return false;
	replace(d, &at, d->peer_len, &st);
	return true;
}

static int dgram_run(struct mf_frame_source *source, unsigned max)
{
	struct dgram *d = (struct dgram *)source;
	unsigned cnt = 0, looked = 0;

	while (cnt < max && looked++ < 2 * max) {
		struct sockaddr_un from;
		socklen_t from_len = sizeof(from) - 1;
		ssize_t n;

		memset(&from, 0, sizeof(from));
		n = recvfrom(source->fd, d->in, sizeof(d->in), MSG_DONTWAIT | MSG_TRUNC,
			     (struct sockaddr *)&from, &from_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && d->connected && errno != EAGAIN && errno != EWOULDBLOCK)
			return cnt ? (int)cnt : MF_E_CLOSED;
		if (n < 0)
			break;
		if (!adopt(d, &from, from_len) || (size_t)n > sizeof(d->in)) {
			source->stats.in_bad++;
			continue;
		}
		if (n == 4 && memcmp(d->in, "VFKT", 4) == 0)
			continue;
		if ((size_t)n < MF_FRAME_MIN) {
			source->stats.in_bad++;
			continue;
		}
		source->stats.in++;
		source->stats.in_bytes += (size_t)n;
		cnt++;
		source->receiver(source->ctx, d->in, (size_t)n);
	}
	return (int)cnt;
}

/* Return: 0 sent or of no use to anybody, EAGAIN: later */
static int write_one(struct dgram *d, const struct iovec *iov, int cnt)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = cnt };

	if (!d->connected) {
		m.msg_name = &d->peer;
		m.msg_namelen = d->peer_len;
	}
	for (;;) {
		if (sendmsg(d->source.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
			return EAGAIN;
		/* gone; whoever comes next says so by a datagram */
		d->source.stats.out_dropped++;
		return 0;
	}
}

static int dgram_send(struct mf_frame_source *source, const uint8_t *head, size_t head_len,
		      const uint8_t *body, size_t body_len)
{
	struct dgram *d = (struct dgram *)source;
	struct iovec iov[2] = { { (void *)(uintptr_t)head, head_len },
				{ (void *)(uintptr_t)body, body_len } };
	size_t len = head_len + body_len;
	struct queued *q;

	if (len > MF_FRAME_MAX)
		return MF_E_LIMIT;
	if (!d->connected && !d->peer_len)
		goto drop;
	if (!d->first && write_one(d, iov, 2) == 0)
		goto sent;
	if (d->queued >= QUEUE_MAX || d->queued_bytes + len > QUEUE_BYTES_MAX)
		goto drop;
	q = malloc(sizeof(*q) + len);
	if (!q)
		goto drop;
	*q = (struct queued){ .len = len };
	memcpy(q->bytes, head, head_len);
	memcpy(q->bytes + head_len, body, body_len);
	*d->last = q;
	d->last = &q->next;
	d->queued++;
	d->queued_bytes += len;
	source->waiting = d->queued_bytes;
sent:
	source->stats.out++;
	source->stats.out_bytes += len;
	return 0;
drop:
	source->stats.out_dropped++;
	return MF_E_AGAIN;
}

static void dgram_flush(struct mf_frame_source *source)
{
	struct dgram *d = (struct dgram *)source;

	while (d->first) {
		struct queued *q = d->first;
		struct iovec iov = { q->bytes, q->len };

		if (write_one(d, &iov, 1) != 0)
			break;
		d->first = q->next;
		d->queued--;
		d->queued_bytes -= q->len;
		free(q);
	}
	if (!d->first)
		d->last = &d->first;
	source->waiting = d->queued_bytes;
	source->wants_write = d->first != NULL;
}

static void dgram_free(struct mf_frame_source *source)
{
	forget_queue((struct dgram *)source);
	close(source->fd);
	free(source);
}

static const struct mf_frame_ops ops = { "dgram", dgram_run, dgram_send, dgram_flush, dgram_free };

int mf_frame_dgram_new(int fd, struct mf_frame_source **ret, struct mf_err *err)
{
	struct dgram *d = malloc(sizeof(*d));
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (!d) {
		close(fd);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	memset(d, 0, offsetof(struct dgram, in));
	d->source = (struct mf_frame_source){ .ops = &ops, .fd = fd, .look = dgram_look };
	d->connected = getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
	d->last = &d->first;
	mf_frame_no_signal(fd);
	*ret = &d->source;
	return 0;
}
