// SPDX-License-Identifier: Apache-2.0
// Any bytes as a capture file: read, put together, put to a policy, and sent through the pipeline into another file, which
// must read back; with bounds so small that they are reached.
#include <stdlib.h>

#include "capture/pcap_backend.h"
#include "core/ask/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FLOWS = 8, QUESTIONS = 8, STREAM_BYTES = 32768 };

static struct mf_replay_clock replay_clock;
static struct mf_clock interface;
static struct mf_session sessions[2];
static uint64_t told, last_packet;

static void start(void)
{
	static struct mf_runtime *runtime;
	const char *path = MF_SOURCE_DIR "/tests/fuzz/capture/replay.lua";
	struct mf_runtime_options o = { .size = sizeof(o),
					.stdlib_dir = MF_SOURCE_DIR "/lua/stdlib" };
	struct mf_err err = { 0 };

	interface = mf_replay_clock_of(&replay_clock);
	o.monotonic = interface.monotonic;
	o.wall = interface.wall;
	o.clock_ctx = interface.ctx;
	MF_MUST(mf_runtime_new(&o, &runtime, &err) == 0);
	MF_MUST(mf_runtime_load(runtime, &path, 1, &err) == 0);
	for (unsigned i = 0; i < 2; i++) {
		sessions[i] = (struct mf_session){ .id = "fuzz", .source = i ? "old" : "new" };
		MF_MUST(mf_vm_new(runtime, &sessions[i].vm, &err) == 0);
	}
}

static void question(void *ctx, const struct mf_replay_question *q)
{
	(void)ctx;
	MF_MUST(q->kind <= MF_SNI && q->packet >= last_packet);
	last_packet = q->packet;
	for (unsigned i = 0; i < 2; i++) {
		const struct mf_replay_answer *a = &q->answers[i];

		MF_MUST(!a->decision == (a->unasked != MF_REPLAY_ASKED));
		MF_MUST(!a->decision || a->decision->origin != MF_FROM_FAIL_MODE);
		MF_MUST(!mf_replay_differ(q->kind, a, a));
	}
	/* the two differ in one respect only */
	MF_MUST(mf_replay_differ(q->kind, &q->answers[0], &q->answers[1]) ==
		mf_replay_differ(q->kind, &q->answers[1], &q->answers[0]));
	told++;
}

struct text {
	uint8_t *at;
	size_t len, room;
};

static int add_text(void *ctx, const void *ptr, size_t len)
{
	struct text *t = ctx;

	while (t->len + len > t->room) {
		t->room = t->room ? t->room * 2 : 65536;
		t->at = realloc(t->at, t->room);
		MF_MUST(t->at);
	}
	memcpy(t->at + t->len, ptr, len);
	t->len += len;
	return 0;
}

/* What was written is a capture, with as many packets as were counted, and no more. */
static void check_written(const struct text *text, const struct mf_pcap_backend_stats *stats)
{
	struct mf_pcap_record rec;
	struct mf_pcap *file;
	struct mf_err err;
	uint64_t cnt = 0;
	int r;

	MF_MUST(mf_pcap_open_memory(mf_span_of(text->at, text->len), &file, &err) == 0);
	while ((r = mf_pcap_next(file, &rec, &err)) > 0)
		cnt++;
	MF_MUST(r == 0 && !mf_pcap_cut(file) && cnt == stats->written);
	mf_pcap_close(file);
}

/* Where packets are written; a pipeline costs as much as a hundred packets, so only one input in eight has one. */
struct writing {
	struct mf_pcap_backend *backend; /* NULL: none */
	struct mf_pcapng *out;
	struct text text;
	int failed;
};

static void begin_writing(struct writing *w, bool wanted)
{
	struct mf_err err;

	w->text.len = 0;
	w->failed = 0;
	w->backend = NULL;
	if (!wanted)
		return;
	MF_MUST(mf_pcapng_open_sink(add_text, &w->text, "fuzz", &w->out) == 0);
	MF_MUST(mf_pcap_backend_new(w->out, FLOWS, &w->backend, &err) == 0);
}

static void write_record(struct writing *w, const struct mf_pcap_record *rec,
			 const struct mf_replay *replay)
{
	if (!w->backend || w->failed)
		return;
	/* only the number of interfaces can be too big */
	w->failed = mf_pcap_backend_write(w->backend, rec, mf_replay_last_fate(replay),
					  replay_clock.monotonic_ns);
	MF_MUST(w->failed == 0 || w->failed == MF_E_LIMIT);
}

static void end_writing(struct writing *w)
{
	struct mf_pcap_backend_stats stats;
	struct mf_err err;

	if (!w->backend)
		return;
	(void)mf_pcap_backend_finish(w->backend);
	mf_pcap_backend_get_stats(w->backend, &stats);
	MF_MUST(stats.answers <= stats.refused + stats.dropped);
	mf_pcap_backend_free(w->backend);
	MF_MUST(mf_pcapng_close(w->out, true, &err) == 0);
	if (!w->failed)
		check_written(&w->text, &stats);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_replay_options o = { .sessions = { &sessions[0], &sessions[1] },
				       .session_cnt = 2,
				       .question = question,
				       .flows_max = FLOWS,
				       .questions_max = QUESTIONS,
				       .stream_bytes_max = STREAM_BYTES };
	static struct writing writing;
	struct mf_pcap_record rec;
	struct mf_replay_stats stats;
	struct mf_replay *replay;
	struct mf_pcap *file;
	struct mf_err err;
	uint64_t cnt = 0;

	if (!interface.monotonic)
		start();
	if (mf_pcap_open_memory(mf_span_of(data, size), &file, &err) < 0)
		return 0;
	replay_clock = (struct mf_replay_clock){ 0 };
	told = last_packet = 0;
	MF_MUST(mf_replay_new(&o, &replay_clock, &replay, &err) == 0);
	begin_writing(&writing, data[size - 1] % 8 == 0);
	while (mf_pcap_next(file, &rec, &err) > 0) {
		MF_MUST(rec.number == ++cnt && rec.len <= MF_PCAP_PACKET_MAX &&
			rec.len <= rec.wire_len);
		MF_MUST(mf_replay_record(replay, &rec) == 0);
		write_record(&writing, &rec, replay);
	}
	MF_MUST(mf_pcap_next(file, &rec, &err) <= 0);
	mf_replay_finish(replay);
	end_writing(&writing);
	mf_replay_get_stats(replay, &stats);
	MF_MUST(stats.packets == cnt);
	MF_MUST(told >= stats.dns_questions + stats.hellos);
	mf_replay_free(replay);
	mf_pcap_close(file);
	return 0;
}
