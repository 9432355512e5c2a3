/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_command.h - what the parts of `moonfence gateway` share: what was asked for, and what runs */
#ifndef MF_CLI_GATEWAY_COMMAND_H
#define MF_CLI_GATEWAY_COMMAND_H

#include <openssl/ssl.h>
#include <pthread.h>

#include "cli/gateway_access.h"
#include "cli/gateway_environment.h"
#include "cli/gateway_guests.h"
#include "cli/gateway_keys.h"
#include "cli/notify.h"
#include "cli/options.h"
#include "cli/policy_host.h"
#include "core/match/cidr_set.h"
#include "proxies/gateway/gateway.h"
#include "proxies/gateway/house.h"
#include "proxies/http_service.h"
#include "proxies/proxy.h"

enum {
	MF_GATEWAY_LISTENERS_MAX = 8,
	MF_GATEWAY_OPENED_MAX = 64,
	MF_GATEWAY_ORIGINS_MAX = 64,
	MF_GATEWAY_SIGNALS_MAX = 3,
	MF_GATEWAY_BACKLOG = 1024,
};

/* One thread with all that is its own. The first is the command's, which has signals, timers and certificates, too. */
struct mf_gateway_worker {
	struct mf_gateway_command *g;
	pthread_t thread;
	bool runs; /* a thread, to be joined */
	struct event_base *base;
	struct mf_vm *vm; /* the first thread's is the policy host's */
	struct mf_session session;
	struct mf_proxy *proxy;
	struct mf_http_service *http;
	struct mf_gateway *gw;
	int fds[MF_GATEWAY_LISTENERS_MAX]; /* -1: none, or the HTTP service has it */
};

/* How far the end is. */
enum mf_gateway_phase {
	MF_GATEWAY_SERVES,
	MF_GATEWAY_DRAINS, /* no new ones; those that are open go on */
	MF_GATEWAY_STOPS,  /* they have been told */
};

/* What a file was when it was read. */
struct mf_gateway_file_mark {
	int64_t size, mtime_s, mtime_ns;
	uint64_t inode;
};

/* Of other emulators' clients: who they are, and where they may be led */
struct mf_gateway_wisp {
	struct mf_gateway_login *logins;
	struct mf_gateway_wisp_key *keys;
	struct mf_gateway_target *targets;
	size_t login_cnt, key_cnt, target_cnt;
};

/* WebRTC, as asked for and as it is open. */
struct mf_gateway_rtc {
	struct mf_endpoint at;
	const char *ice_servers, *turn_secret; /* files */
	const char *ice_value, *turn_value;    /* what would stand in them, where there are none */
	char *ice_text, *turn_text;
	bool open;  /* the socket in the gateway's options is */
	bool given; /* ... by the service manager */
};

enum mf_gateway_rtc_option {
	MF_GATEWAY_WEBRTC_PORT,
	MF_GATEWAY_EXTERNAL_IP,
	MF_GATEWAY_ICE_SERVERS,
	MF_GATEWAY_TURN_SECRET,
};

struct mf_gateway_command {
	/* as asked for */
	struct mf_policy_host host;
	struct {
		struct mf_endpoint at;
		int fd;	    /* the first thread's, until its HTTP service has it */
		bool given; /* by the service manager */
	} listen[MF_GATEWAY_LISTENERS_MAX];
	size_t listen_cnt;
	const char *tls_cert, *tls_key, *session_name, *user;
	struct mf_gateway_keys keys;
	struct mf_keyring *ring;
	struct mf_cidr open[MF_GATEWAY_OPENED_MAX];
	size_t open_cnt;
	char *origins[MF_GATEWAY_ORIGINS_MAX];
	size_t origin_cnt;
	struct mf_gateway_access access;
	struct mf_gateway_wisp wisp;
	struct mf_gateway_rtc rtc;
	struct mf_gateway_texts texts;
	enum mf_gateway_env env;
	uint64_t given[4]; /* options of the command line, a bit each */
	struct mf_gateway_options opt;
	bool no_ethernet;
	const char *pcap_dir;
	char raw_path[128];
	struct mf_proxy_options proxy_options;
	uint32_t threads; /* 0: 1 */
	uint32_t drain_s;
	bool no_seccomp;
	/* as it runs */
	struct mf_notify manager;
	struct event_base *base; /* the first thread's */
	struct event *signals[MF_GATEWAY_SIGNALS_MAX], *end_tick, *look, *watchdog;
	size_t signal_cnt;
	enum mf_gateway_phase phase;
	uint64_t phase_ends_ns;
	bool watchdog_asks; /* its question goes round */
	SSL_CTX *tls;
	struct mf_gateway_guests *guests; /* the first thread's */
	struct mf_gateway_file_mark tls_marks[2];
	struct mf_gateway_house *house;
	struct mf_dns_cache *dns_cache;
	struct mf_http_together http_together;
	struct mf_proxy_together proxy_together;
	struct mf_gateway_worker workers[MF_GATEWAY_THREADS_MAX];
	size_t worker_cnt;
};

/* --- gateway_threads.c --- */

