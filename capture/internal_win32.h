/* SPDX-License-Identifier: Apache-2.0 */
/* internal_win32.h - what the parts of the Windows capture share; docs/internals/capture-windows.md is the map */
#ifndef MF_CAPTURE_INTERNAL_WIN32_H
#define MF_CAPTURE_INTERNAL_WIN32_H

#include "capture/capture.h"
#include "capture/job_win32.h"
#include "capture/owner_table.h"
#include "capture/wake_win32.h"
#include "core/base/clock.h"
#include "core/base/process_win32.h"

#define MF_CAPTURE_EVENTS_MAX 64

enum mf_capture_state {
	MF_CAPTURE_BUILDING,
	MF_CAPTURE_BROKEN, /* could not be proven */
	MF_CAPTURE_PROVEN,
	MF_CAPTURE_RUNNING,
	MF_CAPTURE_ENDED /* EXITED was told */
};

struct mf_capture_packets; /* packets_win32.c */
struct mf_minifilter;
struct mf_wfp;

struct mf_listeners {
	int tcp_fd, udp_fd;
};

struct mf_capture {
	struct mf_capture_options options;
	enum mf_capture_state state;
	bool started_sockets, cut;
	/*
	 * The IPv4 ones on 127.0.0.1 (method L), the IPv6 ones on :: (method R), at the same ports; -1: none. Without a proof
	 * (has_ip6) nothing is sent to the IPv6 ones.
	 */
	struct mf_listeners listeners[2]; /* IPv4, IPv6 */
	uint16_t tcp_port, udp_port;
	bool has_ip6;
	struct mf_wake events_wake, packets_wake;
	struct mf_job *job;
	struct mf_minifilter *minifilter;   /* NULL: no driver */
	struct mf_wfp *wfp;		    /* MF_CAPTURE_BLOCK */
	struct mf_capture_packets *packets; /* MF_CAPTURE_WINDIVERT */
	struct mf_owner_table *owners;
	struct mf_capture_event queue[MF_CAPTURE_EVENTS_MAX];
	unsigned queue_first, queue_cnt, queue_lost;
	struct mf_capture_timing timing;
	uint64_t started_ns;
	char *ca_path; /* of the file with extra_ca_pem, ours to delete */
	/* what ops.find_process gave last */
	struct mf_process_info info;
	const char *no_args[1];
};

/* ---- capture_win32.c ---- */

/* Queue an event; when there is no room the oldest ones stay, and how many were lost is logged */
void mf_capture_tell(struct mf_capture *cap, enum mf_capture_event_kind kind, const char *text);
/* Make an event loop look */
void mf_capture_wake_all(void *cap);
/* News of processes: into the pipeline's set, or into the block's filters */
void mf_capture_take_processes(struct mf_capture *cap);

/* ---- packets_win32.c ---- */

int mf_capture_packets_new(struct mf_capture *cap, struct mf_err *err);
void mf_capture_packets_free(struct mf_capture *cap);
int mf_capture_packets_add_pid(struct mf_capture *cap, uint32_t pid);
void mf_capture_packets_remove_pid(struct mf_capture *cap, uint32_t pid);
/* Who began a flow, and when by the wall clock; Return: 0, MF_E_NOENT */
int mf_capture_packets_find_pid(struct mf_capture *cap, const struct mf_session_flow *flow,
				uint32_t *ret_pid, uint64_t *ret_began_ns);
/* A flow to there is a probe of ours: it goes to the listener, nobody is asked. NULL: none */
void mf_capture_packets_set_probe(struct mf_capture *cap, const struct mf_endpoint *server);
int mf_capture_packets_refuse_udp(struct mf_capture *cap, const struct mf_session_flow *flow,
				  const uint8_t *payload, size_t len);

/* ---- probe_win32.c ---- */

/**
 * mf_capture_probe() - See a flow of a helper arrive at the listener of a family, and its byte after it
 * Return: 0; MF_E_AGAIN: this machine has no route to anywhere now, nothing can be seen; MF_E_IO
 */
int mf_capture_probe(struct mf_capture *cap, uint8_t family, uint64_t deadline_ns,
		     struct mf_err *err);

/* ---- environment_win32.c ---- */

/*
 * The command's environment: options.envp or ours, and where the additional authority lies
 * Return: 0 with *ret (free() it; NULL: inherit ours unchanged), MF_E_*
 */
int mf_capture_environment(struct mf_capture *cap, char ***ret, struct mf_err *err);
void mf_capture_environment_done(struct mf_capture *cap);

#endif
