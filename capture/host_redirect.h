/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_redirect.h - rules that lead this host's own connections to a listener, and where each of them was going (Linux)
 *
 * One nftables table, "inet moonfence_forward", loaded in one transaction; a table that an earlier process left behind is replaced in
 * the same one. The kernel ties the table to the descriptor that loaded it (flags owner, Linux 5.12): nobody else can
 * change it, and it goes when that descriptor is closed, however its process ends. Older kernels have it without the tie;
 * then mf_host_redirect_close() removes it, and what a killed process leaves is replaced at the next start.
 *
 * Redirected are connections that this host makes, of both families, to port 443 (and 80), but for those of the user that the proxy
 * runs as: what it dials reaches its destination. Connections that arrive from elsewhere are left alone. With @dns the questions
 * that this host's programs put to those resolvers, by UDP and TCP, come to listeners as well; questions to others do not. What
 * connection tracking remembers of them is for mf_host_flows_forget(), once those listeners have ended.
 *
 * Needs CAP_NET_ADMIN, but for mf_host_redirect_find_original().
 */
#ifndef MF_CAPTURE_HOST_REDIRECT_H
#define MF_CAPTURE_HOST_REDIRECT_H

#include <stdbool.h>

#include "core/base/addr.h"
#include "core/base/err.h"

struct mf_host_redirect;

struct mf_host_redirect_options {
	uint16_t port4, port6; /* of the listeners on 127.0.0.1 and ::1; 0: none of this family */
	uint32_t exempt_uid;   /* whose connections go where they want */
	const uint32_t *uids;  /* whose connections are redirected; none: everybody's */
	size_t uid_cnt;
	bool http; /* port 80, too */
	const struct mf_host_redirect_dns *dns;
	size_t dns_cnt;
};

/* Questions to port 53 of a resolver go to a port of 127.0.0.1 or ::1, by the resolver's family. */
struct mf_host_redirect_dns {
	struct mf_addr resolver;
	uint16_t port;
};

/**
 * mf_host_redirect_open() - Load the rules
 * Datagrams to a resolver whose flow the kernel knows from before come to us as well: such flows are forgotten, once they had an
 * answer. Cost: a list of the host's tracked flows.
 * Return: 0; MF_E_UNSUPPORTED: nftables refuses them; MF_E_NOMEM; MF_E_INVAL: no port
 */
int mf_host_redirect_open(const struct mf_host_redirect_options *o, struct mf_host_redirect **ret,
			  struct mf_err *err);
/**
 * mf_host_redirect_change() - Other rules in their place, in one transaction; where that fails the old ones stay
 * Return: as mf_host_redirect_open()
 */
int mf_host_redirect_change(struct mf_host_redirect *r, const struct mf_host_redirect_options *o,
			    struct mf_err *err);
/**
 * mf_host_redirect_stop() - Redirect nothing more; what was redirected stays so until mf_host_redirect_close()
 * Without rules of that kind the kernel stops translating also what it has begun: answers would come from a wrong address.
 */
void mf_host_redirect_stop(struct mf_host_redirect *r);
/** mf_host_redirect_close() - Remove the rules; NULL is fine, here and for the one before */
void mf_host_redirect_close(struct mf_host_redirect *r);

/** mf_host_redirect_is_owned() - Whether the kernel removes them with us */
bool mf_host_redirect_is_owned(const struct mf_host_redirect *r);
/** mf_host_redirect_is_there() - Whether the rules are still loaded; cost: a question to the kernel */
bool mf_host_redirect_is_there(struct mf_host_redirect *r);

/** mf_host_redirect_list() - Whether there is a table of this name, whosever it is; Return: 1, 0, MF_E_UNSUPPORTED */
int mf_host_redirect_list(void);

/**
 * mf_host_redirect_find_original() - Where an accepted connection was going
 * @local: of the accepted socket; a connection made to the listener itself has no other destination
 * Return: 0; MF_E_NOENT: it was not redirected
 */
int mf_host_redirect_find_original(void *unused, int fd, const struct mf_endpoint *local,
				   struct mf_endpoint *ret);

#endif
