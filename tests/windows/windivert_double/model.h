/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.h - what the driver and the stack below it do, without Windows: handles, queues, injection, refusals
 *
 * The script plays packets and socket events into the model and looks at what left it: towards the network, into the
 * machine's own stack, or nowhere. In between stand the handles, in order of their priority, each with a filter that is
 * evaluated for real. Everything that real Windows refuses is refused here with the same code, and what real Windows
 * swallows in silence vanishes here and is counted (rules W12).
 *
 * One lock of the caller's guards all of it. Time is given by the caller in milliseconds.
 */
#ifndef WDD_MODEL_H
#define WDD_MODEL_H

#include "filter.h"

#define WDD_HANDLES_MAX 16
#define WDD_LOCALS_MAX	16

/* Where a packet ended. */
enum wdd_fate {
	WDD_TO_NETWORK, /* left the machine */
	WDD_TO_STACK,	/* reached the machine's own stack */
	WDD_VANISHED,	/* accepted and lost; @loss says why */
	WDD_FATE_NUM
};

enum wdd_loss {
	WDD_LOSS_NONE,
	WDD_LOSS_MARTIAN, /* inbound with a loopback address */
	WDD_LOSS_CHECKSUM, /* said to be valid and wrong; or ICMP's, which the driver never computes */
	WDD_LOSS_NOT_OURS, /* inbound, to an address that the machine does not have */
	WDD_LOSS_QUEUE,	   /* over a queue's length or size */
	WDD_LOSS_AGE,	   /* over a queue's time */
	WDD_LOSS_DROP,	   /* a DROP handle */
	WDD_LOSS_NUM
};

enum wdd_origin {
	WDD_PLAYED,	/* never diverted: passed the handles */
	WDD_INJECTED,	/* by WinDivertSend */
	WDD_REINJECTED, /* was queued when its handle was closed */
};

struct wdd_output {
	struct wdd_output *next;
	enum wdd_fate fate;
	enum wdd_loss loss;
	enum wdd_origin origin;
	uint8_t addr[WDD_ADDRESS_SIZE];
	uint32_t len;
	uint8_t bytes[];
};

struct wdd_model;

struct wdd_model *wdd_model_new(uint64_t (*now_ms)(void *ctx), int64_t (*timestamp)(void *ctx),
				void *ctx);
void wdd_model_free(struct wdd_model *m);

/** wdd_model_add_local() - An address of the machine (127/8 and ::1 need not be said) */
void wdd_model_add_local(struct wdd_model *m, const struct wdd_ip *ip);

/* The handles. All return 0 or a Windows error code. */
uint32_t wdd_model_open(struct wdd_model *m, const char *filter, int layer, int priority,
			uint64_t flags, unsigned *ret_handle);
/**
 * wdd_model_recv() - Take what is queued
 * Return: 0 with at least one address; 122 (one truncated packet, its address too); 232; 87 where the handle does not
 * receive; WDD_WAIT: nothing there yet, ask again after wdd_model_changes() went up
 */
#define WDD_WAIT 0xffffffffu
uint32_t wdd_model_recv(struct wdd_model *m, unsigned handle, uint8_t *buf, uint32_t room,
			uint32_t *ret_len, uint8_t *addrs, uint32_t addrs_max, uint32_t *ret_cnt);
uint32_t wdd_model_send(struct wdd_model *m, unsigned handle, const uint8_t *pkts, uint32_t len,
			const uint8_t *addrs, uint32_t addrs_cnt, uint32_t *ret_sent);
uint32_t wdd_model_shutdown(struct wdd_model *m, unsigned handle, int how);
/** wdd_model_close() - Or death of the process: what is queued and young enough goes on its way */
uint32_t wdd_model_close(struct wdd_model *m, unsigned handle);
uint32_t wdd_model_set_param(struct wdd_model *m, unsigned handle, int param, uint64_t value);
uint32_t wdd_model_get_param(struct wdd_model *m, unsigned handle, int param, uint64_t *ret);

/* The script's side. */
struct wdd_play {
	bool outbound, impostor;
	uint32_t if_idx, sub_if_idx;
	bool offload; /* checksums were left to the hardware: their bits are 0 and the fields hold nothing */
};
/** wdd_model_play() - A packet comes from the stack (outbound) or the network. Return: false if it is none */
bool wdd_model_play(struct wdd_model *m, const struct wdd_play *how, const uint8_t *pkt,
		    uint32_t len);

struct wdd_socket_event {
	int event; /* WDD_BIND ... WDD_CLOSE; WDD_ESTABLISHED, WDD_DELETED at FLOW */
	uint32_t pid;
	struct wdd_ip local, remote;
	uint16_t local_port, remote_port;
	uint8_t proto;
	bool outbound;
	int64_t timestamp; /* 0: now */
};
/** wdd_model_event() - Return: false if a handle without SNIFF blocked it: the program's call fails */
bool wdd_model_event(struct wdd_model *m, const struct wdd_socket_event *ev);

/** wdd_model_take_output() - The oldest packet that left the model, or NULL; free() it */
struct wdd_output *wdd_model_take_output(struct wdd_model *m);
bool wdd_model_has_output(const struct wdd_model *m);

/* Failures on demand. */
enum wdd_call { WDD_CALL_OPEN, WDD_CALL_RECV, WDD_CALL_SEND, WDD_CALL_NUM };
/** wdd_model_fail() - After @skip calls the next @times fail with @code (as if nothing had been there) */
void wdd_model_fail(struct wdd_model *m, enum wdd_call call, uint32_t code, unsigned skip,
		    unsigned times);

/** wdd_model_set_version() - What the driver says it is; 2.2 */
void wdd_model_set_version(struct wdd_model *m, unsigned major, unsigned minor);

struct wdd_counts {
	uint64_t played, seen, diverted, sniffed, injected, reinjected;
	uint64_t events, events_blocked;
	uint64_t fates[WDD_FATE_NUM], losses[WDD_LOSS_NUM];
	uint64_t refused[2048];	 /* sends and opens refused, by code */
	uint64_t opened, closed; /* handles */
};
const struct wdd_counts *wdd_model_counts(const struct wdd_model *m);
/** wdd_model_changes() - Goes up whenever something happened that a waiting receiver may want to see */
uint64_t wdd_model_changes(const struct wdd_model *m);
/** wdd_model_queued() - Packets or events that wait for readers of @layer */
unsigned wdd_model_queued(const struct wdd_model *m, int layer);
unsigned wdd_model_open_handles(const struct wdd_model *m);

#endif