/** mf_gateway_bind() - A listener for each place and thread; before rights are given up. Return: 0, MF_E_IO */
int mf_gateway_bind(struct mf_gateway_command *g, struct mf_err *err);
/** mf_gateway_make_threads() - All that they need, and the first one's; g->base is there, the policies are loaded. Return: 0, MF_E_* */
int mf_gateway_make_threads(struct mf_gateway_command *g, struct mf_err *err);
/** mf_gateway_start_threads() - The others run from now on. Return: 0, MF_E_NOMEM */
int mf_gateway_start_threads(struct mf_gateway_command *g, struct mf_err *err);
/** mf_gateway_join_threads() - End their loops and wait for them */
void mf_gateway_join_threads(struct mf_gateway_command *g);
/** mf_gateway_free_threads() - Once they have been joined */
void mf_gateway_free_threads(struct mf_gateway_command *g);
/** mf_gateway_tell_threads() - Run @fn for each worker in its thread, in this one at once; @tls: a reference each, or NULL */
void mf_gateway_tell_threads(struct mf_gateway_command *g,
			     void (*fn)(struct mf_gateway_worker *w, SSL_CTX *tls), SSL_CTX *tls);

/* --- gateway_life.c --- */

/** mf_gateway_watch_all() - Signals, files of the certificate, the manager's watchdog. Return: 0, MF_E_NOMEM */
int mf_gateway_watch_all(struct mf_gateway_command *g, struct mf_err *err);
void mf_gateway_unwatch_all(struct mf_gateway_command *g);
/** mf_gateway_open_tls() - g->tls of its files, which are looked at from now on. Return: 0, MF_E_IO */
int mf_gateway_open_tls(struct mf_gateway_command *g, struct mf_err *err);

/* --- gateway_system_*.c, gateway_seccomp_*.c --- */

/** mf_gateway_raise_limits() - As many open files as we may have */
void mf_gateway_raise_limits(void);
/**
 * mf_gateway_take_given() - Listeners that the service manager has opened (sd_listen_fds(3)) are in g->listen, and out of the environment
 * Names: "http" or any other: HTTP; "webrtc": UDP, for WebRTC. Before there are threads. Return: 0; MF_E_INVAL: one is no TCP listener, or no UDP socket
 */
int mf_gateway_take_given(struct mf_gateway_command *g, struct mf_err *err);
/**
 * mf_gateway_confine() - No new rights, and only the system calls that a gateway needs, for all threads that there are and will be
 * Return: 1: it is so; 0: this build or system has no such thing; MF_E_IO
 */
int mf_gateway_confine(struct mf_err *err);

/** mf_gateway_options_parse() - Return: -1: go on; else the exit status, and what was wrong has been said */
int mf_gateway_options_parse(struct mf_gateway_command *g, int argc, char **argv);

/* Each takes one value of an option. Return: 0; an exit status, and what was wrong has been said */
int mf_gateway_take_wisp(const struct mf_usage *usage, struct mf_gateway_command *g,
			 const char *value);
int mf_gateway_take_target(const struct mf_usage *usage, struct mf_gateway_command *g,
			   const char *value);
int mf_gateway_take_target_file(const struct mf_usage *usage, struct mf_gateway_command *g,
				const char *value);
void mf_gateway_wisp_apply(struct mf_gateway_command *g);
void mf_gateway_wisp_done(struct mf_gateway_wisp *w);
/** mf_gateway_options_has() - Whether the command line had it; @name: without dashes */
bool mf_gateway_options_has(const struct mf_gateway_command *g, const char *name);
/** mf_gateway_options_take() - As if it were there. Return: 0; -1: there is no such option; an exit status */
int mf_gateway_options_take(struct mf_gateway_command *g, const char *name, const char *value);

/** mf_gateway_take_relay() - --relay. Return: 0; an exit status, and what was wrong has been said */
int mf_gateway_take_relay(const struct mf_usage *usage, struct mf_gateway_command *g,
			  const char *value);
/** mf_gateway_take_limit(), mf_gateway_take_expire() - --limit, --expire. Return: as that */
int mf_gateway_take_limit(const struct mf_usage *usage, struct mf_gateway_command *g,
			  const char *value);
int mf_gateway_take_expire(const struct mf_usage *usage, struct mf_gateway_command *g,
			   const char *value);
/** mf_gateway_keep_members_ms() - How long sessions are known that have nothing open: their quotas are */
uint32_t mf_gateway_keep_members_ms(const struct mf_gateway_command *g);
/** mf_gateway_take_rtc() - One of WebRTC's options. Return: as that */
int mf_gateway_take_rtc(const struct mf_usage *usage, struct mf_gateway_command *g,
			enum mf_gateway_rtc_option option, const char *value);
/** mf_gateway_rtc_open() - Bind its socket and read its files, if it is wanted */
int mf_gateway_rtc_open(struct mf_gateway_command *g, struct mf_err *err);
/** mf_gateway_rtc_tell() - On stdout, where it is */
void mf_gateway_rtc_tell(const struct mf_gateway_command *g);
void mf_gateway_rtc_close(struct mf_gateway_command *g); /* after mf_gateway_free() */

/** mf_gateway_ethernet_option() - The words of --ethernet. Return: 0; MF_E_INVAL, at *ret_bad */
int mf_gateway_ethernet_option(struct mf_gateway_command *g, const char *value,
			       const char **ret_bad);

#endif
