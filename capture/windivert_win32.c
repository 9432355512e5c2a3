/* SPDX-License-Identifier: Apache-2.0 */
/* windivert_win32.c - the WinDivert driver as a source of packets: opening, the pipeline's side, the end */
#include "capture/windivert_internal_win32.h"

#include <stdlib.h>

#define QUEUE_TIME_DEFAULT_MS 8000

/* ---- the pipeline's side ---- */

uint64_t mf_wd_ticks_ns(const struct mf_windivert *wd, int64_t ticks)
{
	int64_t d = ticks - wd->ticks_zero, s = d / wd->ticks_per_s, rest = d % wd->ticks_per_s;
	int64_t ns = (int64_t)wd->ns_zero + s * (int64_t)MF_NS_PER_S +
		     rest * (int64_t)MF_NS_PER_S / wd->ticks_per_s;

	return ns > 0 ? (uint64_t)ns : 0;
}

/* The batch to take packets from, NULL with *ret_code when there is none. */
static struct mf_wd_batch *next_batch(struct mf_windivert *wd, int *ret_code)
{
	struct mf_wd_batch *b = NULL;

	EnterCriticalSection(&wd->lock);
	if (wd->batch_full && wd->taken == wd->batches[wd->batch_first].cnt) {
		wd->batch_first = (wd->batch_first + 1) % MF_WD_BATCHES;
		wd->batch_full--;
		wd->taken = 0;
		wd->taken_len = 0;
		WakeAllConditionVariable(&wd->room);
	}
	*ret_code = 0;
	if (wd->batch_full) {
		b = &wd->batches[wd->batch_first];
	} else if (wd->packet_failures) {
		wd->packet_failures--;
		*ret_code = mf_wd_error_code(MF_WD_CALL_RECV, wd->stats.last_receive_error);
		if (*ret_code == MF_E_CLOSED || *ret_code == MF_E_AGAIN)
			*ret_code = MF_E_IO;
	} else if (wd->packets_ended) {
		*ret_code = MF_E_CLOSED;
	} else {
		wd->asleep = true;
	}
	LeaveCriticalSection(&wd->lock);
	return b;
}

static int receive(void *ctx, struct mf_packet *packets, unsigned max)
{
	struct mf_windivert *wd = ctx;
	unsigned cnt = 0;
	int r;

	do {
		struct mf_wd_batch *b = next_batch(wd, &r);

		if (!b)
			return r;
		for (; cnt < max && wd->taken < b->cnt; wd->taken++) {
			const struct mf_wd_address *addr = &b->addrs[wd->taken];
			uint32_t len = mf_wd_read_packet(addr, b->bytes + wd->taken_len,
							 b->len - wd->taken_len, &packets[cnt]);

			if (!len) {
				/* Where the next packet begins nobody knows. */
				EnterCriticalSection(&wd->lock);
				wd->stats.unreadable += b->len - wd->taken_len;
				LeaveCriticalSection(&wd->lock);
				wd->taken = b->cnt;
				break;
			}
			packets[cnt++].time_ns = mf_wd_ticks_ns(wd, addr->timestamp);
			wd->taken_len += len;
		}
	} while (!cnt);
	return (int)cnt;
}

/* Packets whose sending may fail for what they are: they go alone, so that no other one is sent twice for them. */
static bool goes_alone(const struct mf_packet *pkt)
{
	return pkt->flags & MF_PACKET_IMPOSTOR ||
	       (!(pkt->flags & MF_PACKET_OUTBOUND) && !pkt->interface);
}

static uint32_t send_some(struct mf_windivert *wd, struct mf_packet *const *packets, unsigned cnt)
{
	uint32_t len = 0, sent;

	for (unsigned i = 0; i < cnt; i++) {
		memcpy(wd->send_bytes + len, packets[i]->ptr, packets[i]->len);
		len += packets[i]->len;
		mf_wd_write_address(packets[i], &wd->send_addrs[i]);
	}
	SetLastError(0);
	return wd->lib.calls.send_ex(wd->inject, wd->send_bytes, len, &sent, 0, wd->send_addrs,
				     cnt * (uint32_t)sizeof(wd->send_addrs[0]), NULL)
		       ? 0
		       : GetLastError();
}

