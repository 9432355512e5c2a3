/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_int.h - what the parts of the service share; not for its commands */
#ifndef MF_CLI_PROXY_INT_H
#define MF_CLI_PROXY_INT_H

#include "cli/policy_host.h"
#include "cli/proxy.h"
#include "core/policy/session.h"
#include "proxies/dev_servers.h"
#include "proxies/forward.h"
#include "proxies/http_service.h"

struct mf_dns_split;
struct mf_strbuf;

#define MF_PROXY_DNS_DETAIL 160

struct mf_proxy_service {
	struct mf_proxy_service_options o;
	struct event_base *base;
	struct mf_http_service *control, *page, *down;
	struct mf_forward *forward;
	json_t *settings;
	int pid;
	/* proxy_policies.c; no VM without a policy */
	struct mf_policy_host *host;
	struct mf_session session;
	/* proxy_dns.c; NULL without doors */
	struct mf_dns_split *dns;
	bool dns_on; /* the system's programs hear of our names that way */
	char dns_detail[MF_PROXY_DNS_DETAIL];
	/* proxy_detect.c */
	struct mf_dev_servers *dev; /* NULL: the broker looks */
	json_t *servers;	    /* by id */
};

/* proxy_policies.c */
int mf_proxy_service_load_policies(struct mf_proxy_service *s, struct mf_err *err);
void mf_proxy_service_free_policies(struct mf_proxy_service *s);

/* proxy_dns.c */
int mf_proxy_service_start_dns(struct mf_proxy_service *s, struct mf_err *err);
void mf_proxy_service_stop_dns(struct mf_proxy_service *s);
json_t *mf_proxy_service_dns_json(const struct mf_proxy_service *s);
void mf_proxy_service_write_dns_metrics(const struct mf_proxy_service *s, struct mf_strbuf *b);
/* Why programs will not find @name, maybe a wildcard; NULL: they will. Return: @room */
const char *mf_proxy_service_name_problem(const struct mf_proxy_service *s, const char *name,
					  char *room, size_t size);

/* proxy_detect.c */
int mf_proxy_service_detect(struct mf_proxy_service *s, struct mf_err *err);
void mf_proxy_service_stop_detecting(struct mf_proxy_service *s);
/* After a change of the maps: a route that a person's map hid is there again once the map is gone */
void mf_proxy_service_lay_routes(struct mf_proxy_service *s);
json_t *mf_proxy_service_servers(void *service);
enum mf_forward_mode mf_proxy_service_guess_mode(void *service,
						 const struct mf_forward_target *target);

/* proxy_service.c */
void mf_proxy_service_tell_names(struct mf_proxy_service *s);

/* proxy_serve_*.c */
int mf_proxy_pid(void);

#endif
