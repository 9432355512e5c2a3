/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_run.c - moonfence.exe run, whole: a real command in a real job, its traffic on the double's machine
 *
 *	test_run PATH-OF-MOONFENCE
 *
 * The program is the script, and the command that moonfence starts ("--part client"). The command opens no connection itself:
 * what it would do, the double's stack does in the name of its process, and what is redirected arrives at moonfence's real
 * listeners through real loopback sockets. The proof that moonfence asks for before it starts anything is answered in the
 * same way. Runs where packets to the world vanish (in_netns.sh).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <winsock2.h>

#include <windows.h>

#include "windivert_double/stack.h"

#define PATIENCE_MS 60000
#define TEXT_MAX    65536
#define STRANGER    4u * 100000u
#define SERVER	    "198.51.100.7"

static char moonfence[1024], self[1024];
static uint16_t first_port = 2101;

/* ---- the command ----------------------------------------------------------------------------------------------- */

static int client(const char *part)
{
	char line[64];

	printf("%s %lu\n", part, GetCurrentProcessId());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (strncmp(line, "child", 5) == 0) {
			char command[1100];
			STARTUPINFOA si = { .cb = sizeof(si) };
			PROCESS_INFORMATION pi;

			snprintf(command, sizeof(command), "\"%s\" --part child", self);
			if (!CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &si,
					    &pi))
				return 99;
			// The child has our input from now on.
			WaitForSingleObject(pi.hProcess, INFINITE);
			printf("over %lu\n", pi.dwProcessId);
			fflush(stdout);
		} else if (strncmp(line, "exit ", 5) == 0) {
			return atoi(line + 5);
		}
	}
	return 98;
}

/* ---- a process and what it says -------------------------------------------------------------------------------- */

struct output {
	HANDLE from, thread;
	CRITICAL_SECTION lock;
	CONDITION_VARIABLE more;
	char text[TEXT_MAX];
	size_t len, taken;
	bool over;
};