/* How many of the first packets make one call. */
static unsigned chunk(struct mf_packet *const *packets, unsigned cnt)
{
	uint32_t len = packets[0]->len;
	unsigned n = 1;

	if (goes_alone(packets[0]))
		return 1;
	while (n < cnt && n < MF_BACKEND_BATCH_MAX && !goes_alone(packets[n]) &&
	       packets[n]->len <= MF_WD_BATCH_ROOM - len)
		len += packets[n++]->len;
	return n;
}

static void count_sent(struct mf_windivert *wd, unsigned sent, unsigned retries, uint32_t code)
{
	EnterCriticalSection(&wd->lock);
	wd->stats.sent += sent;
	wd->stats.send_retries += retries;
	if (code) {
		wd->stats.send_errors++;
		wd->stats.last_send_error = code;
	}
	LeaveCriticalSection(&wd->lock);
}

/*
 * A batch that fails does not say at which packet, and those before it are on their way. One by one then, from the
 * first: that a packet arrives twice every protocol bears.
 */
static int do_send(void *ctx, struct mf_packet *const *packets, unsigned cnt)
{
	struct mf_windivert *wd = ctx;
	unsigned done = 0, retries = 0;
	uint32_t code = 0;

	while (done < cnt && !code) {
		unsigned n = chunk(packets + done, cnt - done);

		if (packets[done]->len > MF_WD_PACKET_MAX) {
			code = MF_WD_E_INVALID_PARAMETER;
			break;
		}
		code = send_some(wd, packets + done, n);
		if (code && n > 1) {
			retries++;
			for (code = 0; n && !code; n -= !code, done += !code)
				code = send_some(wd, packets + done, 1);
		} else if (!code) {
			done += n;
		}
	}
	count_sent(wd, done, retries, code);
	return done ? (int)done : code ? mf_wd_error_code(MF_WD_CALL_SEND, code) : 0;
}

static int next_event(void *ctx, struct mf_flow_event *ret)
{
	struct mf_windivert *wd = ctx;
	int r = 0;

	EnterCriticalSection(&wd->lock);
	if (wd->event_cnt) {
		*ret = wd->events[wd->event_first];
		wd->event_first = (wd->event_first + 1) % MF_WD_EVENTS;
		wd->event_cnt--;
		r = 1;
	} else if (wd->event_failures) {
		wd->event_failures--;
		r = MF_E_IO;
	} else {
		wd->asleep = true;
	}
	LeaveCriticalSection(&wd->lock);
	return r;
}

static int find_pid(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid)
{
	struct mf_windivert *wd = ctx;

	return mf_owner_table_find(wd->owners, flow, mf_clock_now(wd->o.clock), ret_pid);
}

/* ---- beginning ---- */

static int check_options(struct mf_windivert *wd, const struct mf_windivert_options *o,
			 struct mf_err *err)
{
	if (!o || o->size != sizeof(*o))
		return mf_err_set(err, MF_E_INVAL, "options of the capture: wrong size");
	wd->o = *o;
	if (o->priority <= MF_WD_PRIORITY_MIN || o->priority >= MF_WD_PRIORITY_MAX)
		return mf_err_set(err, MF_E_INVAL,
				  "options of the capture: priority must be from -29999 to 29999");
	if (!o->queue_time_ms)
		wd->o.queue_time_ms = QUEUE_TIME_DEFAULT_MS;
	if (wd->o.queue_time_ms < 100 || wd->o.queue_time_ms > MF_WD_QUEUE_TIME_MAX)
		return mf_err_set(
			err, MF_E_INVAL,
			"options of the capture: queue_time_ms must be from 100 to 16000");
	if (!o->clock)
		wd->o.clock = &mf_clock_system;
	if (!o->owners)
		wd->o.owners = &mf_owner_source_system;
	wd->o.dir = NULL; /* borrowed during the call only */
	return 0;
}

static int check_version(struct mf_windivert *wd, struct mf_err *err)
{
	uint64_t major = 0, minor = 0;

	if (!wd->lib.calls.get_param(wd->packets, MF_WD_VERSION_MAJOR, &major) ||
	    !wd->lib.calls.get_param(wd->packets, MF_WD_VERSION_MINOR, &minor))
		return mf_err_set(
			err, MF_E_UNSUPPORTED,
			"the WinDivert driver does not say its version: install WinDivert 2.2");
	if (major != 2 || minor < 2)
		return mf_err_set(
			err, MF_E_UNSUPPORTED,
			"WinDivert %u.%u is loaded, and 2.2 is needed: end the program that "
			"brought it, or install WinDivert 2.2",
			(unsigned)major, (unsigned)minor);
	return 0;
}

