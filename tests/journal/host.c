/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c - writes events to a journal as it is told on its standard input, a line a command:
 *
 *	send N    so many events, numbered from 1 over the whole run ("count"), then "sent TOTAL"
 *	storm     events without end; the file COUNT holds how many were sent
 *	flush     "flushed" when all is written
 *	rest      nothing (a command that does nothing shows that the program is there): "rested"
 *
 * SIGHUP reopens. The end of the input ends it, with all written: "over".
 *
 *	journal_host FILE [WHEN [COUNT]]
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/journal/journal.h"

static struct mf_events *events;
static uint64_t sent;
static _Atomic uint64_t *shown;
static atomic_bool ending;

static void log_line(void *ctx, enum mf_log_level level, const char *text)
{
	(void)ctx;
	if (level <= MF_LOG_WARNING)
		fprintf(stderr, "%s\n", text);
}

static void send_one(void)
{
	struct mf_event ev;

	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_NET_CLOSE,
						     .session_id = "journal",
						     .domain = "packages.example" });
	mf_event_add_int(&ev, MF_EVF_BYTES_SENT, (int64_t)++sent);
	// Before and after: who looks when this is killed knows it to one event.
	if (mf_events_send(events, &ev) == 0 && shown)
		atomic_store_explicit(shown, sent, memory_order_relaxed);
}

static void *reopen_on_hup(void *arg)
{
	sigset_t *hup = arg;
	int signal;

	while (sigwait(hup, &signal) == 0 && !atomic_load(&ending)) {
		mf_events_reopen(events);
		mf_events_flush(events, 60000);
		puts("reopened");
	}
	return NULL;
}

static void obey(const char *line)
{
	unsigned long cnt;

	if (sscanf(line, "send %lu", &cnt) == 1) {
		while (cnt--)
			send_one();
		printf("sent %llu\n", (unsigned long long)sent);
	} else if (strncmp(line, "storm", 5) == 0) {
		puts("storming");
		for (;;)
			send_one();
	} else if (strncmp(line, "flush", 5) == 0) {
		puts(mf_events_flush(events, 60000) ? "not flushed" : "flushed");
	} else {
		puts("rested");
	}
}

static void show(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	void *page;

	if (fd < 0 || ftruncate(fd, sizeof(*shown)) < 0)
		exit(2);
	page = mmap(NULL, sizeof(*shown), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		exit(2);
	shown = page;
}

int main(int argc, char **argv)
{
	static const struct mf_log log = { log_line, NULL };
	// Senders wait: what is counted as missing is what the kill took.
	struct mf_events_options o = { .log = &log, .wait_ms = 60000 };
	struct mf_journal_options rotation = { 0 };
	struct mf_err err = { 0 };
	char line[128];
	pthread_t thread;
	sigset_t hup;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&hup);
	sigaddset(&hup, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &hup, NULL);
	if (argc < 2)
		return 2;
	if ((argc > 2 && argv[2][0] && mf_journal_parse(argv[2], &rotation, &err) < 0) ||
	    mf_events_new(&o, &events, &err) < 0 ||
	    mf_journal_add(events, argv[1], &rotation, &log, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	if (argc > 3)
		show(argv[3]);
	if (pthread_create(&thread, NULL, reopen_on_hup, &hup))
		return 2;
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	atomic_store(&ending, true);
	pthread_kill(thread, SIGHUP);
	pthread_join(thread, NULL);
	mf_events_free(events);
	puts("over");
	return 0;
}
