/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - the other end of the control socket: one request, its answer; blocking
 *
 *	struct mf_client_answer a;
 *
 *	r = mf_client_call(path, &(struct mf_client_request){ .method = "GET", .target = "/v1/health" }, &a, &err);
 *	... a.status, a.body ...
 *	mf_client_answer_done(&a);
 */
#ifndef MF_DAEMON_CLIENT_H
#define MF_DAEMON_CLIENT_H

#include "core/base/err.h"
#include "core/base/span.h"
#include "core/base/strbuf.h"

#define MF_CLIENT_ANSWER_MAX ((size_t)64 << 20)

struct mf_client_request {
	const char *method, *target; /* "GET"; "/v1/health", as it is sent: percent-encoded */
	struct mf_span body;	     /* JSON; empty: none */
	int64_t peer_pid; /* who must serve there, as the system says; 0: anybody. Else MF_E_PERM */
	/*
	 * What comes, as it comes, in place of answer.body, once a status of 200 was read; Return: false: enough. NULL: it is
	 * gathered
	 */
	bool (*piece)(void *ctx, struct mf_span bytes);
	void *ctx;
	unsigned timeout_ms;	 /* that may pass without a byte of the answer; 0: any */
	bool (*idle)(void *ctx); /* when it has passed: whether to wait again; NULL: MF_E_TIME */
};

struct mf_client_answer {
	int status;
	char type[128];
	struct mf_strbuf body; /* NUL-terminated when anything came */
};

/**
 * mf_client_call() - Connect to the socket or pipe at @path, ask, wait
 * Return: 0, whatever the status; MF_E_NOENT, MF_E_CLOSED (no daemon serves there), MF_E_PERM, MF_E_IO, MF_E_BAD (no HTTP),
 *         MF_E_LIMIT, MF_E_NOMEM
 */
int mf_client_call(const char *path, const struct mf_client_request *request,
		   struct mf_client_answer *ret, struct mf_err *err);
void mf_client_answer_done(struct mf_client_answer *a);

/* One system's side: client_posix.c, client_win32.c. */
struct mf_client_link;
int mf_client_connect(const char *path, struct mf_client_link **ret, struct mf_err *err);
/** mf_client_peer_pid() - Who serves there; 0: not known */
int64_t mf_client_peer_pid(struct mf_client_link *l);
/** mf_client_set_timeout() - mf_client_read() fails when nothing comes for so long */
void mf_client_set_timeout(struct mf_client_link *l, unsigned ms);
/** mf_client_write() - All of it; Return: 0, MF_E_IO */
int mf_client_write(struct mf_client_link *l, const void *bytes, size_t len);
/** mf_client_read() - Return: bytes, 0 at the end, MF_E_IO, MF_E_TIME */
int64_t mf_client_read(struct mf_client_link *l, void *bytes, size_t len);
void mf_client_close(struct mf_client_link *l);

#endif
