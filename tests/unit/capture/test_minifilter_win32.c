/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_minifilter_win32.c - the minifilter's client over a named pipe in place of the filter manager's port
 *
 * The pipe's server is the double of the driver (minifilter_double.h). Frames on the pipe: a kind, and the bytes that the
 * filter manager would carry.
 *
 *	client: C connect context, S message, R reply        server: M message, A answer (i32 result, bytes)
 */
#include "tests/unit/test.h"

#include <windows.h>

#include "capture/minifilter_win32.h"
#include "tests/unit/capture/minifilter_double.h"

#define FRAME_MAX   4096
#define PATIENCE_MS 60000
#define TOKEN	    UINT64_C(0x1122334455667788)

static char pipe_name[64];

/* ---- frames ---------------------------------------------------------------------------------------------------- */

/* Handles are OVERLAPPED, so that one thread may read while another writes. */
static DWORD transfer(HANDLE pipe, uint8_t *buf, DWORD len, bool write)
{
	OVERLAPPED o = { .hEvent = CreateEventW(NULL, TRUE, FALSE, NULL) };
	DWORD n = 0;
	BOOL ok = write ? WriteFile(pipe, buf, len, NULL, &o) : ReadFile(pipe, buf, len, NULL, &o);

	if (!ok && GetLastError() != ERROR_IO_PENDING)
		n = 0;
	else if (!GetOverlappedResult(pipe, &o, &n, TRUE))
		n = 0;
	CloseHandle(o.hEvent);
	return n;
}

static bool put_frame(HANDLE pipe, char kind, const void *data, size_t len)
{
	uint8_t buf[FRAME_MAX];

	assert_true(len < sizeof(buf));
	buf[0] = (uint8_t)kind;
	if (len)
		memcpy(buf + 1, data, len);
	return transfer(pipe, buf, (DWORD)len + 1, true) == len + 1;
}

/* ---- the driver's side ----------------------------------------------------------------------------------------- */

struct server {
	struct minifilter_double driver;
	CRITICAL_SECTION lock; /* of what follows */
	HANDLE pipe, ready;    /* ready: somebody may connect */
	HANDLE accepter, sayer;
	bool stopping;
};

static DWORD WINAPI say_main(void *arg)
{
	struct server *s = arg;
	uint8_t buf[MF_MINIFILTER_RECEIVE_MAX];
	int n;

	while ((n = double_receive(&s->driver, buf, sizeof(buf))) >= 0)
		if (!put_frame(s->pipe, 'M', buf, (size_t)n))
			break;
	return 0;
}

static void answer(struct server *s, int result, const uint8_t *data, size_t len)
{
	uint8_t buf[FRAME_MAX];

	memcpy(buf, &result, 4);
	if (len)
		memcpy(buf + 4, data, len);
	(void)put_frame(s->pipe, 'A', buf, 4 + len);
}

static void serve_one(struct server *s)
{
	uint8_t buf[FRAME_MAX], out[256];
	bool said = false;
	DWORD n;

	while ((n = transfer(s->pipe, buf, sizeof(buf), false)) > 0) {
		int r;

		switch (buf[0]) {
		case 'C':
			r = double_connect(&s->driver, buf + 1, n - 1);
			if (r == 0) {
				s->sayer = CreateThread(NULL, 0, say_main, s, 0, NULL);
				said = s->sayer != NULL;
			}
			answer(s, r, NULL, 0);
			break;
		case 'S':
			r = double_send(&s->driver, buf + 1, n - 1, out, sizeof(out));
			answer(s, r, out, r > 0 ? (size_t)r : 0);
			break;
		case 'R':
			answer(s, double_reply(&s->driver, buf + 1, n - 1), NULL, 0);
			break;
		default:
			n = 0;
		}
		if (!n)
			break;
	}
	double_disconnect(&s->driver);
	if (said) {
		WaitForSingleObject(s->sayer, INFINITE);
		CloseHandle(s->sayer);
	}
}