static int set_queue(struct mf_windivert *wd, void *handle, struct mf_err *err)
{
	const struct {
		enum mf_wd_param param;
		uint64_t value;
		const char *name;
	} rows[] = {
		{ MF_WD_QUEUE_LENGTH, MF_WD_QUEUE_LENGTH_MAX, "length" },
		{ MF_WD_QUEUE_TIME, wd->o.queue_time_ms, "time" },
		{ MF_WD_QUEUE_SIZE, MF_WD_QUEUE_SIZE_MAX, "size" },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(rows); i++)
		if (!wd->lib.calls.set_param(handle, (int32_t)rows[i].param, rows[i].value)) {
			uint32_t code = GetLastError();
			const char *why = mf_wd_explain(MF_WD_CALL_PARAM, code);

			return mf_err_set(
				err, mf_wd_error_code(MF_WD_CALL_PARAM, code),
				"cannot set the %s of WinDivert's queue: %s (Windows error %u)",
				rows[i].name, why ? why : "refused", code);
		}
	return 0;
}

/* S first: whatever N diverts, its event is already waited for. */
static int open_handles(struct mf_windivert *wd, struct mf_err *err)
{
	char filter[MF_WD_FILTER_MAX];
	int r;

	r = mf_wd_open(&wd->lib, MF_WD_FILTER_EVENTS, MF_WD_SOCKET, wd->o.priority + 1,
		       MF_WD_FLAG_SNIFF | MF_WD_FLAG_RECV_ONLY, &wd->sockets, err);
	if (!r)
		r = set_queue(wd, wd->sockets, err);
	if (!r)
		r = mf_wd_open(&wd->lib, "false", MF_WD_NETWORK, wd->o.priority - 1,
			       MF_WD_FLAG_SEND_ONLY, &wd->inject, err);
	if (!r)
		r = mf_wd_open(&wd->lib,
			       mf_wd_filter_packets(&wd->o.capture, filter, sizeof(filter)),
			       MF_WD_NETWORK, wd->o.priority, 0, &wd->packets, err);
	if (!r)
		r = check_version(wd, err);
	if (!r)
		r = set_queue(wd, wd->packets, err);
	return r;
}

static bool seed(void *ctx, const struct mf_owner_row *row)
{
	struct mf_windivert *wd = ctx;
	struct mf_endpoint dst = mf_flow_dst(&row->flow);
	struct mf_flow_event ev = { .kind = MF_FLOW_EVENT_CONNECT,
				    .flow = row->flow,
				    .pid = row->pid };

	if (row->flags & MF_OWNER_LISTENS || row->flow.proto != MF_PROTO_TCP || !dst.port ||
	    mf_addr_is_loopback(&dst.addr))
		return true;
	ev.time_ns = mf_clock_now(wd->o.clock);
	EnterCriticalSection(&wd->lock);
	mf_wd_push_event(wd, &ev);
	wd->stats.seeded++;
	LeaveCriticalSection(&wd->lock);
	return wd->stats.seeded < MF_WD_EVENTS / 2;
}

static void start_clock(struct mf_windivert *wd)
{
	LARGE_INTEGER t;

	QueryPerformanceFrequency(&t);
	wd->ticks_per_s = t.QuadPart;
	QueryPerformanceCounter(&t);
	wd->ticks_zero = t.QuadPart;
	wd->ns_zero = mf_clock_now(wd->o.clock);
}

static int allocate(struct mf_windivert *wd, struct mf_err *err)
{
	bool ok;

	wd->send_bytes = malloc(MF_WD_BATCH_ROOM);
	ok = wd->send_bytes != NULL;
	for (unsigned i = 0; i < MF_WD_BATCHES && ok; i++)
		ok = (wd->batches[i].bytes = malloc(MF_WD_BATCH_ROOM)) != NULL;
	return ok ? 0 : mf_err_set(err, MF_E_NOMEM, "no memory for the capture's packets");
}

int mf_windivert_new(const struct mf_windivert_options *options, struct mf_windivert **ret,
		     struct mf_err *err)
{
	struct mf_windivert *wd = calloc(1, sizeof(*wd));
	int r;

