/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - one GET over HTTPS, bounded in bytes and time
 *
 * libcurl does it, loaded when the first address is asked for: nobody else pays for it. TLS 1.2 or newer, certificates and names are
 * checked always; at most five redirects, to https alone, and credentials do not follow them to other hosts. Proxies are those of
 * the environment (https_proxy, ALL_PROXY, no_proxy), as libcurl reads it.
 */
#ifndef MF_PACKS_HTTP_H
#define MF_PACKS_HTTP_H

#include "packs/source.h"

struct mf_http_request {
	const char *url;
	const char *accept;			     /* NULL: anything */
	const char *bearer;			     /* a token, or NULL */
	const char *user_password;		     /* for Basic, or NULL */
	const char *ca;				     /* NULL: the system's certificates */
	const struct mf_pack_validators *validators; /* NULL: none */
	size_t max; /* bytes of what comes, with the beginning that is there */
	uint32_t timeout_s;
};

struct mf_http_answer {
	long status;
	struct mf_pack_validators validators;
	char type[128], encoding[32]; /* of the content, "" where nothing was said */
	char challenge[1024];	      /* WWW-Authenticate */
	char digest[128];	      /* Docker-Content-Digest */
	/* In: a beginning to go on from, or nothing; out: what there is. free()d by the caller, also on failure. */
	uint8_t *data;
	size_t len;
	bool passing;
	uint64_t retry_after_s;
};

/**
 * mf_http_get() - Return: 0: there is an answer, of whatever status (its body is kept for 200 and 206 alone);
 *		   MF_E_LIMIT: more than request->max; MF_E_TIME; MF_E_PERM: TLS, or a redirect that is not followed; MF_E_IO;
 *		   MF_E_BAD; MF_E_UNSUPPORTED: no libcurl here; MF_E_NOMEM
 */
int mf_http_get(const struct mf_http_request *q, struct mf_http_answer *a, struct mf_err *err);

#endif
