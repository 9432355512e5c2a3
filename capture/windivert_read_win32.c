/* SPDX-License-Identifier: Apache-2.0 */
/* windivert_read_win32.c - the two threads that wait in the driver: packets of N, events of S; windivert_win32.h */
#include "capture/windivert_internal_win32.h"

#define BACKOFF_MAX_MS 100u
/* Creation times are as coarse as the system's tick. */
#define BEGAN_SLACK_NS (50 * MF_NS_PER_MS)

/* The lock is held before and not after. */
static void unlock_and_wake(struct mf_windivert *wd)
{
	bool wake = wd->asleep && wd->o.wake;

	wd->asleep = false;
	LeaveCriticalSection(&wd->lock);
	if (wake)
		wd->o.wake(wd->o.wake_ctx);
}

/*
 * A receive failed. Shut down and closed are ends; anything else is told to the pipeline, once for each time, and tried
 * again a little later. The lock is held. Return: whether it is the end
 */
static bool on_failure(struct mf_windivert *wd, uint32_t code, unsigned *failures, unsigned *row)
{
	unsigned ms = *row < 7 ? 1u << *row : BACKOFF_MAX_MS;

	if (mf_wd_error_code(MF_WD_CALL_RECV, code) == MF_E_CLOSED)
		return true;
	wd->stats.receive_errors++;
	wd->stats.last_receive_error = code;
	(*failures)++;
	(*row)++;
	unlock_and_wake(wd);
	EnterCriticalSection(&wd->lock);
	if (!wd->freeing)
		SleepConditionVariableCS(&wd->room, &wd->lock,
					 ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms);
	return wd->freeing;
}

static DWORD WINAPI read_packets(void *arg)
{
	struct mf_windivert *wd = arg;
	unsigned row = 0;
	bool end = false;

	EnterCriticalSection(&wd->lock);
	while (!end) {
		struct mf_wd_batch *b;
		uint32_t len = 0, bytes = sizeof(b->addrs), code;

		/* What is not read stays in the kernel, and is let go from there when the handle is closed. */
		while (wd->batch_full == MF_WD_BATCHES && !wd->freeing)
			SleepConditionVariableCS(&wd->room, &wd->lock, INFINITE);
		if (wd->freeing)
			break;
		b = &wd->batches[(wd->batch_first + wd->batch_full) % MF_WD_BATCHES];
		LeaveCriticalSection(&wd->lock);
		SetLastError(0);
		code = wd->lib.calls.recv_ex(wd->packets, b->bytes, MF_WD_BATCH_ROOM, &len, 0,
					     b->addrs, &bytes, NULL)
			       ? 0
			       : GetLastError();
		EnterCriticalSection(&wd->lock);
		if (code) {
			end = on_failure(wd, code, &wd->packet_failures, &row);
			continue;
		}
		row = 0;
		b->len = len;
		b->cnt = bytes / (uint32_t)sizeof(b->addrs[0]);
		wd->batch_full++;
		wd->stats.batches++;
		wd->stats.packets += b->cnt;
		unlock_and_wake(wd);
		EnterCriticalSection(&wd->lock);
	}
	wd->packets_ended = true;
	unlock_and_wake(wd);
	return 0;
}

static int system_began(const struct mf_windivert *wd, uint32_t pid, uint64_t *ret_ns)
{
	HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid);
	FILETIME created, a, b, c, now;
	uint64_t age, mono = mf_clock_now(wd->o.clock);
	BOOL ok;

	if (!process)
		return MF_E_NOENT;
	ok = GetProcessTimes(process, &created, &a, &b, &c);
	CloseHandle(process);
	if (!ok)
		return MF_E_NOENT;
	GetSystemTimePreciseAsFileTime(&now);
	age = (((uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime) -
	       ((uint64_t)created.dwHighDateTime << 32 | created.dwLowDateTime)) *
	      100;
	*ret_ns = (int64_t)age < 0 ? mono : age < mono ? mono - age : 0;
	return 0;
}

/* Has the process that the event is about ended, and another one got its number? */
static bool is_reused(const struct mf_windivert *wd, const struct mf_flow_event *ev)
{
	uint64_t began;
	int r;

	if (ev->kind != MF_FLOW_EVENT_CONNECT && ev->kind != MF_FLOW_EVENT_ACCEPT)
		return false;
	r = wd->o.process_began ? wd->o.process_began(wd->o.process_ctx, ev->pid, &began)
				: system_began(wd, ev->pid, &began);
	return r == 0 && began > ev->time_ns + BEGAN_SLACK_NS;
}

void mf_wd_push_event(struct mf_windivert *wd, const struct mf_flow_event *ev)
{
	if (wd->event_cnt == MF_WD_EVENTS) {
		wd->event_first = (wd->event_first + 1) % MF_WD_EVENTS;
		wd->event_cnt--;
		wd->stats.events_lost++;
	}
	wd->events[(wd->event_first + wd->event_cnt++) % MF_WD_EVENTS] = *ev;
}

static DWORD WINAPI read_events(void *arg)
{
	struct mf_windivert *wd = arg;
	struct mf_wd_address addrs[MF_BACKEND_BATCH_MAX];
	struct mf_flow_event evs[MF_BACKEND_BATCH_MAX];
	unsigned row = 0;
	bool end = false;

	EnterCriticalSection(&wd->lock);
	while (!end && !wd->freeing) {
		uint32_t len = 0, bytes = sizeof(addrs), code;
		unsigned cnt = 0, reused = 0;

		LeaveCriticalSection(&wd->lock);
		SetLastError(0);
		code = wd->lib.calls.recv_ex(wd->sockets, NULL, 0, &len, 0, addrs, &bytes, NULL)
			       ? 0
			       : GetLastError();
		for (unsigned i = 0; !code && i < bytes / sizeof(addrs[0]); i++) {
			struct mf_flow_event *ev = &evs[cnt];

			if (!mf_wd_read_event(&addrs[i], ev))
				continue;
			ev->time_ns = mf_wd_ticks_ns(wd, addrs[i].timestamp);
			if (is_reused(wd, ev)) {
				reused++;
				continue; /* whose it was nobody can tell: the flow's owner stays unknown */
			}
			cnt++;
		}
		EnterCriticalSection(&wd->lock);
		if (code) {
			end = on_failure(wd, code, &wd->event_failures, &row);
			continue;
		}
		row = 0;
		for (unsigned i = 0; i < cnt; i++)
			mf_wd_push_event(wd, &evs[i]);
		wd->stats.events += cnt;
		wd->stats.pids_reused += reused;
		unlock_and_wake(wd);
		EnterCriticalSection(&wd->lock);
	}
	wd->events_ended = true;
	unlock_and_wake(wd);
	return 0;
}

int mf_wd_start_readers(struct mf_windivert *wd, struct mf_err *err)
{
	wd->threads[0] = CreateThread(NULL, 0, read_events, wd, 0, NULL);
	wd->threads[1] = wd->threads[0] ? CreateThread(NULL, 0, read_packets, wd, 0, NULL) : NULL;
	if (!wd->threads[1])
		return mf_err_set(err, MF_E_NOMEM, "cannot start the threads of the capture");
	return 0;
}
