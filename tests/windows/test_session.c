/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_session.c - tests/scenarios in a session of moonfence.exe: what programs see is what they see on Linux
 *
 *	test_session PATH-OF-MOONFENCE
 *
 * The actions are played in the name of the session's command by the double's stack (run_scene.h); the servers are real.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_scene.h"

#include <ws2tcpip.h>

#include <cmocka.h>

#define SCENARIOS MF_SOURCE_DIR "/tests/scenarios/"
#define RESOLVER  "192.0.2.53"
#define GIVE_MAX  (1u << 20)

/* ---- servers --------------------------------------------------------------------------------------------------- */

struct server {
	char letter;
	int type;
	SOCKET socket;
	uint16_t port;
	HANDLE thread;
};

static void answer_tcp(struct server *s, SOCKET c)
{
	static char bytes[GIVE_MAX];
	char line[256];
	size_t len = 0;
	int n;

	while (len + 1 < sizeof(line) && !memchr(line, '\n', len)) {
		n = recv(c, line + len, (int)(sizeof(line) - 1 - len), 0);
		if (n <= 0)
			return;
		len += (size_t)n;
	}
	line[len] = '\0';
	if (strncmp(line, "give ", 5) == 0) {
		size_t cnt = strtoul(line + 5, NULL, 10);

		for (size_t i = 0; i < cnt && i < GIVE_MAX; i++)
			bytes[i] = (char)(i % 251);
		send(c, (char[]){ s->letter, '\n' }, 2, 0);
		for (size_t at = 0; at < cnt && at < GIVE_MAX; at += (size_t)n) {
			n = send(c, bytes + at, (int)(cnt - at), 0);
			if (n <= 0)
				return;
		}
		return;
	}
	send(c, (char[]){ s->letter, ' ' }, 2, 0);
	send(c, line, (int)len, 0);
}

static DWORD WINAPI serve(void *arg)
{
	struct server *s = arg;
	char buf[512];

	for (;;) {
		struct sockaddr_in from;
		int len = sizeof(from), n;

		if (s->type == SOCK_STREAM) {
			SOCKET c = accept(s->socket, NULL, NULL);

			if (c == INVALID_SOCKET)
				return 0;
			answer_tcp(s, c);
			shutdown(c, SD_SEND);
			/* Until the other end is done, or what is still on its way would be lost to a reset. */
			while (recv(c, buf, sizeof(buf), 0) > 0)
				;
			closesocket(c);
			continue;
		}
		buf[0] = s->letter;
		buf[1] = ' ';
		n = recvfrom(s->socket, buf + 2, sizeof(buf) - 2, 0, (struct sockaddr *)&from,
			     &len);
		if (n >= 0)
			sendto(s->socket, buf, n + 2, 0, (struct sockaddr *)&from, len);
		else if (WSAGetLastError() != WSAECONNRESET && WSAGetLastError() != WSAEMSGSIZE)
			return 0;
	}
}

static void start_server(struct server *s)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int len = sizeof(sa);

	s->socket = socket(AF_INET, s->type, 0);
	assert_true(s->socket != INVALID_SOCKET);
	assert_int_equal(bind(s->socket, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(s->socket, (struct sockaddr *)&sa, &len), 0);
	if (s->type == SOCK_STREAM)
		assert_int_equal(listen(s->socket, 8), 0);
	s->port = ntohs(sa.sin_port);
	s->thread = CreateThread(NULL, 0, serve, s, 0, NULL);
	assert_non_null(s->thread);
}

