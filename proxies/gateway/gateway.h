/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway.h - networking for browsers: TCP and UDP over WebSockets, names over HTTPS, under the policies (docs/internals/gateway.md)
 *
 *	GET /healthz /readyz /version /metrics		POST, GET /session
 *	GET /tcp?host=H&port=P				one connection a WebSocket
 *	GET /tcp-mux					many, "aero-tcp-mux-v1"
 *	GET /udp					datagrams
 *	GET /l2, /eth, /raw				Ethernet frames (frames.h)
 *	GET /webrtc/signal, /webrtc/ice, POST /webrtc/offer, /offer	WebRTC
 *	POST /udp-relay/token				what a page says to the relay
 *	GET, POST /dns-query, GET /dns-json		names
 *	GET /wisp/, /wisp/HOST:PORT			Wisp and wsproxy, of other emulators' clients
 *	GET /websockify					one connection to a configured target
 *
 * The owner makes loop, session (source "gateway"), proxy (given_only) and HTTP service, and lets the loop run. One thread; for more of them
 * see house.h.
 */
#ifndef MF_PROXIES_GATEWAY_H
#define MF_PROXIES_GATEWAY_H

#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/base/span.h"
#include "proxies/gateway/frames.h"

struct event_base;
struct mf_cidr;	      /* core/match/cidr_set.h */
struct mf_forwarding; /* proxies/forwarded.h */
struct mf_gateway;
struct mf_gateway_house;   /* house.h */
struct mf_gateway_targets; /* targets.h */
struct mf_http_service;
struct mf_keyring; /* keyring.h */
struct mf_metrics;
struct mf_proxy;
struct mf_session_flow;

/* Where /websockify leads: @name is its token; NULL: what is meant where no token is said. @host: a name or an address */
struct mf_gateway_target {
	char *name, *host;
	uint16_t port;
};

/* Who may use Wisp; where there is none, everybody that may use the gateway. */
struct mf_gateway_login {
	char *name, *password;
};

/* The same by a public key of Ed25519, its 32 bytes (RFC 8032) */
struct mf_gateway_wisp_key {
	char *name;
	uint8_t key[32];
};

/* How a client may say who it is; none of them: nobody is asked. */
enum {
	MF_GW_BY_SESSION = 1, /* a session token: cookie, bearer, subprotocol */
	MF_GW_BY_JWT = 2,
	MF_GW_BY_KEY = 4, /* the API key */
};

/* What is special about datagrams, /udp and WebRTC. Zero: the default, or no bound where none is given. */
struct mf_gateway_relay {
	uint32_t auth_ms;      /* for the first message of who has not said who he is: 2,000 */
	uint32_t sessions_max; /* at the same time */
	bool filter_any; /* a guest port hears whomever policies allow, not only whom it spoke to */
	bool prefer_v2;	 /* version 2 of the framing to who knows it */
	uint32_t remote_idle_ms; /* how long an other end may answer: as udp_ports' idle time */
	/* of one session */
	uint32_t pps_max;	 /* datagrams a second from the client */
	uint64_t bps_max;	 /* their bytes a second */
	uint64_t client_bps_max; /* bytes a second for the client */
	uint32_t destination_pps_max;
	uint32_t destinations_max;    /* different other ends, ever */
	uint32_t buckets_max;	      /* other ends whose rates are known at the same time: 1,024 */
	uint32_t violations_max;      /* so many of the above, without a pause of */
	uint32_t violation_window_ms; /* 10,000, end the session */
	/* of the tokens that pages get for it */
	uint32_t token_ttl_s;			   /* 300 */
	const char *token_audience, *token_issuer; /* claims where JWTs need have none */
};

enum { MF_GATEWAY_EXTERNAL_MAX = 8 };

/* WebRTC: data channels on one UDP port (proxies/rtc). Zero means the default. */
struct mf_gateway_webrtc {
	bool wanted;
	int fd; /* a bound UDP socket, non-blocking; stays the owner's, open until mf_gateway_free() */
	/* What browsers are told in place of this system's own addresses: it is behind a 1:1 NAT */
	struct {
		struct mf_addr addr;
		bool srflx; /* told as such, beside its base */
	} external[MF_GATEWAY_EXTERNAL_MAX];
	size_t external_cnt;
	struct mf_span
		ice_servers; /* JSON: [{"urls":...,"username"?,"credential"?}]; empty: none */
	struct mf_span
		turn_secret;	 /* TURN servers get credentials made with it; empty: as they are */
	uint32_t turn_ttl_s;	 /* 3,600 */
	const char *turn_prefix; /* of their names: "aero" */
	const char
		*base_url; /* origin of the relay, as pages are told; NULL: as the request came */
	const char *told_url; /* the same with its path; NULL: base_url, and the base path */
	uint32_t signal_rate; /* messages a second of a signalling WebSocket: 50 */
	uint32_t signal_max;  /* bytes of one: 65,536 */
	uint32_t message_max; /* of a data channel: max(payload + 24, 4,096) + 256 */
	uint32_t receive_buffer_max, send_queue_max, sessions_max,
		connect_ms; /* proxies/rtc/rtc.h */
};

