/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signal_json.h - what a browser says to set up a session, as JSON: messages of /webrtc/signal, bodies of offers, "auth" of /udp
 *
 * Strict where the relay is: a field that nobody knows, one that is there twice, one of another type, and anything behind the object
 * make a message bad. No sockets, no clock.
 */
#ifndef MF_PROXIES_GATEWAY_SIGNAL_JSON_H
#define MF_PROXIES_GATEWAY_SIGNAL_JSON_H

#include <jansson.h>

#include "core/base/span.h"

enum mf_signal_type {
	MF_SIGNAL_BAD, /* no message; also "answer" and "error", which are ours to say */
	MF_SIGNAL_AUTH,
	MF_SIGNAL_OFFER,
	MF_SIGNAL_CANDIDATE,
	MF_SIGNAL_CLOSE,
};

/* What is wrong with an "auth". */
enum mf_signal_auth {
	MF_SIGNAL_AUTH_GOOD,
	MF_SIGNAL_AUTH_MISSING, /* neither token nor apiKey */
	MF_SIGNAL_AUTH_FIELDS,	/* of another type */
	MF_SIGNAL_AUTH_DIFFERS, /* both, and not the same */
};

/* Strings live until mf_signal_done(). */
struct mf_signal {
	json_t *json;
	enum mf_signal_type type;
	enum mf_signal_auth auth;
	const char *credential;	  /* of a good auth */
	struct mf_span sdp;	  /* of an offer */
	struct mf_span candidate; /* may be empty: the end of candidates */
};

/** mf_signal_read() - A message of /webrtc/signal; @ret always wants mf_signal_done() */
void mf_signal_read(struct mf_span text, struct mf_signal *ret);

/** mf_signal_read_auth() - The first message of /udp: MF_SIGNAL_AUTH or MF_SIGNAL_BAD; other fields do not matter */
void mf_signal_read_auth(struct mf_span text, struct mf_signal *ret);

enum mf_signal_body {
	MF_SIGNAL_BODY_OFFER,  /* {"sdp":{"type":"offer","sdp":"..."}}, or the inner object alone */
	MF_SIGNAL_BODY_LEGACY, /* {"version":1,"offer":{"type":"offer","sdp":"..."}} */
};

/** mf_signal_read_body() - The body of an offer over HTTP: MF_SIGNAL_OFFER or MF_SIGNAL_BAD */
void mf_signal_read_body(struct mf_span text, enum mf_signal_body form, struct mf_signal *ret);

void mf_signal_done(struct mf_signal *s);

#endif
