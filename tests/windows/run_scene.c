/* SPDX-License-Identifier: Apache-2.0 */
/* run_scene.c - see run_scene.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_scene.h"

#include <cmocka.h>
#include <ws2tcpip.h>

#define STRANGER (4u * 100000u)

static char moonfence[1024], self[1024];
static uint16_t first_port = 2101;

/* ---- the command ----------------------------------------------------------------------------------------------- */

/* Ctrl-C: a program that does not end at once, as shells and servers do. */
static BOOL WINAPI on_control(DWORD kind)
{
	printf("interrupted %lu\n", kind);
	fflush(stdout);
	return TRUE;
}

static int start_child(void)
{
	char command[1100];
	STARTUPINFOA si = { .cb = sizeof(si) };
	PROCESS_INFORMATION pi;

	snprintf(command, sizeof(command), "\"%s\" --part child", self);
	if (!CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &si, &pi))
		return 99;
	// The child has our input from now on.
	WaitForSingleObject(pi.hProcess, INFINITE);
	printf("over %lu\n", pi.dwProcessId);
	fflush(stdout);
	return 0;
}

/* Another program of the session, to its end. */
static unsigned long execute(char *command)
{
	STARTUPINFOA si = { .cb = sizeof(si) };
	PROCESS_INFORMATION pi;
	DWORD status = 99;

	command[strcspn(command, "\r\n")] = '\0';
	if (CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &si, &pi)) {
		WaitForSingleObject(pi.hProcess, INFINITE);
		GetExitCodeProcess(pi.hProcess, &status);
		CloseHandle(pi.hThread);
		CloseHandle(pi.hProcess);
	}
	return status;
}

static int client(const char *part)
{
	char line[1024];
	int r;

	SetConsoleCtrlHandler(on_control, TRUE);
	printf("%s %lu\n", part, GetCurrentProcessId());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (strncmp(line, "child", 5) == 0) {
			r = start_child();
			if (r)
				return r;
		} else if (strncmp(line, "where", 5) == 0) {
			char here[MAX_PATH] = "", seen[MAX_PATH] = "";

			GetCurrentDirectoryA(sizeof(here), here);
			GetEnvironmentVariableA("MOONFENCE_WORKSPACE", seen, sizeof(seen));
			printf("where %s, of %s\n", here, seen);
			fflush(stdout);
		} else if (strncmp(line, "interrupt", 9) == 0) {
			/* To everybody at this console, as from its keyboard. */
			if (!GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0))
				return 97;
		} else if (strncmp(line, "execute ", 8) == 0) {
			printf("executed %lu\n", execute(line + 8));
			fflush(stdout);
		} else if (strncmp(line, "exit ", 5) == 0) {
			return atoi(line + 5);
		}
	}
	return 98;
}

/* ---- what a process says --------------------------------------------------------------------------------------- */

static DWORD WINAPI read_all(void *arg)
{
	struct run_output *o = arg;
	char buf[512];
	DWORD n;

	while (ReadFile(o->from, buf, sizeof(buf), &n, NULL) && n) {
		EnterCriticalSection(&o->lock);
		for (DWORD i = 0; i < n && o->len + 1 < RUN_TEXT_MAX; i++)
			if (buf[i] != '\r')
				o->text[o->len++] = buf[i];
		WakeAllConditionVariable(&o->more);
		LeaveCriticalSection(&o->lock);
	}
	EnterCriticalSection(&o->lock);
	o->over = true;
	WakeAllConditionVariable(&o->more);
	LeaveCriticalSection(&o->lock);
	return 0;
}

bool run_wait_line(struct run_output *o, const char *what, char *rest, size_t size)
{
	bool found = false, waits = true;

	EnterCriticalSection(&o->lock);
	while (!found) {
		char *from = o->text + o->taken, *end = strchr(from, '\n'), *at;

		if (!end) {
			if (o->over || !waits)
				break;
			waits = SleepConditionVariableCS(&o->more, &o->lock, RUN_PATIENCE_MS);
			continue;
		}
		*end = '\0';
		at = strstr(from, what);
		found = at;
		if (found)
			snprintf(rest, size, "%s", at + strlen(what));
		*end = '\n';
		o->taken = (size_t)(end + 1 - o->text);
	}
	LeaveCriticalSection(&o->lock);
	return found;
}

