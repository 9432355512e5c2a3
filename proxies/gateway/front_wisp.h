/* SPDX-License-Identifier: Apache-2.0 */
/* front_wisp.h - what the relays that other emulators' clients know share: Wisp, wsproxy, websockify */
#ifndef MF_PROXIES_GATEWAY_FRONT_WISP_H
#define MF_PROXIES_GATEWAY_FRONT_WISP_H

#include <openssl/evp.h>

#include "core/base/strbuf.h"
#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/wisp.h"

/* A name and a password, as they are compared. */
struct mf_gw_wisp_login {
	uint8_t hash[64]; /* SHA-256 of each */
	const char *name; /* the options' */
};

/* A public key: the hashes that its owner may say it by */
struct mf_gw_wisp_key {
	uint8_t sha256[32], sha512[64];
	EVP_PKEY *pkey;
	const char *name; /* the options' */
};

/* What all relays of one gateway share. */
struct mf_gw_wisp {
	struct mf_timeout_queue hello, answer, stall;
	struct mf_strbuf info
		[2]; /* what greets version 2; [1] asks who it is, and wants a challenge behind it where there are keys */
	struct mf_gw_wisp_login *logins;
	struct mf_gw_wisp_key *keys;
	size_t login_cnt, key_cnt;
	struct mf_http_route routes[2]; /* which are borrowed, and have the operator's path */
};

/* --- front_wisp_hello.c --------------------------------------------------------------------------------------------------- */

int mf_gw_wisp_new(struct mf_gateway *gw);
void mf_gw_wisp_free(struct mf_gateway *gw);

/* --- front_wisp.c --------------------------------------------------------------------------------------------------------- */

/* A request for a WebSocket of Wisp */
void mf_gw_wisp_serve(struct mf_gateway *gw, struct mf_http_exchange *x,
		      const struct mf_http_request *req);

/* --- front_pipe.c --------------------------------------------------------------------------------------------------------- */

/* How one WebSocket that is one TCP connection says what happens. */
struct mf_gw_pipe_style {
	bool text; /* its bytes are sent on; else they end it by 1003 */
	bool binary_only; /* the only subprotocol is "binary", and "base64" is refused; else any is echoed */
	unsigned end_code;	   /* the server's end; 0: a Close without a code */
	const char *end_reason;	   /* of that */
	const char *failed_reason; /* of 1011; NULL: what became of it */
};

/* A request for a WebSocket to @host, @port, which is answered before that is judged; @by_operator: it is configured, and above the floor */
void mf_gw_pipe_serve(struct mf_gateway *gw, struct mf_http_exchange *x,
		      const struct mf_http_request *req, const struct mf_gw_pipe_style *style,
		      const struct mf_gw_host *host, uint16_t port, bool by_operator);

/* --- front_relays.c ------------------------------------------------------------------------------------------------------- */

/*
 * The subprotocol to be echoed: the first that is offered, as browsers end a connection that is told none of theirs; a credential is the
 * last choice. Return: 1 with *ret; 2: it is a credential; 0: none is offered; MF_E_BAD
 */
int mf_gw_choose_protocol(const struct mf_http_request *req, struct mf_span *ret);

#endif