static void stop_server(struct server *s)
{
	closesocket(s->socket);
	assert_int_equal(WaitForSingleObject(s->thread, RUN_PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(s->thread);
}

/* ---- the program's actions ------------------------------------------------------------------------------------- */

struct player {
	struct run run;
	uint32_t pid;
	struct server servers[3];
};

static struct wdd_end end_for(struct player *p, const char *address)
{
	return strchr(address, ':') ? run_client6(&p->run) : run_client4(&p->run);
}

/* What a connection answers to @line; Return: its length, -1 refused, -2 nothing came */
static int talk(struct player *p, const char *address, const char *port, const void *line,
		size_t len, char *buf, size_t room)
{
	unsigned before = wdd_stack_faults(p->run.stack).resets;
	struct wdd_socket *s = wdd_tcp_connect(p->run.stack, p->pid, end_for(p, address),
					       wdd_end_of(address, (uint16_t)atoi(port)), true);
	size_t got = 0;
	int n = -1;

	if (!s) /* what is refused is reset */
		return wdd_stack_faults(p->run.stack).resets > before ? -1 : -2;
	if (wdd_tcp_send(s, line, len))
		while ((n = wdd_tcp_recv(s, buf + got, room - got)) > 0) {
			got += (size_t)n;
			assert_true(got < room);
		}
	wdd_socket_close(s);
	return n < 0 ? n : (int)got;
}

static void show_failure(int n, char *ret, size_t size)
{
	snprintf(ret, size, n == -1 ? "refused" : "nothing");
}

static void act_tcp(struct player *p, char **arg, char *ret, size_t size)
{
	char line[128];
	int n;

	snprintf(line, sizeof(line), "%s\n", arg[3]);
	n = talk(p, arg[1], arg[2], line, strlen(line), ret, size - 1);
	if (n < 0) {
		show_failure(n, ret, size);
		return;
	}
	while (n > 0 && ret[n - 1] == '\n')
		n--;
	ret[n] = '\0';
}

static void act_give(struct player *p, char **arg, char *ret, size_t size)
{
	static char buf[GIVE_MAX + 16];
	bool damaged = false;
	char line[64];
	int n;

	snprintf(line, sizeof(line), "give %s\n", arg[3]);
	n = talk(p, arg[1], arg[2], line, strlen(line), buf, sizeof(buf));
	if (n < 2) {
		show_failure(n, ret, size);
		return;
	}
	for (int i = 0; i < n - 2; i++)
		damaged |= buf[i + 2] != (char)(i % 251);
	snprintf(ret, size, damaged ? "%c damaged" : "%c %d", buf[0], n - 2);
}

static void act_udp(struct player *p, char **arg, char *ret, size_t size)
{
	struct wdd_socket *s = wdd_udp_open(p->run.stack, p->pid, end_for(p, arg[1]),
					    wdd_end_of(arg[1], (uint16_t)atoi(arg[2])));
	int n;

	assert_non_null(s);
	wdd_udp_send(s, arg[3], strlen(arg[3]));
	n = wdd_udp_recv(s, ret, size - 1);
	if (n >= 0)
		ret[n] = '\0';
	else
		show_failure(n, ret, size);
	wdd_socket_close(s);
}

/* A query, after the two bytes of its length. Return: the length of all */
static size_t put_query(uint8_t *buf, const char *type, const char *name)
{
	static const uint8_t head[12] = { 0x12, 0x34, 1, 0, 0, 1 };
	uint8_t *at = buf + 2;

	memcpy(at, head, sizeof(head));
	at += sizeof(head);
	while (*name) {
		size_t len = strcspn(name, ".");

		*at++ = (uint8_t)len;
		memcpy(at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	*at++ = 0;
	*at++ = 0;
	*at++ = strcmp(type, "AAAA") == 0 ? 28 : 1;
	*at++ = 0;
	*at++ = 1;
	buf[0] = 0;
	buf[1] = (uint8_t)(at - buf - 2);
	return (size_t)(at - buf);
}

static size_t skip_name(const uint8_t *msg, size_t at)
{
	while (msg[at] && msg[at] < 0xc0)
		at += 1u + msg[at];
	return at + (msg[at] ? 2 : 1);
}

/* Rcode and addresses, as text. */
static void show_answers(const uint8_t *msg, size_t len, char *ret, size_t size)
{
	static const char *const rcodes[16] = {
		[0] = "NOERROR", [2] = "SERVFAIL", [3] = "NXDOMAIN", [5] = "REFUSED"
	};
	size_t at = skip_name(msg, 12) + 4, n;

	assert_true(len > 12);
	n = (size_t)snprintf(ret, size, "%s", rcodes[msg[3] & 15] ? rcodes[msg[3] & 15] : "?");
	for (unsigned i = 0; i < (unsigned)(msg[6] << 8 | msg[7]); i++) {
		uint8_t type;
		char text[64];

		at = skip_name(msg, at);
		assert_true(at + 10 <= len);
		type = msg[at + 1];
		if ((type == 1 || type == 28) &&
		    inet_ntop(type == 1 ? AF_INET : AF_INET6, msg + at + 10, text, sizeof(text)))
			n += (size_t)snprintf(ret + n, size - n, " %s", text);
		at += 10u + (size_t)(msg[at + 8] << 8 | msg[at + 9]);
		assert_true(at <= len);
	}
}

static void act_dns(struct player *p, char **arg, char *ret, size_t size)
{
	uint8_t query[300], answer[2048];
	size_t len = put_query(query, arg[1], arg[2]);
	struct wdd_socket *s;
	int n;

	if (strcmp(arg[0], "dnstcp") == 0) {
		n = talk(p, RESOLVER, "53", query, len, (char *)answer, sizeof(answer));
		if (n < 0)
			show_failure(n, ret, size);
		else
			show_answers(answer + 2, (size_t)n - 2, ret, size);
		return;
	}
	s = wdd_udp_open(p->run.stack, p->pid, run_client4(&p->run), wdd_end_of(RESOLVER, 53));
	assert_non_null(s);
	wdd_udp_send(s, query + 2, len - 2);
	n = wdd_udp_recv(s, answer, sizeof(answer));
	if (n < 0)
		show_failure(n, ret, size);
	else
		show_answers(answer, (size_t)n, ret, size);
	wdd_socket_close(s);
}

static void write_policy(struct player *p, const char *generation);

static void act(struct player *p, char **arg, char *ret, size_t size)
{
	static const struct {
		const char *name;
		void (*fn)(struct player *p, char **arg, char *ret, size_t size);
	} actions[] = { { "tcp", act_tcp },
			{ "give", act_give },
			{ "udp", act_udp },
			{ "dns", act_dns },
			{ "dnstcp", act_dns } };

	if (strcmp(arg[0], "child") == 0) {
		uint32_t parent = p->pid;

		run_say(&p->run, "child\n");
		p->pid = run_wait_pid(&p->run, "child ");
		act(p, arg + 1, ret, size);
		run_say(&p->run, "exit 0\n");
		assert_int_equal(run_wait_pid(&p->run, "over "), p->pid);
		p->pid = parent;
		return;
	}
	if (strcmp(arg[0], "reload") == 0) {
		write_policy(p, "second");
		snprintf(ret, size, "ok");
		return;
	}
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (strcmp(arg[0], actions[i].name) == 0) {
			actions[i].fn(p, arg, ret, size);
			return;
		}
	fail_msg("unknown action %s", arg[0]);
}

/* ---- the list -------------------------------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
	char *text = calloc(1, RUN_TEXT_MAX);
	FILE *f = fopen(path, "rb");

	assert_non_null(text);
	if (f) {
		text[fread(text, 1, RUN_TEXT_MAX - 1, f)] = '\0';
		fclose(f);
	}
	return text;
}

static char *policy_text(struct player *p, const char *generation)
{
	char *lua = read_file(SCENARIOS "session.lua"), *text = malloc(RUN_TEXT_MAX);
	char self[MAX_PATH];

	assert_non_null(text);
	assert_true(*lua);
	assert_true(GetModuleFileNameA(NULL, self, sizeof(self)) > 0);
	snprintf(text, RUN_TEXT_MAX,
		 "local A, B, U, client, generation = \"127.0.0.1:%u\", \"127.0.0.1:%u\", "
		 "\"127.0.0.1:%u\", \"%s\", \"%s\"\n%s",
		 p->servers[0].port, p->servers[1].port, p->servers[2].port,
		 strrchr(self, '\\') + 1, generation, lua);
	free(lua);
	return text;
}

static void write_policy(struct player *p, const char *generation)
{
	char *text = policy_text(p, generation);

	run_write_policy(&p->run, text);
	free(text);
}

/* Is there, after the first @seen bytes of events, one of @type with @decision in it? */
static bool has_event(const char *events, size_t seen, const char *type, const char *decision)
{
	char a[80], b[80];

	snprintf(a, sizeof(a), "\"type\":\"%s\"", type);
	snprintf(b, sizeof(b), "\"decision\":\"%s\"", decision);
	for (const char *line = events + seen; *line;) {
		const char *end = strchr(line, '\n'), *at;

		if (!end)
			break;
		at = strstr(line, a);
		if (at && at < end && (!*decision || ((at = strstr(line, b)) && at < end)))
			return true;
		line = end + 1;
	}
	return false;
}

static void wait_for_event(struct player *p, size_t seen, char *event, unsigned number)
{
	char *decision = strchr(event, ' ');

	if (decision)
		*decision++ = '\0';
	for (unsigned tries = 0;; tries++) {
		char *events = read_file(p->run.events);
		bool found = strlen(events) > seen &&
			     has_event(events, seen, event, decision ? decision : "");

		free(events);
		if (found)
			return;
		if (tries == RUN_PATIENCE_MS / 10)
			fail_msg("scenarios.txt:%u: no %s", number, event);
		Sleep(10);
	}
}

static void play(struct player *p, unsigned number, char *line)
{
	char *want = strstr(line, " => "), *event, *arg[8] = { 0 }, got[1024], *events;
	size_t cnt = 0, seen;

	if (!want)
		fail_msg("scenarios.txt:%u: no result", number);
	*want = '\0';
	want += 4;
	event = strstr(want, " ; ");
	if (event) {
		*event = '\0';
		event += 3;
	}
	for (char *word = strtok(line, " "); word && cnt < 7; word = strtok(NULL, " "))
		arg[cnt++] = word;
	events = read_file(p->run.events);
	seen = strlen(events);
	free(events);
	act(p, arg, got, sizeof(got));
	if (strcmp(got, want) != 0)
		fail_msg("scenarios.txt:%u: %s: %s instead of %s\n%s\n%s", number, arg[0], got,
			 want, p->run.err.text, read_file(p->run.events) + seen);
	if (event)
		wait_for_event(p, seen, event, number);
}

static void programs_see_the_same_as_elsewhere(void **state)
{
	struct player *p = calloc(1, sizeof(*p));
	char *list = read_file(SCENARIOS "scenarios.txt"), *next = list, *policy;
	unsigned number = 0, played = 0;
	struct wdd_faults faults;

	(void)state;
	assert_non_null(p);
	p->servers[0] = (struct server){ .letter = 'A', .type = SOCK_STREAM };
	p->servers[1] = (struct server){ .letter = 'B', .type = SOCK_STREAM };
	p->servers[2] = (struct server){ .letter = 'U', .type = SOCK_DGRAM };
	for (unsigned i = 0; i < 3; i++)
		start_server(&p->servers[i]);
	policy = policy_text(p, "first");
	run_begin(&p->run, &(struct run_how){ .policy = policy, .options = "" });
	free(policy);
	p->pid = run_wait_pid(&p->run, "client ");
	while (*next) {
		char *line = next;

		next = strchr(line, '\n');
		next = next ? next : line + strlen(line);
		if (*next)
			*next++ = '\0';
		number++;
		if (*line && *line != '#') {
			play(p, number, line);
			played++;
		}
	}
	assert_true(played > 20);
	run_tell_end(&p->run, 0);
	assert_int_equal(run_wait_exit(&p->run), 0);
	faults = wdd_stack_faults(p->run.stack);
	assert_int_equal(faults.gaps + faults.bad_acks + faults.bad_sums + p->run.escaped, 0);
	run_end(&p->run);
	for (unsigned i = 0; i < 3; i++)
		stop_server(&p->servers[i]);
	free(list);
	free(p);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_see_the_same_as_elsewhere),
	};
	int status;

	if (run_main(argc, argv, &status))
		return status;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
