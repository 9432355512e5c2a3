/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve_linux.h - the threads that read requests and answer them
 *
 * How it works
 *
 * One thread reads, does and answers, again and again: whoever waits for the answer wakes one thread, always the same one,
 * whose caches are warm. Further threads sleep aside (they do not read: the kernel would give them requests in turns) until
 * one is needed:
 *
 *	- a thread that found the next request waiting for it many times in a row is not enough;
 *	- all threads have been busy with the same requests for a while (a slow disk, a big copy; a request may even wait
 *	  for another one, as when /proc reads a program's arguments from pages of a file here). The thread that called
 *	  mf_fuse_serve() looks after that every WATCH_MS while requests come in, and sleeps otherwise.
 *
 * One that serves alone, and one thread alone, stays on that one's processor (serve_near_linux.h).
 *
 * A thread that has mostly waited goes aside again. So a single client costs one wake-up a request, several clients have as
 * many threads as they keep busy, and nothing waits longer than about two WATCH_MS for a thread.
 */
#ifndef MF_FS_SERVE_LINUX_H
#define MF_FS_SERVE_LINUX_H

#include "fs/libfuse_linux.h"

struct mf_fuse_holder;
struct mf_fuse_server;

/** mf_fuse_server_new() - @threads_max: 1 at least; Return: NULL without memory or descriptors */
struct mf_fuse_server *mf_fuse_server_new(struct fuse_session *se, unsigned threads_max);
/** mf_fuse_server_hold() - Before it serves: requests may have to wait for a person */
void mf_fuse_server_hold(struct mf_fuse_server *server, struct mf_fuse_holder *holder);
void mf_fuse_server_free(struct mf_fuse_server *server);

/**
 * mf_fuse_serve() - Until the session is over: unmounted, or fuse_session_exit() by a signal or mf_fuse_server_stop()
 * Return: 0 or a negative errno
 */
int mf_fuse_serve(struct mf_fuse_server *server);

/** mf_fuse_server_stop() - From any thread; mf_fuse_serve() returns soon, or at once when it is called later */
void mf_fuse_server_stop(struct mf_fuse_server *server);

/** mf_fuse_server_threads() - That have been needed at once, so far */
unsigned mf_fuse_server_threads(const struct mf_fuse_server *server);

#endif