	*ret = NULL;
	if (!wd)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the capture");
	InitializeCriticalSection(&wd->lock);
	InitializeConditionVariable(&wd->room);
	wd->backend = (struct mf_backend){
		.name = "windivert",
		.caps = MF_BACKEND_CAN_PASS | MF_BACKEND_HAS_EVENTS | MF_BACKEND_FILLS_CSUMS,
		.ctx = wd,
		.receive = receive,
		.send = do_send,
		.next_event = next_event,
		.find_pid = find_pid,
	};
	r = check_options(wd, options, err);
	if (!r)
		r = allocate(wd, err);
	if (!r)
		r = mf_owner_table_new(wd->o.owners, &wd->owners, err);
	if (!r)
		r = mf_wd_load(options->dir, &wd->lib, err);
	if (!r) {
		start_clock(wd);
		r = open_handles(wd, err);
	}
	if (!r) {
		/* What cannot be read now is asked about flow by flow. */
		mf_owner_table_each(wd->owners, mf_clock_now(wd->o.clock), seed, wd);
		r = mf_wd_start_readers(wd, err);
	}
	if (r) {
		mf_windivert_free(wd);
		return r;
	}
	*ret = wd;
	return 0;
}

const struct mf_backend *mf_windivert_backend(struct mf_windivert *wd)
{
	return &wd->backend;
}

void mf_windivert_get_stats(struct mf_windivert *wd, struct mf_windivert_stats *ret)
{
	EnterCriticalSection(&wd->lock);
	*ret = wd->stats;
	LeaveCriticalSection(&wd->lock);
}

/* ---- the end ---- */

void mf_windivert_stop(struct mf_windivert *wd)
{
	bool first;

	EnterCriticalSection(&wd->lock);
	first = !wd->stopped;
	wd->stopped = true;
	LeaveCriticalSection(&wd->lock);
	if (!first)
		return;
	/* Receiving alone: what is queued has to be sent back yet (W3). A reader that waits is told 232. */
	if (wd->packets)
		wd->lib.calls.shutdown(wd->packets, MF_WD_SHUTDOWN_RECV);
	if (wd->sockets)
		wd->lib.calls.shutdown(wd->sockets, MF_WD_SHUTDOWN_RECV);
}

/* What was read and not fetched: on its way, as the driver does with what is still queued in it. */
static void let_go(struct mf_windivert *wd)
{
	struct mf_packet packets[MF_BACKEND_BATCH_MAX], *list[MF_BACKEND_BATCH_MAX];
	int n;

	for (unsigned i = 0; i < MF_BACKEND_BATCH_MAX; i++)
		list[i] = &packets[i];
	while ((n = receive(wd, packets, MF_BACKEND_BATCH_MAX)) != MF_E_CLOSED && n != 0)
		for (unsigned done = 0; n > 0 && done < (unsigned)n;) {
			int r = do_send(wd, list + done, (unsigned)n - done);

			done += r > 0 ? (unsigned)r : 1;
		}
}

void mf_windivert_free(struct mf_windivert *wd)
{
	void *handles[] = { wd ? wd->packets : NULL, wd ? wd->sockets : NULL,
			    wd ? wd->inject : NULL };

	if (!wd)
		return;
	EnterCriticalSection(&wd->lock);
	wd->freeing = true;
	WakeAllConditionVariable(&wd->room);
	LeaveCriticalSection(&wd->lock);
	mf_windivert_stop(wd);
	for (size_t i = 0; i < MF_ARRAY_SIZE(wd->threads); i++)
		if (wd->threads[i]) {
			WaitForSingleObject(wd->threads[i], INFINITE);
			CloseHandle(wd->threads[i]);
		}
	if (wd->threads[1])
		let_go(wd);
	if (wd->inject)
		wd->lib.calls.shutdown(wd->inject, MF_WD_SHUTDOWN_SEND);
	if (wd->packets)
		wd->lib.calls.shutdown(wd->packets, MF_WD_SHUTDOWN_SEND);
	for (size_t i = 0; i < MF_ARRAY_SIZE(handles); i++)
		if (handles[i])
			wd->lib.calls.close(handles[i]);
	mf_wd_unload(&wd->lib);
	mf_owner_table_free(wd->owners);
	for (unsigned i = 0; i < MF_WD_BATCHES; i++)
		free(wd->batches[i].bytes);
	free(wd->send_bytes);
	DeleteCriticalSection(&wd->lock);
	free(wd);
}
