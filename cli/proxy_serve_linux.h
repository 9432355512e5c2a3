/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_serve_linux.h - the start of the service, and its broker, on Linux */
#ifndef MF_CLI_PROXY_SERVE_LINUX_H
#define MF_CLI_PROXY_SERVE_LINUX_H

#include <sys/types.h>

#include "cli/authority_watch.h"
#include "cli/policy_host.h"
#include "cli/proxy.h"
#include "cli/proxy_resolvers_linux.h"

#define MF_PROXY_MESSAGE_MAX (160 * 1024) /* between service and broker */

struct event;

struct mf_proxy_start {
	const struct mf_proxy_wishes *wishes;
	bool brokered; /* connections are redirected, by a broker that stays root */
	bool temporary;
	int ready_fd; /* who waits for the start; -1: nobody */
	int lock_fd, control_fd;
	int fds[2];
	size_t fd_cnt;
	struct mf_endpoint listeners[2];
	uid_t uid; /* of the service */
	gid_t gid;
	uid_t for_uids[MF_PROXY_USERS_MAX];
	struct mf_proxy_dns dns[MF_PROXY_DNS_MAX];
	size_t dns_cnt;
	struct mf_tls_authority *authority;
	int broker_fd; /* between service and broker, on either side */
	/* in the service */
	struct mf_policy_host host;
	struct mf_proxy_service *service;
	struct event *broker_ev;
	struct mf_authority_watch watch;     /* of who has no broker */
	struct mf_proxy_resolvers resolvers; /* of --dns-listen */
	struct event *resolvers_ev;
};

/* Be the service, as its own user; returns when it has ended. Return: 0, MF_E_* */
int mf_proxy_start_service(struct mf_proxy_start *s, struct mf_err *err);
/* Tell whoever waits that it has started; then nobody reads what is printed any more */
int mf_proxy_start_say(struct mf_proxy_start *s);
void mf_proxy_start_detach(const struct mf_proxy_start *s);

/* proxy_broker_linux.c */
/* Fork the service, load the rules once it is ready, keep both; returns when either has ended. Return: 0, MF_E_* */
int mf_proxy_broker_run(struct mf_proxy_start *s, struct mf_err *err);
/* proxy_broker_link_linux.c: the service's side; @start: struct mf_proxy_start */
void mf_proxy_broker_tell_names(void *start, const char *const *names, size_t cnt);
int mf_proxy_start_ready(struct mf_proxy_start *s, struct mf_err *err);
int mf_proxy_service_listen_to_broker(struct mf_proxy_start *s, struct event_base *base,
				      struct mf_err *err);
void mf_proxy_service_stop_listening(struct mf_proxy_start *s);
/* The service ends: wait until nothing is redirected to it any more */
void mf_proxy_broker_part(const struct mf_proxy_start *s);

#endif
