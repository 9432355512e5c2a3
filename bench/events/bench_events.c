/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_events.c - events made, queued and written to a file, until the last is there
 *
 *	bench_events moonfence|jansson FILE COUNT [WHEN]
 *
 * All of it runs on one core (the first that it may use): whoever makes the events, and the thread that writes them. Each
 * event is a net_connect with a decision, about 400 bytes. jansson: the same object built, dumped and written through
 * stdio, by one thread. The file is counted afterwards: every line must be there.
 */
#include <jansson.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/bench.h"
#include "core/journal/journal.h"

static const struct mf_decision decision = {
	.verdict = MF_ALLOW,
	.policy = "corp-egress",
	.rule = "network_rules[3] web",
	.generation = 3,
	.origin = MF_FROM_MEMO,
};

static void fill(struct mf_event *ev, uint64_t i)
{
	struct mf_endpoint to = { .addr = { .family = 4, .bytes = { 192, 0, 2, 10 } },
				  .port = 443 };

	mf_event_begin(ev, &(struct mf_event_head){ .type = MF_EV_NET_CLOSE,
						    .session_id = "s1",
						    .source = "session",
						    .pid = 4321,
						    .domain = "api.vendor.example",
						    .remote = &to,
						    .operation = "connect",
						    .decision = &decision });
	mf_event_add_int(ev, MF_EVF_BYTES_SENT, (int64_t)i);
	mf_event_add_int(ev, MF_EVF_BYTES_RECEIVED, 5120);
	mf_event_add_int(ev, MF_EVF_DURATION_MS, 812);
}

static void write_ours(const char *path, uint64_t cnt, const char *when)
{
	// A sender waits for room: nothing is dropped, however fast events come.
	struct mf_events_options o = { .queue_bytes = 4 << 20, .wait_ms = 60000 };
	struct mf_journal_options rotation = { 0 };
	struct mf_err err = { 0 };
	struct mf_events_stats s;
	struct mf_events *e;
	struct mf_event ev;

	if ((when && mf_journal_parse(when, &rotation, &err)) || mf_events_new(&o, &e, &err) ||
	    mf_journal_add(e, path, &rotation, NULL, &err))
		bench_die("bench_events", err.msg);
	for (uint64_t i = 1; i <= cnt; i++) {
		fill(&ev, i);
		mf_events_send(e, &ev);
	}
	mf_events_get_stats(e, &s);
	mf_events_free(e);
	if (s.sent != cnt || s.dropped || s.lost)
		bench_die("bench_events", "events were lost");
}

static void write_jansson(const char *path, uint64_t cnt)
{
	FILE *f = fopen(path, "a");
	char stamp[64], id[32];

	if (!f)
		bench_die("bench_events", "cannot open the file");
	for (uint64_t i = 1; i <= cnt; i++) {
		struct timespec ts;
		struct tm tm;
		size_t n;
		json_t *j;

		clock_gettime(CLOCK_REALTIME, &ts);
		gmtime_r(&ts.tv_sec, &tm);
		n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(stamp + n, sizeof(stamp) - n, ".%06ldZ", ts.tv_nsec / 1000);
		snprintf(id, sizeof(id), "9f2c11ab-%012llu", (unsigned long long)i);
		j = json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:{s:s,s:s,s:s,s:s,s:i,s:s},s:{"
			      "s:I,s:i,s:i}}",
			      "timestamp", stamp, "id", id, "type", "net_close", "session_id", "s1",
			      "source", "session", "pid", 4321, "domain", "api.vendor.example",
			      "remote", "api.vendor.example:443", "operation", "connect", "policy",
			      "decision", "allow", "effective_decision", "allow", "rule",
			      "network_rules[3] web", "name", "corp-egress", "generation", 3,
			      "origin", "memo", "fields", "bytes_sent", (json_int_t)i,
			      "bytes_received", 5120, "duration_ms", 812);
		if (!j || json_dumpf(j, f, JSON_COMPACT) || fputc('\n', f) == EOF)
			bench_die("bench_events", "jansson failed");
		json_decref(j);
	}
	if (fclose(f))
		bench_die("bench_events", "cannot write");
}

static double processor_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double wall_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t cnt = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	cpu_set_t may, one;
	double wall, cpu;
	int core = 0;

	if (!cnt || (strcmp(argv[1], "moonfence") != 0 && strcmp(argv[1], "jansson") != 0)) {
		fprintf(stderr, "usage: bench_events moonfence|jansson FILE COUNT [WHEN]\n");
		return 2;
	}
	if (sched_getaffinity(0, sizeof(may), &may))
		bench_die("bench_events", "no core");
	while (core < CPU_SETSIZE - 1 && !CPU_ISSET(core, &may))
		core++;
	CPU_ZERO(&one);
	CPU_SET(core, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		bench_die("bench_events", "no core");
	wall = wall_s();
	cpu = processor_s();
	if (strcmp(argv[1], "moonfence") == 0)
		write_ours(argv[2], cnt, argc > 4 ? argv[4] : NULL);
	else
		write_jansson(argv[2], cnt);
	printf("{\"wall_s\": %.6f, \"cpu_s\": %.6f}\n", wall_s() - wall, processor_s() - cpu);
	return 0;
}