/* One client after the other, as the driver's port takes them. */
static DWORD WINAPI accept_main(void *arg)
{
	struct server *s = arg;

	for (;;) {
		OVERLAPPED o = { .hEvent = CreateEventW(NULL, TRUE, FALSE, NULL) };
		HANDLE p = CreateNamedPipeA(pipe_name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
					    PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE, 1, FRAME_MAX,
					    FRAME_MAX, 0, NULL);
		DWORD n;

		EnterCriticalSection(&s->lock);
		s->pipe = p;
		if (s->stopping) {
			LeaveCriticalSection(&s->lock);
			CloseHandle(p);
			CloseHandle(o.hEvent);
			return 0;
		}
		LeaveCriticalSection(&s->lock);
		if (!ConnectNamedPipe(p, &o) && GetLastError() == ERROR_IO_PENDING) {
			SetEvent(s->ready);
			(void)GetOverlappedResult(p, &o, &n, TRUE);
		}
		serve_one(s);
		DisconnectNamedPipe(p);
		CloseHandle(p);
		CloseHandle(o.hEvent);
	}
}

static void server_begin(struct server *s)
{
	memset(s, 0, sizeof(*s));
	double_init(&s->driver);
	InitializeCriticalSection(&s->lock);
	snprintf(pipe_name, sizeof(pipe_name), "\\\\.\\pipe\\mf-minifilter-%lu",
		 GetCurrentProcessId());
	s->ready = CreateEventW(NULL, FALSE, FALSE, NULL);
	s->accepter = CreateThread(NULL, 0, accept_main, s, 0, NULL);
	assert_non_null(s->accepter);
	assert_int_equal(WaitForSingleObject(s->ready, PATIENCE_MS), WAIT_OBJECT_0);
}

