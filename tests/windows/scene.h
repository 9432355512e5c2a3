/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scene.h - a Windows machine for scenarios: the driver's double, the product's backend over it, and a pipeline
 *
 * The machine has 10.0.0.5 and 2001:db8::5 on interface 7, sub-interface 1. Listeners: TCP 9080, UDP 9081, DNS 9053. One
 * process is of the session: SCENE_PID. What policy says of a flow is scene.answer. The pipeline's clock stands still.
 */
#ifndef WDD_SCENE_H
#define WDD_SCENE_H

#include "capture/pipeline.h"
#include "capture/windivert_win32.h"
#include "windivert_double/craft.h"
#include "windivert_double/host.h"

#define SCENE_PID      4000u
#define SCENE_STRANGER 5000u
#define SCENE_SELF     6000u /* what the pipeline takes for its own process */
#define SCENE_IF       7u
#define SCENE_SUB_IF   1u
#define SCENE_TCP      9080
#define SCENE_UDP      9081
#define SCENE_DNS      9053

struct scene {
	struct wdd_host *host;
	struct mf_windivert *wd;
	struct mf_pipeline *pipeline;
	struct mf_pipeline_options po; /* changed before scene_open() */
	struct mf_windivert_options wo;
	enum mf_flow_answer answer;
	int decide_code; /* not 0: decide() fails with it */
	unsigned decided;
	uint32_t decided_pid;
	struct mf_flow decided_flow;
	unsigned events[MF_PIPELINE_EVENT_NUM];
	bool event_closed;
	uint64_t now_ns;
	struct mf_clock clock;
	void *waked;		   /* an event object */
	struct mf_owner_row owner; /* what the system's tables say; pid 0: nothing */
	uint64_t ahead_ns; /* events happen this much later than the machine's counter says */
	uint64_t began_ns; /* when processes began; 0: long ago */
	uint32_t isn;
};

/** scene_begin(), scene_end() - cmocka's set-up and tear-down; *state is the struct scene */
int scene_begin(void **state);
int scene_end(void **state);
/** scene_open() - Open backend and pipeline with s->wo and s->po; fails the test where that fails */
void scene_open(struct scene *s);
void scene_close(struct scene *s);

/** scene_run() - Turns of the pipeline until it has nothing to do */
void scene_run(struct scene *s);
/** scene_until() - Turns until @cond holds; fails the test after WDD_HOST_PATIENCE_MS */
void scene_until(struct scene *s, bool (*cond)(struct scene *s));

/* The stack and the network. Plays return the packet's length. */
uint32_t scene_play(struct scene *s, bool outbound, const uint8_t *pkt, uint32_t len);
void scene_syn(struct scene *s, struct wdd_end from, struct wdd_end to);
void scene_tcp(struct scene *s, bool outbound, struct wdd_end from, struct wdd_end to,
	       uint8_t flags, uint32_t seq, uint32_t ack, const char *payload);
void scene_udp(struct scene *s, bool outbound, struct wdd_end from, struct wdd_end to,
	       const char *payload);
void scene_event(struct scene *s, int event, uint32_t pid, uint8_t proto, struct wdd_end local,
		 struct wdd_end remote);

/* The next packet that left the machine, with turns of the pipeline in between. */
struct scene_out {
	struct wdd_output *raw;
	struct wdd_read r;
	uint32_t bits, if_idx;
};
void scene_any(struct scene *s, struct scene_out *ret);
/** scene_next() - The same; its fate must be @fate and its checksums right */
void scene_next(struct scene *s, enum wdd_fate fate, struct scene_out *ret);
void scene_done(struct scene_out *out);
/** scene_expect() - The next one: its fate and its ends */
void scene_expect(struct scene *s, enum wdd_fate fate, struct wdd_end from, struct wdd_end to);
/** scene_expect_nothing() - All that was played has been taken by the pipeline, and nothing came out */
void scene_expect_nothing(struct scene *s);

struct mf_pipeline_stats scene_stats(struct scene *s);

#endif
