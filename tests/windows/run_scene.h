/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_scene.h - moonfence.exe run as a whole: a real command in a real job, its traffic on the double's machine
 *
 * The test program is the script, and the command that moonfence starts ("--part client"). The command opens no connection
 * itself: what it would do, the double's stack does in the name of its process, and what is redirected arrives at
 * moonfence's real listeners through real loopback sockets. The proof that moonfence asks for before it starts anything is
 * answered in the same way. Runs where packets to the world vanish (in_netns.sh).
 */
#ifndef RUN_SCENE_H
#define RUN_SCENE_H

#include <winsock2.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <windows.h>

#include "windivert_double/stack.h"

#define RUN_PATIENCE_MS 60000
#define RUN_TEXT_MAX	65536

struct run_output {
	HANDLE from, thread;
	CRITICAL_SECTION lock;
	CONDITION_VARIABLE more;
	char text[RUN_TEXT_MAX];
	size_t len, taken;
	bool over;
};

/* Real servers. A policy finds their ports in its locals tcp4, tcp6, far6 and udp6. */
enum run_server {
	RUN_TCP4, /* 127.0.0.1 */
	RUN_TCP6, /* ::1 */
	RUN_FAR6, /* RUN_FAR_ADDR */
	RUN_UDP6, /* ::1 */
	RUN_SERVER_NUM
};
#define RUN_FAR_ADDR "2001:db8::7"

struct run_how {
	const char *
		policy; /* Lua, after locals with the servers' ports and the command's name (self) */
	const char *options;   /* of moonfence run; NULL: none */
	bool refuse4, refuse6; /* the proof's connection does not arrive */
	bool console;	       /* in one of its own, so that it can be interrupted */
};

struct run {
	struct wdd_host *host;
	struct wdd_stack *stack;
	HANDLE process, input;
	struct run_output out, err;
	SOCKET servers[RUN_SERVER_NUM];
	uint16_t ports[RUN_SERVER_NUM];
	char policy[MAX_PATH + 32], events[MAX_PATH + 32];
	struct wdd_socket *probes[2];
	HANDLE probers[2];
	unsigned probes_cnt;
	uint16_t next_port;
	unsigned escaped; /* packets that had left the machine when the command was told to end */
	HPCON console;
	HANDLE console_ends[4];
	void *console_attr;
};

/**
 * run_main() - What a test program's main() does first
 * Return: true: it was the command, and ends with *ret_status
 */
bool run_main(int argc, char **argv, int *ret_status);

/** run_begin() - Servers, policy, moonfence; until the proof is over */
void run_begin(struct run *r, const struct run_how *how);
void run_end(struct run *r);

/** run_program() - moonfence.exe */
const char *run_program(void);
/** run_call() - Another moonfence.exe, from outside of the session, to its end; @out: what it printed. Return: its exit status */
unsigned run_call(const char *arguments, char *out, size_t size);

/** run_write_policy() - In place of the one there is, as editors do */
void run_write_policy(struct run *r, const char *text);

/** run_wait_line() - The rest of the next line that has @what in it; lines before it are passed over. Return: false at the end */
bool run_wait_line(struct run_output *o, const char *what, char *rest, size_t size);
/** run_say() - To the command */
void run_say(struct run *r, const char *line);
/** run_tell_end() - To the command: to end with @status. What leaves the machine from now on has no fence around it */
void run_tell_end(struct run *r, unsigned status);
/** run_wait_pid() - "@who PID" of the command */
uint32_t run_wait_pid(struct run *r, const char *who);
unsigned run_wait_exit(struct run *r);
/** run_count_events() - How often @text is in the file of events */
unsigned run_count_events(struct run *r, const char *text);
/** run_wait_event() - Until the file of events holds @text; fails the test if it never does */
void run_wait_event(struct run *r, const char *text);

/** run_client4(), run_client6() - An end that no flow had yet */
struct wdd_end run_client4(struct run *r);
struct wdd_end run_client6(struct run *r);
/** run_exchange() - One request and its answer, from the program's end to a real TCP server */
void run_exchange(struct run *r, struct wdd_socket *s, enum run_server server);
/** run_exchange_words() - The same with other words, less than 256 bytes: HTTP's name a host, which may be another question */
void run_exchange_words(struct run *r, struct wdd_socket *s, enum run_server server,
			const char *words);
/** run_fetch() - A connection and run_exchange() */
void run_fetch(struct run *r, uint32_t pid, struct wdd_end from, struct wdd_end to,
	       bool event_first, enum run_server server);
/** run_refused() - A connection that is refused by a reset, of which nothing leaves the machine */
void run_refused(struct run *r, uint32_t pid, struct wdd_end from, struct wdd_end to);
/** run_stranger_passes() - A SYN of somebody else goes to the network as it is */
void run_stranger_passes(struct run *r);

#endif