static void server_end(struct server *s)
{
	HANDLE last;

	EnterCriticalSection(&s->lock);
	s->stopping = true;
	LeaveCriticalSection(&s->lock);
	// Somebody must come for the accepter to look.
	last = CreateFileA(pipe_name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0,
			   NULL);
	if (last != INVALID_HANDLE_VALUE)
		CloseHandle(last);
	assert_int_equal(WaitForSingleObject(s->accepter, PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(s->accepter);
	CloseHandle(s->ready);
	DeleteCriticalSection(&s->lock);
	assert_int_equal(s->driver.refused, 0);
	double_done(&s->driver);
}

/* ---- the transport: one thread reads, and hands on what others wait for ------------------------------------------ */

struct line {
	CRITICAL_SECTION lock; /* of the handle, messages and answers */
	CRITICAL_SECTION ask;  /* one question at a time */
	CONDITION_VARIABLE changed;
	HANDLE pipe, reader;
	struct {
		uint8_t bytes[FRAME_MAX];
		DWORD len;
	} messages[16], answer;
	unsigned first, cnt;
	bool answered, closed;
};

static DWORD WINAPI line_main(void *arg)
{
	struct line *l = arg;
	uint8_t buf[FRAME_MAX];
	DWORD n;

	while ((n = transfer(l->pipe, buf, sizeof(buf), false)) > 0) {
		EnterCriticalSection(&l->lock);
		if (buf[0] == 'A') {
			memcpy(l->answer.bytes, buf + 1, n - 1);
			l->answer.len = n - 1;
			l->answered = true;
		} else if (l->cnt < MF_ARRAY_SIZE(l->messages)) {
			unsigned at = (l->first + l->cnt++) % MF_ARRAY_SIZE(l->messages);

			memcpy(l->messages[at].bytes, buf + 1, n - 1);
			l->messages[at].len = n - 1;
		}
		WakeAllConditionVariable(&l->changed);
		LeaveCriticalSection(&l->lock);
	}
	EnterCriticalSection(&l->lock);
	l->closed = true;
	WakeAllConditionVariable(&l->changed);
	LeaveCriticalSection(&l->lock);
	return 0;
}

/* Return: what the driver said: its result, and bytes */
static int ask(struct line *l, char kind, const uint8_t *data, size_t len, uint8_t *ret,
	       size_t room)
{
	int r = MF_E_CLOSED;

	EnterCriticalSection(&l->ask);
	EnterCriticalSection(&l->lock);
	l->answered = false;
	LeaveCriticalSection(&l->lock);
	if (l->pipe != INVALID_HANDLE_VALUE && put_frame(l->pipe, kind, data, len)) {
		EnterCriticalSection(&l->lock);
		while (!l->answered && !l->closed)
			(void)SleepConditionVariableCS(&l->changed, &l->lock, INFINITE);
		if (l->answered) {
			memcpy(&r, l->answer.bytes, 4);
			if (r > 0 && (size_t)r <= room)
				memcpy(ret, l->answer.bytes + 4, (size_t)r);
		}
		LeaveCriticalSection(&l->lock);
	}
	LeaveCriticalSection(&l->ask);
	return r;
}

static bool over(struct line *l)
{
	bool closed;

	EnterCriticalSection(&l->lock);
	closed = l->closed;
	LeaveCriticalSection(&l->lock);
	return closed;
}

static void line_disconnect(void *ctx)
{
	struct line *l = ctx;

	if (l->pipe == INVALID_HANDLE_VALUE)
		return;
	// It may be on its way to the next read.
	if (l->reader) {
		do
			(void)CancelIoEx(l->pipe, NULL);
		while (!over(l) && WaitForSingleObject(l->reader, 10) == WAIT_TIMEOUT);
		WaitForSingleObject(l->reader, INFINITE);
		CloseHandle(l->reader);
		l->reader = NULL;
	}
	CloseHandle(l->pipe);
	l->pipe = INVALID_HANDLE_VALUE;
	EnterCriticalSection(&l->lock);
	l->closed = true;
	WakeAllConditionVariable(&l->changed);
	LeaveCriticalSection(&l->lock);
}

static int line_connect(void *ctx, const uint8_t *context, size_t len, struct mf_err *err)
{
	DWORD mode = PIPE_READMODE_MESSAGE;
	struct line *l = ctx;
	int r;

	l->pipe = CreateFileA(pipe_name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
			      FILE_FLAG_OVERLAPPED, NULL);
	if (l->pipe == INVALID_HANDLE_VALUE)
		return mf_err_set(err, MF_E_NOENT, "nobody at the pipe");
	(void)SetNamedPipeHandleState(l->pipe, &mode, NULL, NULL);
	l->closed = false;
	l->first = l->cnt = 0;
	l->reader = CreateThread(NULL, 0, line_main, l, 0, NULL);
	r = ask(l, 'C', context, len, NULL, 0);
	return r < 0 ? mf_err_set(err, r, "the double refuses") : 0;
}

static int line_receive(void *ctx, uint8_t *buf, size_t room)
{
	struct line *l = ctx;
	int r = MF_E_CLOSED;

	EnterCriticalSection(&l->lock);
	while (!l->cnt && !l->closed)
		(void)SleepConditionVariableCS(&l->changed, &l->lock, INFINITE);
	if (l->cnt) {
		r = l->messages[l->first].len <= room ? (int)l->messages[l->first].len : MF_E_IO;
		if (r > 0)
			memcpy(buf, l->messages[l->first].bytes, (size_t)r);
		l->first = (l->first + 1) % MF_ARRAY_SIZE(l->messages);
		l->cnt--;
	}
	LeaveCriticalSection(&l->lock);
	return r;
}

static int line_send(void *ctx, const uint8_t *msg, size_t len, uint8_t *ret, size_t room)
{
	return ask(ctx, 'S', msg, len, ret, room);
}

static int line_reply(void *ctx, const uint8_t *reply, size_t len)
{
	return ask(ctx, 'R', reply, len, NULL, 0);
}

static struct mf_minifilter_transport line_begin(struct line *l)
{
	memset(l, 0, sizeof(*l));
	InitializeCriticalSection(&l->lock);
	InitializeCriticalSection(&l->ask);
	InitializeConditionVariable(&l->changed);
	l->pipe = INVALID_HANDLE_VALUE;
	return (struct mf_minifilter_transport){ .connect = line_connect,
						 .receive = line_receive,
						 .send = line_send,
						 .reply = line_reply,
						 .disconnect = line_disconnect,
						 .ctx = l };
}

/* ---- tests ----------------------------------------------------------------------------------------------------- */

static void wake(void *ctx)
{
	(void)SetEvent(ctx);
}

static void a_conversation_over_a_pipe_survives_a_loss(void **state)
{
	static struct server s;
	static struct line l;
	struct mf_minifilter_transport transport = line_begin(&l);
	struct mf_minifilter_options o = { .size = sizeof(o), .token = TOKEN, .own_pid = 4711 };
	struct mf_minifilter_metrics metrics;
	struct mf_session_events source;
	struct mf_session_event ev;
	struct mf_minifilter *m = NULL;
	struct mf_err err = { 0 };
	uint8_t ping[16] = { 0, 0, 1, 0 }, created[24] = { 0 }, file[2112] = { 0 };
	HANDLE woken = CreateEventW(NULL, FALSE, FALSE, NULL);

	(void)state;
	o.wake = (struct mf_session_wake){ wake, woken };
	server_begin(&s);
	assert_int_equal(mf_minifilter_open_over(&o, &transport, &m, &err), 0);
	assert_int_equal(s.driver.client_pid, 4711);
	assert_int_equal(s.driver.configured, 1);
	assert_int_equal(mf_minifilter_client_register(mf_minifilter_client(m), 1234), 0);
	assert_int_equal(s.driver.root_pid, 1234);
	assert_int_equal(mf_minifilter_client_ask_metrics(mf_minifilter_client(m), &metrics), 0);
	assert_int_equal(metrics.denied, 10);
	double_say(&s.driver, 0, 32, 31, 48, 8, ping, sizeof(ping));
	double_wait(&s.driver, &s.driver.pongs, 1);
	assert_int_equal(s.driver.reply_message, 8);
	file[16] = 1; // create
	file[28] = 'x';
	double_say(&s.driver, 1, 2128, 77, 40, 9, file, sizeof(file));
	double_wait(&s.driver, &s.driver.replies, 2);
	assert_int_equal(s.driver.decision, 0);
	assert_int_equal(s.driver.reply_request, 77);
	memcpy(created, &(uint64_t){ TOKEN }, 8);
	created[8] = 100;
	double_say(&s.driver, 3, 40, 1, 0, 1, created, sizeof(created));
	source = mf_minifilter_client_events(mf_minifilter_client(m));
	while (source.next(source.ctx, &ev) == 0)
		assert_int_equal(WaitForSingleObject(woken, PATIENCE_MS), WAIT_OBJECT_0);
	assert_int_equal(ev.kind, MF_SESSION_CREATED);
	assert_int_equal(ev.pid, 100);
	// The driver goes and comes: the thread connects again, and tells it of the session again.
	(void)DisconnectNamedPipe(s.pipe);
	double_wait(&s.driver, &s.driver.registered, 2);
	assert_int_equal(s.driver.excluded, 2);
	assert_int_equal(s.driver.root_pid, 1234);
	mf_minifilter_close(m);
	double_wait(&s.driver, &s.driver.unregistered, 1);
	server_end(&s);
	CloseHandle(woken);
}

static void without_a_driver_there_is_a_reason(void **state)
{
	struct mf_minifilter_options o = { .size = sizeof(o), .token = TOKEN, .own_pid = 4711 };
	struct mf_minifilter *m = NULL;
	struct mf_err err = { 0 };
	int r = mf_minifilter_open(&o, &m, &err);

	(void)state;
	// Real Windows: no such port, or not elevated; wine's fltlib connects to nothing.
	assert_true(r == MF_E_NOENT || r == MF_E_PERM || r == MF_E_UNSUPPORTED || r == MF_E_IO);
	assert_true(err.msg[0]);
	assert_null(m);
	mf_minifilter_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_conversation_over_a_pipe_survives_a_loss),
		cmocka_unit_test(without_a_driver_there_is_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
