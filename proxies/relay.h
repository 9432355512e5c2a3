/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - bytes between two connected sockets, both ways, until both have said all
 *
 * How it works
 *
 * Side 0 is the client, side 1 the server; direction d carries bytes from side d to side 1 - d. Readiness is edge-
 * triggered: the owner registers each socket once, sets readable[] and writable[] when the loop says so, and calls
 * mf_relay_pump(), which works until a side would block or its budget is used up.
 *
 * Small messages are copied through one buffer that all connections share: one recv(), one send(), nothing kept. What
 * cannot be sent at once is the only thing that is ever stored, in a stash of its own size; no more is read before it has
 * gone, which is the back-pressure. A direction that fills the shared buffer is bulk: it moves through a pipe with
 * splice(), without a copy, and gives the pipe back as soon as it is empty. An idle connection thus holds no buffer.
 *
 * A read that gives less than was asked for empties the socket, and the next byte makes a new edge; but an end that came
 * with the last bytes makes none: where the loop said that the peer has ended (@ended), reading goes on until it shows.
 *
 * An end of data travels on (half-close) once everything before it has. A reset on either side is a reset of both: the
 * owner sees MF_RELAY_BROKEN.
 */
#ifndef MF_PROXIES_RELAY_H
#define MF_PROXIES_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/span.h"
#include "proxies/sock.h"

struct mf_relay_stash; /* bytes that wait for a slow reader */

struct mf_relay_dir {
	uint64_t bytes; /* accepted by the receiving socket */
	struct mf_relay_stash *stash;
	struct mf_pipe *pipe; /* only while bytes are in it */
	uint32_t piped;	      /* bytes in the pipe */
	bool eof;	      /* the source has ended */
	bool done;	      /* ... and the sink has been told */
	uint8_t bulk;	      /* rounds of splice() left before copying is tried again */
};

/* Looks at what side 0 says before side 1 hears it. */
struct mf_relay_filter {
	/*
	 * @in: just read; *ret_out: what may go, valid until the next call
	 * Return: 0; negative: nothing behind *ret_out goes any more. Side 1 is told an end, and its answers still pass.
	 */
	int (*take)(struct mf_relay_filter *f, struct mf_span in, struct mf_span *ret_out);
};

struct mf_relay {
	int fd[2];
	bool readable[2], writable[2];
	bool ended[2]; /* the loop has said that this side's peer will send no more (EV_CLOSED) */
	struct mf_relay_dir dir[2];
	struct mf_relay_filter *filter; /* NULL: none; copies instead of splicing */
	/*
	 * Called where side 0 speaks again after side 1 did, with a byte that may begin a TLS hello; may set a filter, which
	 * then sees that byte first. Return: 0; negative: the relay is broken. NULL: nobody wants to know.
	 */
	int (*on_hello)(struct mf_relay *r);
	bool turned;  /* side 1 has spoken since side 0 did */
	bool refused; /* by the filter: what side 0 still says is thrown away */
	bool hold;    /* nothing more is read of side 1: what is under way is to end */
};

enum mf_relay_state {
	MF_RELAY_WAITING,  /* for the loop */
	MF_RELAY_BUSY,	   /* budget used up: call again after the others had their turn */
	MF_RELAY_FINISHED, /* both directions ended in order */
	MF_RELAY_BROKEN	   /* an error or reset on one side */
};

/* What the connections of one thread share. */
struct mf_relay_pool {
	uint8_t *buf; /* MF_RELAY_CHUNK */
	struct mf_pipe *free_pipes;
	uint32_t pipe_cnt, free_cnt, pipe_max;
	uint32_t pipe_size;	  /* bytes asked for */
	bool no_pipes;		  /* this system has none */
	uint64_t copied, spliced; /* bytes, for statistics */
};

#define MF_RELAY_CHUNK 65536

/** mf_relay_pool_init() - Return: 0 or MF_E_NOMEM; @pipe_max 0 for 256 */
int mf_relay_pool_init(struct mf_relay_pool *pool, uint32_t pipe_max);
void mf_relay_pool_done(struct mf_relay_pool *pool);

/** mf_relay_init() - @fd_client, @fd_server: connected, stay the caller's */
void mf_relay_init(struct mf_relay *r, int fd_client, int fd_server);

/**
 * mf_relay_queue() - Bytes that were read from side @from before the relay began go first in its direction
 * Return: 0 or MF_E_NOMEM
 */
int mf_relay_queue(struct mf_relay *r, unsigned from, const void *ptr, size_t len);

enum mf_relay_state mf_relay_pump(struct mf_relay *r, struct mf_relay_pool *pool);

/** mf_relay_done() - Free what is still stored; closes nothing but a pipe */
void mf_relay_done(struct mf_relay *r, struct mf_relay_pool *pool);

/** mf_relay_memory() - Bytes of memory that a connection holds beside the struct itself */
size_t mf_relay_memory(const struct mf_relay *r);

#endif
