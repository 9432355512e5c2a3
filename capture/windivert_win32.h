/* SPDX-License-Identifier: Apache-2.0 */
/*
 * windivert_win32.h - packets and flow events of a Windows machine through the WinDivert driver
 *
 *	mf_windivert_new(&options, &wd, &err);
 *	mf_pipeline_new(&pipeline_options, mf_windivert_backend(wd), &ops, &pipeline, &err);
 *	...                                     // options.wake says when mf_pipeline_run() has something to do
 *	mf_windivert_stop(wd);                  // nothing more is diverted, what is queued still comes
 *	while (mf_pipeline_run(pipeline, now) != MF_E_CLOSED)
 *		... wait for wake ...
 *	mf_pipeline_drain(pipeline, now);
 *	mf_pipeline_free(pipeline);
 *	mf_windivert_free(wd);                  // W3: sending ends last
 *
 * How it works. Three handles: S at the SOCKET layer tells whose flows are (priority p + 1), N at the NETWORK layer diverts
 * packets (p), I injects (p - 1), so that N never sees what we send. A thread each reads S and N in batches into bounded
 * memory; when that is full N's queue in the kernel fills (it drops the oldest). The pipeline's thread takes from there and
 * sends; it never waits.
 *
 * The driver is open by nature: when this process ends, however it ends, traffic flows unfiltered. Who wants it closed
 * ends the session's processes together with us (W4): a job object with kill-on-close.
 */
#ifndef MF_CAPTURE_WINDIVERT_H
#define MF_CAPTURE_WINDIVERT_H

#include "capture/backend.h"
#include "capture/owner_table.h"
#include "capture/windivert_abi.h"
#include "core/base/clock.h"
#include "core/base/err.h"

/* The DLL, loaded. */
struct mf_wd_library {
	void *module;
	struct mf_wd_calls calls;
};

/**
 * mf_wd_load() - Load WinDivert.dll from one folder and nowhere else (W1)
 * @dir: UTF-8, absolute; NULL: the folder of this program
 * Return: 0; MF_E_NOENT (no such file), MF_E_UNSUPPORTED (another version's exports, 32-bit), MF_E_INVAL (a relative
 *         folder), MF_E_NOMEM
 */
int mf_wd_load(const char *dir, struct mf_wd_library *ret, struct mf_err *err);
void mf_wd_unload(struct mf_wd_library *lib);

/** mf_wd_open() - Open one handle; both 0 and the invalid handle are failures. Return: 0 with *ret, or MF_E_* */
int mf_wd_open(const struct mf_wd_library *lib, const char *filter, enum mf_wd_layer layer,
	       int priority, uint64_t flags, void **ret, struct mf_err *err);

struct mf_windivert_options {
	size_t size;	 /* of this struct */
	const char *dir; /* as mf_wd_load() */
	int priority;	 /* of N; -29,999 to 29,999 */
	struct mf_wd_capture capture;
	uint32_t queue_time_ms; /* 100 to 16,000; 0: 8,000 (W2) */
	const struct mf_clock
		*clock; /* what time_ns of packets and events is on; NULL: the system's */
	/* Called by any thread when receive() or next_event() has something after it had nothing; must not block */
	void (*wake)(void *ctx);
	void *wake_ctx;
	const struct mf_owner_source *owners; /* NULL: the system's tables */
	/*
	 * When a process began, on @clock: an event older than that was another's, whose pid is used again. NULL: asked of the
	 * system. Return: 0, MF_E_NOENT. Called by the thread that reads events
	 */
	int (*process_began)(void *ctx, uint32_t pid, uint64_t *ret_ns);
	void *process_ctx;
};

struct mf_windivert;

struct mf_windivert_stats {
	uint64_t packets, batches, events;
	uint64_t events_lost; /* the pipeline did not fetch them in time; the oldest go */
	uint64_t pids_reused; /* events whose process had ended and whose pid is another's */
	uint64_t unreadable;  /* bytes of a batch that were no packet */
	uint64_t receive_errors, send_errors,
		send_retries; /* retries: batches sent again one by one */
	uint64_t sent;
	uint32_t last_receive_error, last_send_error; /* Windows' codes, for mf_wd_explain() */
	uint64_t seeded;			      /* connections that were there before us */
};

/**
 * mf_windivert_new() - Load, open, and begin to divert
 * Return: 0; as mf_wd_load() and mf_wd_open(); MF_E_INVAL (options), MF_E_UNSUPPORTED (version below 2.2)
 */
int mf_windivert_new(const struct mf_windivert_options *options, struct mf_windivert **ret,
		     struct mf_err *err);

/** mf_windivert_backend() - Borrowed; its functions belong to the pipeline's thread */
const struct mf_backend *mf_windivert_backend(struct mf_windivert *wd);

/** mf_windivert_stop() - Divert no more; receive() returns MF_E_CLOSED once the queue is empty. Any thread, any number
 * of times */
void mf_windivert_stop(struct mf_windivert *wd);

/** mf_windivert_free() - Stop, wait for the threads, end sending, close; what nobody fetched goes on its way unjudged */
void mf_windivert_free(struct mf_windivert *wd);

void mf_windivert_get_stats(struct mf_windivert *wd, struct mf_windivert_stats *ret);

#endif