/* What one session, one client's address, or all of them may do. Zero: no bound. */
struct mf_gateway_limit {
	uint64_t
		bytes; /* of WebSockets' frames, datagrams and questions, both directions, in a window */
	uint64_t byte_rate; /* of the same, a second; MF_PACE_RATE_MAX at most */
	uint32_t flow_rate; /* new TCP connections, and new UDP streams and guest ports, a minute */
};

enum mf_gateway_scope { MF_GW_OF_SESSION, MF_GW_OF_ADDRESS, MF_GW_OF_ALL, MF_GW_SCOPE_NUM };

#define MF_GW_NO_EVENTS UINT32_MAX

/* Zero means the default everywhere; everything is borrowed until mf_gateway_free(). */
struct mf_gateway_options {
	size_t size;

	unsigned auth; /* kinds that are looked at */
	/* Which of them are enough, each all that it names; none: any one of @auth */
	const unsigned *auth_sets;
	size_t auth_set_cnt;
	struct mf_keyring
		*keys; /* keyring.h; NULL: a random secret for session tokens, nothing else */
	const char *jwt_audience, *jwt_issuer; /* NULL: any */
	uint32_t session_ttl_s;		       /* 86,400 */
	/* Web pages that may ask: normal forms (origin.h), or "*"; none: those of the same host */
	const char *const *origins;
	size_t origin_cnt;

	/* Names that the gateway is asked by: "host" or "host:port", in lower case; none: any */
	const char *const *hosts;
	size_t host_cnt;
	const struct mf_forwarding
		*forwarding; /* proxies whose word on the client counts; NULL: none */
	const struct mf_cidr *blocked_clients; /* addresses that get no WebSocket: 403 */
	size_t blocked_client_cnt;
	const char *base_path; /* where it is served too, "/prefix"; NULL: "/" only */
	bool isolate; /* answers carry what cross-origin isolation asks for (COOP, COEP, CORP) */
	/* SameSite of the cookie: NULL: Lax */
	const char *same_site;
	const char *git_sha, *built_at; /* of /version */

	const struct mf_gateway_targets *destinations; /* targets.h; NULL: what policies allow */
	/* The floor: what lies in here, or any non-public address, may be asked about */
	const struct mf_cidr *open;
	size_t open_cnt;
	bool allow_private;

	struct mf_gateway_limit limits[MF_GW_SCOPE_NUM];
	uint32_t quota_window_s; /* after so long bytes are counted anew: 86,400 */
	uint32_t refusal_events; /* a minute: 60; MF_GW_NO_EVENTS: none */
	unsigned
		expire; /* MF_GW_BY_SESSION, MF_GW_BY_JWT: what was opened with such ends with its time */

	uint32_t sockets_max;	      /* WebSockets, of all threads: 16,384 */
	uint32_t member_sockets_max;  /* of one member: 256 */
	uint32_t member_flows_max;    /* its TCP connections: 1,024 */
	uint32_t members_max;	      /* 65,536; with a house: that one's, and the next but one */
	uint32_t address_sockets_max; /* WebSockets of one address (addresses.h): 0: no bound */
	uint32_t addresses_max;	      /* that are known at the same time: 65,536 */
	uint32_t request_rate;	      /* requests a minute of one address: 0: no bound */
	uint32_t mux_streams_max;     /* of one WebSocket: 1,024 */
	uint32_t message_max;	      /* bytes of a WebSocket message: 1,048,576 */
	uint32_t
		buffer_max; /* bytes that wait for a client before its servers are heard no more: 262,144 */
	uint32_t udp_payload_max; /* 1,200 */
	uint32_t udp_ports_max;	  /* guest ports of one WebSocket: 128 */
	uint32_t udp_remotes_max; /* of one guest port: 1,024 */
	uint32_t udp_idle_ms;	  /* 60,000 */
	struct mf_gateway_relay relay;
	struct mf_gateway_webrtc webrtc;
	uint32_t dns_message_max;		   /* 4,096 */
	bool dns_allow_any, dns_allow_private_ptr; /* else refused */
	uint32_t dns_rate, dns_burst; /* questions a second of one address, 0: no bound */
	uint32_t ping_ms;	      /* 30,000 */
	/* Wisp */
	const char *wisp_path;	   /* where it is served: "/wisp", and below; "": nowhere */
	const char *wisp_motd;	   /* what it greets with; NULL: nothing */
	uint32_t wisp_streams_max; /* of one WebSocket: 1,024 */
	uint32_t wisp_window;	   /* packets that may wait for a server: 128 */
	uint32_t
		wisp_buffer_max; /* bytes that wait for all servers of one WebSocket before it is not read: 4 MiB */
	uint32_t
		stall_ms; /* a server that takes nothing while others wait for it is ended: 30,000 */
	const struct mf_gateway_login *wisp_logins;
	size_t wisp_login_cnt;
	const struct mf_gateway_wisp_key *wisp_keys;
	size_t wisp_key_cnt;
	const struct mf_gateway_target *targets;
	size_t target_cnt;
	const char *version;
	const struct mf_gateway_frames *frames; /* where frames go; NULL: none are taken */
	struct mf_gateway_l2_options l2;
	/* What it shares with gateways of other threads, which have the same options; NULL: nothing */
	struct mf_gateway_house *house;
	/* What else /metrics tells, in this thread; gauges are added to. NULL: nothing */
	void (*gather)(void *ctx, struct mf_metrics *m);
	void *gather_ctx;
};