static void output_begin(struct run_output *o, HANDLE *ret_write)
{
	SECURITY_ATTRIBUTES inherit = { sizeof(inherit), NULL, TRUE };

	assert_true(CreatePipe(&o->from, ret_write, &inherit, 0));
	assert_true(SetHandleInformation(o->from, HANDLE_FLAG_INHERIT, 0));
	InitializeCriticalSection(&o->lock);
	InitializeConditionVariable(&o->more);
	o->thread = CreateThread(NULL, 0, read_all, o, 0, NULL);
	assert_non_null(o->thread);
}

static void output_end(struct run_output *o)
{
	assert_int_equal(WaitForSingleObject(o->thread, RUN_PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(o->thread);
	CloseHandle(o->from);
	DeleteCriticalSection(&o->lock);
}

/* ---- servers, policy, moonfence -------------------------------------------------------------------------------- */

static void start_server(struct run *r, enum run_server which)
{
	static const struct {
		const char *addr;
		bool tcp;
	} rows[] = {
		[RUN_TCP4] = { "127.0.0.1", true },
		[RUN_TCP6] = { "::1", true },
		[RUN_FAR6] = { RUN_FAR_ADDR, true },
		[RUN_UDP6] = { "::1", false },
	};
	struct addrinfo *at = NULL,
			hints = { .ai_flags = AI_NUMERICHOST,
				  .ai_socktype = rows[which].tcp ? SOCK_STREAM : SOCK_DGRAM };
	struct sockaddr_storage sa;
	int len = sizeof(sa);
	SOCKET s;

	assert_int_equal(getaddrinfo(rows[which].addr, "0", &hints, &at), 0);
	s = socket(at->ai_family, at->ai_socktype, 0);
	assert_true(s != INVALID_SOCKET);
	assert_int_equal(bind(s, at->ai_addr, (int)at->ai_addrlen), 0);
	freeaddrinfo(at);
	assert_int_equal(getsockname(s, (struct sockaddr *)&sa, &len), 0);
	if (rows[which].tcp)
		assert_int_equal(listen(s, 8), 0);
	r->servers[which] = s;
	r->ports[which] = ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

void run_write_policy(struct run *r, const char *text)
{
	uint64_t end = GetTickCount64() + RUN_PATIENCE_MS;
	char temp[sizeof(r->policy) + 8];
	FILE *f;

	snprintf(temp, sizeof(temp), "%s.new", r->policy);
	f = fopen(temp, "w");
	assert_non_null(f);
	fprintf(f, "local self, tcp4, tcp6, far6, udp6 = \"%s\", %u, %u, %u, %u\n%s",
		strrchr(self, '\\') + 1, r->ports[RUN_TCP4], r->ports[RUN_TCP6], r->ports[RUN_FAR6],
		r->ports[RUN_UDP6], text);
	fclose(f);
	/* Not while moonfence reads it: editors try again as well. */
	while (!MoveFileExA(temp, r->policy, MOVEFILE_REPLACE_EXISTING)) {
		assert_true(GetTickCount64() < end);
		Sleep(10);
	}
}

static void name_files(struct run *r)
{
	char dir[MAX_PATH];

	assert_true(GetTempPathA(sizeof(dir), dir) > 0);
	for (char *p = dir; *p; p++)
		*p = *p == '\\' ? '/' : *p;
	snprintf(r->policy, sizeof(r->policy), "%smf-run-%lu", dir, GetCurrentProcessId());
	CreateDirectoryA(r->policy, NULL);
	snprintf(r->policy, sizeof(r->policy), "%smf-run-%lu/run.lua", dir, GetCurrentProcessId());
	snprintf(r->events, sizeof(r->events), "%smf-run-%lu.jsonl", dir, GetCurrentProcessId());
	DeleteFileA(r->events);
}

/* A console that nobody sees: its ends are pipes that nobody uses. */
static void open_console(struct run *r)
{
	HANDLE *e = r->console_ends;
	COORD size = { 80, 25 };
	size_t n = 0;

	assert_true(CreatePipe(&e[0], &e[1], NULL, 0) && CreatePipe(&e[2], &e[3], NULL, 0));
	assert_int_equal(CreatePseudoConsole(size, e[0], e[3], 0, &r->console), S_OK);
	InitializeProcThreadAttributeList(NULL, 1, 0, &n);
	r->console_attr = malloc(n);
	assert_non_null(r->console_attr);
	assert_true(InitializeProcThreadAttributeList(r->console_attr, 1, 0, &n));
	assert_true(UpdateProcThreadAttribute(r->console_attr, 0,
					      PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, r->console,
					      sizeof(r->console), NULL, NULL));
}

static void close_console(struct run *r)
{
	if (!r->console_attr)
		return;
	ClosePseudoConsole(r->console);
	DeleteProcThreadAttributeList(r->console_attr);
	free(r->console_attr);
	for (unsigned i = 0; i < 4; i++)
		CloseHandle(r->console_ends[i]);
}

static void start_moonfence(struct run *r, const struct run_how *how)
{
	SECURITY_ATTRIBUTES inherit = { sizeof(inherit), NULL, TRUE };
	STARTUPINFOEXA si = { .StartupInfo = { .dwFlags = STARTF_USESTDHANDLES } };
	STARTUPINFOA *std = &si.StartupInfo;
	PROCESS_INFORMATION pi;
	char line[4096];
	HANDLE in;

	// First: the console's process inherits what there is to be inherited.
	if (how->console)
		open_console(r);
	assert_true(CreatePipe(&in, &r->input, &inherit, 0));
	assert_true(SetHandleInformation(r->input, HANDLE_FLAG_INHERIT, 0));
	output_begin(&r->out, &std->hStdOutput);
	output_begin(&r->err, &std->hStdError);
	std->hStdInput = in;
	std->cb = how->console ? sizeof(si) : sizeof(*std);
	si.lpAttributeList = r->console_attr;
	snprintf(line, sizeof(line),
		 "\"%s\" run -v --trust-targets --dns 127.0.0.1:9 --policy \"%s\" --events \"%s\" "
		 "--prove-timeout %d %s -- \"%s\" --part client",
		 moonfence, r->policy, r->events, how->refuse4 ? 1000 : RUN_PATIENCE_MS,
		 how->options ? how->options : "--no-watch", self);
	assert_true(CreateProcessA(NULL, line, NULL, NULL, TRUE,
				   how->console ? EXTENDED_STARTUPINFO_PRESENT : 0, NULL, NULL, std,
				   &pi));
	CloseHandle(pi.hThread);
	CloseHandle(in);
	CloseHandle(std->hStdOutput);
	CloseHandle(std->hStdError);
	r->process = pi.hProcess;
}

unsigned run_call(const char *arguments, char *out, size_t size)
{
	STARTUPINFOA si = { .cb = sizeof(si), .dwFlags = STARTF_USESTDHANDLES };
	PROCESS_INFORMATION pi;
	struct run_output *o = calloc(1, sizeof(*o));
	DWORD status = 0;
	char line[2048];

	assert_non_null(o);
	output_begin(o, &si.hStdOutput);
	si.hStdError = si.hStdOutput;
	snprintf(line, sizeof(line), "\"%s\" %s", moonfence, arguments);
	assert_true(CreateProcessA(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &si, &pi));
	CloseHandle(si.hStdOutput);
	CloseHandle(pi.hThread);
	assert_int_equal(WaitForSingleObject(pi.hProcess, RUN_PATIENCE_MS), WAIT_OBJECT_0);
	assert_true(GetExitCodeProcess(pi.hProcess, &status));
	CloseHandle(pi.hProcess);
	assert_int_equal(WaitForSingleObject(o->thread, RUN_PATIENCE_MS), WAIT_OBJECT_0);
	snprintf(out, size, "%s", o->text);
	output_end(o);
	free(o);
	return status;
}

const char *run_program(void)
{
	return moonfence;
}

static DWORD WINAPI send_byte(void *arg)
{
	(void)wdd_tcp_send(arg, "x", 1);
	return 0;
}

static void end_process(DWORD pid)
{
	HANDLE h = OpenProcess(PROCESS_TERMINATE, FALSE, pid);

	assert_non_null(h);
	TerminateProcess(h, 1);
	CloseHandle(h);
}

/* moonfence wants to see a connection of its helper: the machine makes it, or the helper's end says that it went past. */
static void answer_probe(struct run *r, bool ip6, bool refuse)
{
	unsigned i = r->probes_cnt++, pid, port;
	char rest[128], ip[64];
	struct wdd_end to;

	if (!run_wait_line(&r->err, "probe: a connection of process ", rest, sizeof(rest)))
		fail_msg("no probe: %s", r->err.text);
	assert_int_equal(sscanf(rest, ip6 ? "%u to [%63[0-9a-f:]]:%u" : "%u to %63[0-9.]:%u", &pid,
				ip, &port),
			 3);
	if (refuse) {
		if (ip6)
			end_process(pid);
		return; /* of IPv4 the time is over soon, see above */
	}
	to = wdd_end_of(ip, (uint16_t)port);
	/* The end of this connection may come after the proof, before the session's packets are taken. */
	wdd_stack_let_out(r->stack, to);
	r->probes[i] =
		wdd_tcp_connect(r->stack, pid, ip6 ? run_client6(r) : run_client4(r), to, true);
	assert_non_null(r->probes[i]);
	/* What acknowledges it may come after the proof has ended, when nobody carries packets yet: not awaited here. */
	r->probers[i] = CreateThread(NULL, 0, send_byte, r->probes[i], 0, NULL);
	assert_non_null(r->probers[i]);
}

void run_begin(struct run *r, const struct run_how *how)
{
	struct wdd_ip local = wdd_ip_of("10.0.0.5"), local6 = wdd_ip_of("2001:db8::5");

	memset(r, 0, sizeof(*r));
	// Not the last one's: this host remembers connections for a while.
	r->next_port = first_port;
	first_port += 1000;
	r->host = wdd_host_start();
	assert_non_null(r->host);
	wdd_host_add_local(r->host, &local);
	wdd_host_add_local(r->host, &local6);
	r->stack = wdd_stack_start(r->host, 7, 1);
	assert_non_null(r->stack);
	for (unsigned i = 0; i < RUN_SERVER_NUM; i++)
		start_server(r, (enum run_server)i);
	name_files(r);
	run_write_policy(r, how->policy);
	start_moonfence(r, how);
	answer_probe(r, false, how->refuse4);
	if (!how->refuse4)
		answer_probe(r, true, how->refuse6);
}

void run_end(struct run *r)
{
	CloseHandle(r->input);
	close_console(r);
	output_end(&r->out);
	output_end(&r->err);
	CloseHandle(r->process);
	for (unsigned i = 0; i < RUN_SERVER_NUM; i++)
		closesocket(r->servers[i]);
	for (unsigned i = 0; i < r->probes_cnt; i++) {
		if (!r->probes[i])
			continue;
		WaitForSingleObject(r->probers[i], INFINITE);
		CloseHandle(r->probers[i]);
		wdd_socket_close(r->probes[i]);
	}
	wdd_stack_stop(r->stack);
	wdd_host_stop(r->host);
	DeleteFileA(r->policy);
	*strrchr(r->policy, '/') = '\0';
	RemoveDirectoryA(r->policy);
	DeleteFileA(r->events);
}

void run_say(struct run *r, const char *line)
{
	DWORD n;

	assert_true(WriteFile(r->input, line, (DWORD)strlen(line), &n, NULL));
}

uint32_t run_wait_pid(struct run *r, const char *who)
{
	char rest[64];

	if (!run_wait_line(&r->out, who, rest, sizeof(rest)))
		fail_msg("no %s: %s", who, r->err.text);
	return (uint32_t)strtoul(rest, NULL, 10);
}

unsigned run_wait_exit(struct run *r)
{
	DWORD code = 12345;

	assert_int_equal(WaitForSingleObject(r->process, RUN_PATIENCE_MS), WAIT_OBJECT_0);
	assert_true(GetExitCodeProcess(r->process, &code));
	return code;
}

unsigned run_count_events(struct run *r, const char *text)
{
	static char buf[16 * RUN_TEXT_MAX];
	FILE *f = fopen(r->events, "rb");
	size_t n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;
	unsigned cnt = 0;

	if (f)
		fclose(f);
	buf[n] = '\0';
	for (const char *at = buf; (at = strstr(at, text)); at++)
		cnt++;
	return cnt;
}

void run_wait_event(struct run *r, const char *text)
{
	uint64_t end = GetTickCount64() + RUN_PATIENCE_MS;

	while (!run_count_events(r, text)) {
		if (GetTickCount64() > end)
			fail_msg("no event says \"%s\"; moonfence says:\n%s", text, r->err.text);
		Sleep(10);
	}
}

/* ---- what happens ---------------------------------------------------------------------------------------------- */

struct wdd_end run_client4(struct run *r)
{
	return wdd_end_of("10.0.0.5", r->next_port++);
}

struct wdd_end run_client6(struct run *r)
{
	return wdd_end_of("2001:db8::5", r->next_port++);
}

void run_exchange(struct run *r, struct wdd_socket *s, enum run_server server)
{
	static const char ask[] = "GET / HTTP/1.0\r\nHost: server.example\r\n\r\n";

	run_exchange_words(r, s, server, ask);
}

void run_exchange_words(struct run *r, struct wdd_socket *s, enum run_server server,
			const char *ask)
{
	static const char answer[] = "well done";
	const size_t ask_len = strlen(ask);
	char buf[256];
	size_t len = 0;
	SOCKET c;
	int n;

	assert_true(wdd_tcp_send(s, ask, ask_len));
	c = accept(r->servers[server], NULL, NULL);
	assert_true(c != INVALID_SOCKET);
	while (len < ask_len) {
		n = recv(c, buf + len, (int)(sizeof(buf) - len), 0);
		assert_true(n > 0);
		len += (size_t)n;
	}
	assert_memory_equal(buf, ask, ask_len);
	assert_int_equal(send(c, answer, sizeof(answer), 0), sizeof(answer));
	for (len = 0; len < sizeof(answer); len += (size_t)n) {
		n = wdd_tcp_recv(s, buf + len, sizeof(buf) - len);
		assert_true(n > 0);
	}
	assert_memory_equal(buf, answer, sizeof(answer));
	closesocket(c);
}

void run_fetch(struct run *r, uint32_t pid, struct wdd_end from, struct wdd_end to,
	       bool event_first, enum run_server server)
{
	struct wdd_socket *s = wdd_tcp_connect(r->stack, pid, from, to, event_first);

	if (!s)
		fail_msg("refused: %s", r->err.text);
	run_exchange(r, s, server);
	wdd_socket_close(s);
}

void run_refused(struct run *r, uint32_t pid, struct wdd_end from, struct wdd_end to)
{
	struct wdd_faults before = wdd_stack_faults(r->stack), now;

	assert_null(wdd_tcp_connect(r->stack, pid, from, to, true));
	now = wdd_stack_faults(r->stack);
	assert_int_equal(now.resets, before.resets + 1);
	assert_int_equal(now.escaped, before.escaped);
}

void run_tell_end(struct run *r, unsigned status)
{
	char line[32];

	r->escaped = wdd_stack_faults(r->stack).escaped;
	snprintf(line, sizeof(line), "exit %u\n", status);
	run_say(r, line);
}

void run_stranger_passes(struct run *r)
{
	struct wdd_end from = run_client4(r), to = wdd_end_of("198.51.100.7", 80);
	struct wdd_socket_event ev = { .event = WDD_CONNECT,
				       .pid = STRANGER,
				       .local = from.ip,
				       .remote = to.ip,
				       .local_port = from.port,
				       .remote_port = to.port,
				       .proto = 6,
				       .outbound = true };
	struct wdd_output *out;
	struct wdd_read got;
	uint8_t syn[128];
	uint32_t len = wdd_craft_tcp(syn, from, to, WDD_SYN, 77, 0, NULL, 0);
	bool found = false;

	assert_true(wdd_host_event(r->host, &ev));
	assert_true(wdd_host_play(r->host, &(struct wdd_play){ .outbound = true, .if_idx = 7 }, syn,
				  len));
	/* After the session the ends of its connections may be before it. */
	while (!found) {
		out = wdd_stack_take_escaped(r->stack);
		assert_non_null(out);
		assert_true(wdd_read_packet(&got, out->bytes, out->len));
		found = wdd_end_eq(&got.src, &from) && wdd_end_eq(&got.dst, &to);
		free(out);
	}
}

bool run_main(int argc, char **argv, int *ret_status)
{
	WSADATA wsa;

	*ret_status = 1;
	if (!GetModuleFileNameA(NULL, self, sizeof(self)) || argc < 2 || WSAStartup(0x0202, &wsa))
		return true;
	if (argc == 3 && strcmp(argv[1], "--part") == 0) {
		*ret_status = client(argv[2]);
		return true;
	}
	snprintf(moonfence, sizeof(moonfence), "%s", argv[1]);
	for (char *p = moonfence; *p; p++)
		*p = *p == '/' ? '\\' : *p;
	return false;
}
