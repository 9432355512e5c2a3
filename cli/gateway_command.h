/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_command.h - what the parts of `moonfence gateway` share: what was asked for, and what runs */
#ifndef MF_CLI_GATEWAY_COMMAND_H
#define MF_CLI_GATEWAY_COMMAND_H

#include <openssl/ssl.h>

#include "cli/gateway_access.h"
#include "cli/gateway_environment.h"
#include "cli/gateway_guests.h"
#include "cli/gateway_keys.h"
#include "cli/options.h"
#include "cli/policy_host.h"
#include "core/match/cidr_set.h"
#include "proxies/gateway/gateway.h"
#include "proxies/proxy.h"

enum {
	MF_GATEWAY_LISTENERS_MAX = 8,
	MF_GATEWAY_OPENED_MAX = 64,
	MF_GATEWAY_ORIGINS_MAX = 64,
	MF_GATEWAY_SIGNALS_MAX = 3,
};

/* Of other emulators' clients: who they are, and where they may be led */
struct mf_gateway_wisp {
	struct mf_gateway_login *logins;
	struct mf_gateway_target *targets;
	size_t login_cnt, target_cnt;
};

/* WebRTC, as asked for and as it is open. */
struct mf_gateway_rtc {
	struct mf_endpoint at;
	const char *ice_servers, *turn_secret; /* files */
	char *ice_text, *turn_text;
	bool open; /* the socket in the gateway's options is */
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
		int fd;
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
	uint64_t given[4]; /* options of the command line, a bit each */
	struct mf_gateway_options opt;
	bool no_ethernet;
	const char *pcap_dir;
	char raw_path[128];
	struct mf_proxy_options proxy_options;
	/* as it runs */
	struct mf_session session;
	struct event_base *base;
	struct event *signals[MF_GATEWAY_SIGNALS_MAX], *grace, *look;
	size_t signal_cnt;
	unsigned ticks; /* since it is to end */
	SSL_CTX *tls;
	struct mf_proxy *proxy;
	struct mf_http_service *http;
	struct mf_gateway *gw;
	struct mf_gateway_guests *guests;
};

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
