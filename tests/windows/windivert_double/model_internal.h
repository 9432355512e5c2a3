/* SPDX-License-Identifier: Apache-2.0 */
/* model_internal.h - what model.c and inject.c share */
#ifndef WDD_MODEL_INTERNAL_H
#define WDD_MODEL_INTERNAL_H

#include "model.h"

struct wdd_queued {
	struct wdd_queued *next;
	uint64_t time_ms;
	enum wdd_origin origin;
	uint8_t addr[WDD_ADDRESS_SIZE];
	uint32_t len;
	uint8_t bytes[];
};

struct wdd_handle {
	bool used, shut_recv, shut_send;
	struct wdd_filter *filter;
	unsigned number;
	int layer, priority;
	uint64_t flags, serial;
	uint64_t queue_len, queue_time, queue_size;
	struct wdd_queued *queue, **queue_tail;
	unsigned queue_cnt;
	uint64_t queue_bytes;
};

struct wdd_model {
	uint64_t (*now_ms)(void *ctx);
	int64_t (*timestamp)(void *ctx);
	void *ctx;
	struct wdd_handle handles[WDD_HANDLES_MAX];
	struct wdd_ip locals[WDD_LOCALS_MAX];
	unsigned locals_cnt;
	struct wdd_output *outputs, **outputs_tail;
	uint32_t fail_code[WDD_CALL_NUM];
	unsigned fail_skip[WDD_CALL_NUM], fail_times[WDD_CALL_NUM];
	unsigned opened;
	unsigned version[2];
	uint64_t serial, changes;
	struct wdd_counts counts;
};

bool wdd_is_local(const struct wdd_model *m, const struct wdd_ip *ip);
uint32_t wdd_refuse(struct wdd_model *m, uint32_t code); /* counts it; Return: @code */
uint32_t wdd_fail_now(struct wdd_model *m, enum wdd_call call);
struct wdd_handle *wdd_handle_of(struct wdd_model *m, unsigned handle);

/** wdd_route() - Past the handles under priority @below (of the same priority: those opened after serial @after) */
void wdd_route(struct wdd_model *m, const uint8_t *addr, const uint8_t *bytes, uint32_t len,
	       int below, uint64_t after, enum wdd_origin origin);
/** wdd_arrive() - No handle took it: it leaves the machine or reaches the stack */
void wdd_arrive(struct wdd_model *m, const uint8_t *addr, const struct wdd_pkt *k,
		enum wdd_origin origin);
void wdd_emit(struct wdd_model *m, enum wdd_fate fate, enum wdd_loss loss, enum wdd_origin origin,
	      const uint8_t *addr, const uint8_t *bytes, uint32_t len);

#endif
