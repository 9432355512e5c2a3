/* SPDX-License-Identifier: Apache-2.0 */
/* run_command.h - what moonfence run was asked for, and what there is while it runs: of run.c and run_options.c */
#ifndef MF_CLI_RUN_COMMAND_H
#define MF_CLI_RUN_COMMAND_H

#include <pthread.h>

#include "capture/capture.h"
#include "cli/host_options.h"
#include "cli/label_options.h"
#include "cli/run_files.h"
#include "cli/run_services.h"
#include "core/policy/session.h"
#include "proxies/proxy.h"

#define MF_RUN_UNIX_MAX	    64
#define MF_RUN_KEEP_FDS_MAX 64

struct mf_run {
	/* as asked for */
	struct mf_policy_host host;
	const char *metrics_path, *session_name;
	struct mf_label_options labels;
	const char *unix_allow[MF_RUN_UNIX_MAX];
	size_t unix_cnt;
	int keep_fds[MF_RUN_KEEP_FDS_MAX];
	size_t keep_fd_cnt;
	enum mf_capture_backend backend;
	uint32_t mtu;
	unsigned prove_timeout_ms;
	bool fail_open;
	unsigned tun_queues;
	bool want_summary;
	struct mf_proxy_options proxy_options;
	/* as it runs */
	struct mf_capture *capture;
	pthread_mutex_t
		inside_lock; /* the control socket's thread asks, and the capture goes before it */
	bool inside_over;
	struct mf_metrics *metrics;
	struct mf_summary *summary;
	struct mf_names *names;
	struct mf_session session;
	struct event_base *base;
	struct mf_run_signals *signals;
	struct mf_proxy *proxy;
	struct mf_run_packets *packets;
	const char *ca_dir; /* NULL: an authority of the session's own */
	struct mf_tls_authority *authority;
	struct mf_run_files files;
	struct mf_run_services services;
	struct mf_approval_terminal *terminal;
	const char *daemon; /* to register at; NULL: none */
	struct mf_attach *attach;
	struct mf_flow_view *flows;
	struct mf_capture_event exited;
	uint64_t started_ns;
	char id[64];
};

/* run_options.c */
/* Read the arguments into @r. Return: true to go on; else the exit status is in *ret_status */
bool mf_run_options_parse(struct mf_run *r, int argc, char **argv, char *const **ret_command,
			  int *ret_status);

#endif