/* Why a request or an upgrade was refused. */
enum mf_gateway_refusal {
	MF_GW_REFUSED_STOPPING,
	MF_GW_REFUSED_HANDSHAKE,
	MF_GW_REFUSED_CREDENTIALS,
	MF_GW_REFUSED_ORIGIN,
	MF_GW_REFUSED_HOST,
	MF_GW_REFUSED_CLIENT, /* its address */
	MF_GW_REFUSED_REQUEST_RATE,
	MF_GW_REFUSED_QUESTION_RATE,
	MF_GW_REFUSED_SOCKETS,	       /* of all */
	MF_GW_REFUSED_ADDRESS_SOCKETS, /* of one address */
	MF_GW_REFUSED_MEMBER_SOCKETS,  /* of one session */
	MF_GW_REFUSED_MEMBER_FLOWS,
	MF_GW_REFUSED_FLOW_RATE,
	MF_GW_REFUSED_BYTE_RATE, /* a question: other things wait */
	MF_GW_REFUSED_MEMBER_BYTES,
	MF_GW_REFUSED_ADDRESS_BYTES,
	MF_GW_REFUSED_ALL_BYTES,
	MF_GW_REFUSED_NUM
};

struct mf_gateway_stats {
	uint64_t refusals[MF_GW_REFUSED_NUM];
	uint64_t sockets, sockets_open,
		refused; /* refused: upgrades that were answered otherwise */
	uint64_t flows, flows_open, flows_denied, flows_failed;
	uint64_t datagrams_out, datagrams_in, datagrams_denied, datagrams_bad;
	uint64_t datagrams_lost; /* too fast, or the browser did not take them */
	uint64_t questions, sessions;
	uint64_t arrived;   /* connections that came from other threads */
	uint64_t malformed; /* packets of Wisp */
	uint64_t
		held; /* how often a WebSocket was not read for a while, since its bytes came too fast */
	uint64_t cut;	  /* ended: their bytes were used up */
	uint64_t expired; /* ended: who opened them is nobody any more */
	uint64_t members;
	struct mf_gateway_l2_stats l2;
};

/** mf_gateway_new() - Return: 0; MF_E_UNSUPPORTED (built without WebSockets), MF_E_INVAL, MF_E_NOMEM, MF_E_FULL */
int mf_gateway_new(struct event_base *base, struct mf_proxy *proxy, struct mf_http_service *http,
		   const struct mf_gateway_options *options, struct mf_gateway **ret,
		   struct mf_err *err);

/** mf_gateway_drain() - No new sessions (503); what is open goes on */
void mf_gateway_drain(struct mf_gateway *gw);
/** mf_gateway_stop() - The same, and every WebSocket is told 1001; Return: those still open */
size_t mf_gateway_stop(struct mf_gateway *gw);
/** mf_gateway_open() - What is open and would be waited for at the end: WebSockets, those that are closing too. Any thread */
size_t mf_gateway_open(const struct mf_gateway *gw);

/**
 * mf_gateway_may() - The floor for a connection or datagram that a guest of @frames makes: whether policies may be asked about it at all
 * A refusal is told as an event and counted.
 */
bool mf_gateway_may(struct mf_gateway *gw, const struct mf_session_flow *flow);

/** mf_gateway_free() - After the HTTP service, before the proxy; NULL is fine */
void mf_gateway_free(struct mf_gateway *gw);

void mf_gateway_get_stats(const struct mf_gateway *gw, struct mf_gateway_stats *ret);

#endif