static DWORD WINAPI read_all(void *arg)
{
	struct output *o = arg;
	char buf[512];
	DWORD n;

	while (ReadFile(o->from, buf, sizeof(buf), &n, NULL) && n) {
		EnterCriticalSection(&o->lock);
		for (DWORD i = 0; i < n && o->len + 1 < TEXT_MAX; i++)
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

/* The rest of the next line that has @what in it; lines before it are passed over. Return: false at the end */
static bool wait_line(struct output *o, const char *what, char *rest, size_t size)
{
	bool found = false, waits = true;

	EnterCriticalSection(&o->lock);
	while (!found) {
		char *from = o->text + o->taken, *end = strchr(from, '\n'), *at;

		if (!end) {
			if (o->over || !waits)
				break;
			waits = SleepConditionVariableCS(&o->more, &o->lock, PATIENCE_MS);
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

struct run {
	struct wdd_host *host;
	struct wdd_stack *stack;
	HANDLE process, input;
	struct output out, err;
	SOCKET server;
	uint16_t server_port;
	char policy[MAX_PATH + 32], events[MAX_PATH + 32];
	bool prove; /* whether the proof is to succeed */
	struct wdd_socket *probe;
	HANDLE prober;
	uint16_t next_port;
};

static void output_begin(struct output *o, HANDLE *ret_write)
{
	SECURITY_ATTRIBUTES inherit = { sizeof(inherit), NULL, TRUE };

	assert_true(CreatePipe(&o->from, ret_write, &inherit, 0));
	assert_true(SetHandleInformation(o->from, HANDLE_FLAG_INHERIT, 0));
	InitializeCriticalSection(&o->lock);
	InitializeConditionVariable(&o->more);
	o->thread = CreateThread(NULL, 0, read_all, o, 0, NULL);
	assert_non_null(o->thread);
}

static void output_end(struct output *o)
{
	assert_int_equal(WaitForSingleObject(o->thread, PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(o->thread);
	CloseHandle(o->from);
	DeleteCriticalSection(&o->lock);
}

static struct wdd_end client_end(struct run *r)
{
	return wdd_end_of("10.0.0.5", r->next_port++);
}

static DWORD WINAPI send_byte(void *arg)
{
	(void)wdd_tcp_send(arg, "x", 1);
	return 0;
}

/* moonfence wants to see a connection of its helper: the machine makes it. */
static void answer_probe(struct run *r)
{
	char rest[128], ip[64];
	unsigned pid, port;

	if (!wait_line(&r->err, "probe: a connection of process ", rest, sizeof(rest)))
		fail_msg("no probe: %s", r->err.text);
	assert_int_equal(sscanf(rest, "%u to %63[0-9.]:%u", &pid, ip, &port), 3);
	if (!r->prove)
		return;
	r->probe =
		wdd_tcp_connect(r->stack, pid, client_end(r), wdd_end_of(ip, (uint16_t)port), true);
	assert_non_null(r->probe);
	/* What acknowledges it may come after the proof has ended, when nobody carries packets yet: not awaited here. */
	r->prober = CreateThread(NULL, 0, send_byte, r->probe, 0, NULL);
	assert_non_null(r->prober);
}

static void write_policy(struct run *r)
{
	char dir[MAX_PATH];
	FILE *f;

	assert_true(GetTempPathA(sizeof(dir), dir) > 0);
	for (char *p = dir; *p; p++)
		*p = *p == '\\' ? '/' : *p;
	snprintf(r->policy, sizeof(r->policy), "%smf-run-%lu.lua", dir, GetCurrentProcessId());
	snprintf(r->events, sizeof(r->events), "%smf-run-%lu.jsonl", dir, GetCurrentProcessId());
	DeleteFileA(r->events);
	f = fopen(r->policy, "w");
	assert_non_null(f);
	fprintf(f,
		"return {\n"
		"  name = \"run\",\n"
		"  connect = function(c)\n"
		"    if c.port == 80 then return redirect { to = \"127.0.0.1:%u\" } end\n"
		"    if c.port == 81 and c.process.name == \"%s\" then\n"
		"      return redirect { to = \"127.0.0.1:%u\" }\n"
		"    end\n"
		"    return deny \"not in this test\"\n"
		"  end,\n"
		"  dns = function(d)\n"
		"    if d:is \"known.example\" then return resolve { \"192.0.2.77\" } end\n"
		"    return deny \"unknown\"\n"
		"  end,\n"
		"}\n",
		r->server_port, strrchr(self, '\\') + 1, r->server_port);
	fclose(f);
}

static void start_server(struct run *r)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int len = sizeof(sa);

	r->server = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(r->server != INVALID_SOCKET);
	assert_int_equal(bind(r->server, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(r->server, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(listen(r->server, 8), 0);
	r->server_port = ntohs(sa.sin_port);
}

static void start_moonfence(struct run *r, const char *more)
{
	SECURITY_ATTRIBUTES inherit = { sizeof(inherit), NULL, TRUE };
	STARTUPINFOA si = { .cb = sizeof(si), .dwFlags = STARTF_USESTDHANDLES };
	PROCESS_INFORMATION pi;
	char line[4096];
	HANDLE in;

	assert_true(CreatePipe(&in, &r->input, &inherit, 0));
	assert_true(SetHandleInformation(r->input, HANDLE_FLAG_INHERIT, 0));
	output_begin(&r->out, &si.hStdOutput);
	output_begin(&r->err, &si.hStdError);
	si.hStdInput = in;
	snprintf(line, sizeof(line),
		 "\"%s\" run -v --no-watch --trust-targets --dns 127.0.0.1:9 --policy \"%s\" "
		 "--events "
		 "\"%s\" %s -- \"%s\" --part client",
		 moonfence, r->policy, r->events, more, self);
	assert_true(CreateProcessA(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &si, &pi));
	CloseHandle(pi.hThread);
	CloseHandle(in);
	CloseHandle(si.hStdOutput);
	CloseHandle(si.hStdError);
	r->process = pi.hProcess;
}

static void run_begin(struct run *r, bool prove)
{
	struct wdd_ip local = wdd_ip_of("10.0.0.5"), local6 = wdd_ip_of("2001:db8::5");

	memset(r, 0, sizeof(*r));
	r->prove = prove;
	// Not the last one's: this host remembers connections for a while.
	r->next_port = first_port;
	first_port += 100;
	r->host = wdd_host_start();
	assert_non_null(r->host);
	wdd_host_add_local(r->host, &local);
	wdd_host_add_local(r->host, &local6);
	r->stack = wdd_stack_start(r->host, 7, 1);
	assert_non_null(r->stack);
	start_server(r);
	write_policy(r);
	start_moonfence(r, "");
	answer_probe(r);
}

static void say(struct run *r, const char *line)
{
	DWORD n;

	assert_true(WriteFile(r->input, line, (DWORD)strlen(line), &n, NULL));
}

static uint32_t wait_pid(struct run *r, const char *who)
{
	char rest[64];

	if (!wait_line(&r->out, who, rest, sizeof(rest)))
		fail_msg("no %s: %s", who, r->err.text);
	return (uint32_t)strtoul(rest, NULL, 10);
}

static unsigned wait_exit(struct run *r)
{
	DWORD code = 12345;

	assert_int_equal(WaitForSingleObject(r->process, PATIENCE_MS), WAIT_OBJECT_0);
	assert_true(GetExitCodeProcess(r->process, &code));
	return code;
}

static void run_end(struct run *r)
{
	CloseHandle(r->input);
	output_end(&r->out);
	output_end(&r->err);
	CloseHandle(r->process);
	closesocket(r->server);
	if (r->probe) {
		WaitForSingleObject(r->prober, INFINITE);
		CloseHandle(r->prober);
		wdd_socket_close(r->probe);
	}
	wdd_stack_stop(r->stack);
	wdd_host_stop(r->host);
	DeleteFileA(r->policy);
	DeleteFileA(r->events);
}

/* ---- what happens ---------------------------------------------------------------------------------------------- */

/* One request and its answer, from the program's end to the real server. */
static void exchange(struct run *r, struct wdd_socket *s)
{
	static const char ask[] = "GET / HTTP/1.0\r\nHost: server.example\r\n\r\n",
			  answer[] = "well done";
	char buf[256];
	size_t len = 0;
	SOCKET c;
	int n;

	assert_true(wdd_tcp_send(s, ask, sizeof(ask) - 1));
	c = accept(r->server, NULL, NULL);
	assert_true(c != INVALID_SOCKET);
	while (len < sizeof(ask) - 1) {
		n = recv(c, buf + len, (int)(sizeof(buf) - len), 0);
		assert_true(n > 0);
		len += (size_t)n;
	}
	assert_memory_equal(buf, ask, sizeof(ask) - 1);
	assert_int_equal(send(c, answer, sizeof(answer), 0), sizeof(answer));
	for (len = 0; len < sizeof(answer); len += (size_t)n) {
		n = wdd_tcp_recv(s, buf + len, sizeof(buf) - len);
		assert_true(n > 0);
	}
	assert_memory_equal(buf, answer, sizeof(answer));
	closesocket(c);
}

static void read_events(struct run *r, char *buf, size_t size)
{
	FILE *f = fopen(r->events, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
}

static void a_session_from_its_proof_to_its_end(void **state)
{
	/* A query for known.example, type A. */
	static const uint8_t query[] = { 0x12, 0x34, 1,	  0,   0,   1,	 0,   0, 0,   0,   0,
					 0,    5,    'k', 'n', 'o', 'w', 'n', 7, 'e', 'x', 'a',
					 'm',  'p',  'l', 'e', 0,   0,	 1,   0, 1 };
	static char events[TEXT_MAX];
	struct wdd_output *out;
	struct wdd_socket *s;
	struct wdd_faults faults;
	struct wdd_read got;
	uint32_t pid, child;
	uint8_t answer[512], syn[128];
	struct run r;
	int n;

	(void)state;
	run_begin(&r, true);
	pid = wait_pid(&r, "client ");
	assert_true(pid > 0);

	/* Redirected; the process's event before its packet, and after it. */
	for (int first = 0; first < 2; first++) {
		s = wdd_tcp_connect(r.stack, pid, client_end(&r), wdd_end_of(SERVER, 80),
				    first == 0);
		assert_non_null(s);
		exchange(&r, s);
		wdd_socket_close(s);
	}
	/* By what is known of the process. */
	s = wdd_tcp_connect(r.stack, pid, client_end(&r), wdd_end_of(SERVER, 81), true);
	assert_non_null(s);
	exchange(&r, s);
	wdd_socket_close(s);

	/* Denied: a reset, and no byte left the machine. */
	faults = wdd_stack_faults(r.stack);
	assert_null(wdd_tcp_connect(r.stack, pid, client_end(&r), wdd_end_of(SERVER, 82), true));
	assert_int_equal(wdd_stack_faults(r.stack).resets, faults.resets + 1);

	/* IPv6 is refused, so that programs try IPv4. */
	assert_null(wdd_tcp_connect(r.stack, pid, wdd_end_of("2001:db8::5", r.next_port++),
				    wdd_end_of("2001:db8::7", 80), true));
	assert_int_equal(wdd_stack_faults(r.stack).resets, faults.resets + 2);
	assert_int_equal(wdd_stack_faults(r.stack).escaped, 0);

	/* A name, by a datagram. */
	s = wdd_udp_open(r.stack, pid, client_end(&r), wdd_end_of("192.0.2.53", 53));
	assert_non_null(s);
	wdd_udp_send(s, query, sizeof(query));
	n = wdd_udp_recv(s, answer, sizeof(answer));
	assert_true(n > (int)sizeof(query));
	assert_memory_equal(answer, query, 2);
	assert_int_equal(answer[3] & 15, 0);
	assert_memory_equal(answer + n - 4, "\xc0\x00\x02\x4d", 4);
	wdd_socket_close(s);

	/* Its child is of the session from its first packet, and no longer when it has ended. */
	say(&r, "child\n");
	child = wait_pid(&r, "child ");
	s = wdd_tcp_connect(r.stack, child, client_end(&r), wdd_end_of(SERVER, 80), true);
	assert_non_null(s);
	exchange(&r, s);
	wdd_socket_close(s);
	say(&r, "exit 0\n");
	assert_int_equal(wait_pid(&r, "over "), child);

	/* Somebody else's traffic goes where it went. */
	{
		struct wdd_end from = client_end(&r), to = wdd_end_of(SERVER, 80);
		struct wdd_socket_event ev = { .event = WDD_CONNECT,
					       .pid = STRANGER,
					       .local = from.ip,
					       .remote = to.ip,
					       .local_port = from.port,
					       .remote_port = to.port,
					       .proto = 6,
					       .outbound = true };
		uint32_t len = wdd_craft_tcp(syn, from, to, WDD_SYN, 77, 0, NULL, 0);

		assert_true(wdd_host_event(r.host, &ev));
		assert_true(wdd_host_play(
			r.host, &(struct wdd_play){ .outbound = true, .if_idx = 7 }, syn, len));
		out = wdd_stack_take_escaped(r.stack);
		assert_non_null(out);
		assert_true(wdd_read_packet(&got, out->bytes, out->len));
		assert_true(wdd_end_eq(&got.src, &from) && wdd_end_eq(&got.dst, &to));
		free(out);
	}

	say(&r, "exit 7\n");
	assert_int_equal(wait_exit(&r), 7);
	faults = wdd_stack_faults(r.stack);
	assert_int_equal(faults.gaps + faults.bad_acks + faults.bad_sums, 0);
	assert_int_equal(faults.escaped, 1);
	/* Nothing stays open at the driver. */
	assert_int_equal(wdd_host_counts(r.host).opened, wdd_host_counts(r.host).closed);
	read_events(&r, events, sizeof(events));
	assert_non_null(strstr(events, "\"windivert\""));
	assert_non_null(strstr(events, "session_end"));
	assert_non_null(strstr(events, "not in this test"));
	run_end(&r);
}

static void without_a_proof_nothing_starts(void **state)
{
	char rest[512];
	struct run r;

	(void)state;
	run_begin(&r, false);
	assert_true(wait_line(&r.err, "could not be proven", rest, sizeof(rest)));
	assert_non_null(strstr(rest, "the command is not started"));
	assert_int_equal(wait_exit(&r), 125);
	assert_false(wait_line(&r.out, "client ", rest, sizeof(rest)));
	run_end(&r);
}

static void killing_moonfence_ends_the_command(void **state)
{
	struct run r;
	HANDLE command;

	(void)state;
	run_begin(&r, true);
	command = OpenProcess(SYNCHRONIZE, FALSE, wait_pid(&r, "client "));
	assert_non_null(command);
	assert_int_equal(WaitForSingleObject(command, 0), WAIT_TIMEOUT);
	assert_true(TerminateProcess(r.process, 9));
	assert_int_equal(WaitForSingleObject(command, PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(command);
	run_end(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_from_its_proof_to_its_end),
		cmocka_unit_test(without_a_proof_nothing_starts),
		cmocka_unit_test(killing_moonfence_ends_the_command),
	};
	WSADATA wsa;

	if (!GetModuleFileNameA(NULL, self, sizeof(self)) || argc < 2 || WSAStartup(0x0202, &wsa))
		return 1;
	if (argc == 3 && strcmp(argv[1], "--part") == 0)
		return client(argv[2]);
	snprintf(moonfence, sizeof(moonfence), "%s", argv[1]);
	for (char *p = moonfence; *p; p++)
		*p = *p == '/' ? '\\' : *p;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
