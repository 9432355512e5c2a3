/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - the parts of "moonfence proxy": its commands, the service that they talk to, and what one system does for it
 *
 * The service is one process (and, as root, a broker beside it: proxy_serve_linux.c). Its directory has the control socket and
 * the settings:
 *
 *   as root             /run/moonfence/proxy.sock, /var/lib/moonfence/proxy/proxy.json
 *   as anybody else     $XDG_RUNTIME_DIR/moonfence/proxy.sock, $XDG_CONFIG_HOME/moonfence/proxy.json
 *   with --dir DIR      DIR/proxy.sock, DIR/proxy.json
 *
 * proxy.json is one object: "limits" (docs/forwarding.md), and "maps", which "proxy map" changes. It is written whole to a new file
 * that then takes its place.
 */
#ifndef MF_CLI_PROXY_H
#define MF_CLI_PROXY_H

#include <jansson.h>

#include "cli/approval_options.h"
#include "cli/options.h"
#include "cli/paths.h"
#include "core/base/addr.h"
#include "core/base/err.h"

#define MF_PROXY_USERS_MAX    16
#define MF_PROXY_POLICIES_MAX 16
/* Doors for questions, of which the first half is on 127.0.0.1 and the rest on ::1 where they are redirected */
#define MF_PROXY_DNS_MAX	 8
#define MF_PROXY_DNS_SERVERS_MAX 4

/* Where questions come in; descriptors: -1 once they are somebody else's */
struct mf_proxy_dns {
	struct mf_endpoint at;
	int udp, tcp;
};

struct mf_proxy_places {
	char dir[MF_PATH_MAX];	  /* of the socket */
	char socket[MF_PATH_MAX]; /* at most 107 bytes are usable */
	char state[MF_PATH_MAX];  /* the directory of the settings */
	char settings[MF_PATH_MAX];
	char authority[MF_PATH_MAX]; /* the local authority's directory */
};

/* What "proxy enable" was asked for. */
struct mf_proxy_wishes {
	struct mf_proxy_places places;
	struct mf_endpoint
		listen; /* family 0: the host's connections are redirected to a port of our choice */
	bool http;	/* port 80, too */
	bool foreground, no_hosts, no_detection, verbose;
	const char *user; /* that the service runs as */
	const char *for_users[MF_PROXY_USERS_MAX];
	size_t for_user_cnt;
	const char *policies[MF_PROXY_POLICIES_MAX];
	size_t policy_cnt;
	const char *maps[64]; /* "NAME=TARGET", added to those of the settings */
	size_t map_cnt;
	const char *hosts_file;
	bool no_dns; /* no questions are redirected: names go into the hosts file */
	struct mf_endpoint dns_listen; /* family 0: nowhere that a person has chosen */
	struct mf_endpoint dns_servers[MF_PROXY_DNS_SERVERS_MAX]; /* none: the system's */
	size_t dns_server_cnt;
	const char *events_path;
	const char *events_rotate;
	bool events_strict;
	struct mf_approval_options ask;
};

/** mf_proxy_find_places() - @dir: of --dir, or NULL; Return: 0, MF_E_LIMIT, MF_E_NOENT (no home) */
int mf_proxy_find_places(const char *dir, struct mf_proxy_places *ret, struct mf_err *err);

/** mf_proxy_serve() - Be the service until it is disabled; Return: an exit status */
int mf_proxy_serve(const struct mf_proxy_wishes *wishes);

/**
 * mf_proxy_call() - One request to the running service
 * @body: JSON, NULL for none; stays the caller's
 * Return: the HTTP status with *ret_body (NULL: none that is JSON); MF_E_NOENT: no service runs; MF_E_IO, MF_E_PERM, MF_E_UNSUPPORTED
 */
int mf_proxy_call(const struct mf_proxy_places *places, const char *method, const char *path,
		  json_t *body, json_t **ret_body, struct mf_err *err);

/** mf_proxy_wait_for_end() - Wait until the service that was told to end has; Return: 0; MF_E_TIME after a minute */
int mf_proxy_wait_for_end(const struct mf_proxy_places *places);

/** mf_proxy_save() - Write the settings: whole, to a new file that then takes the place of the old; Return: 0, MF_E_IO */
int mf_proxy_save(const struct mf_proxy_places *places, json_t *settings, struct mf_err *err);

/* --- the service itself (proxy_service.c): made by mf_proxy_serve(), after whatever needs privileges is done --- */

struct mf_proxy_service;
struct mf_policy_host;
struct event_base;
struct mf_tls_authority;

struct mf_proxy_service_options {
	const struct mf_proxy_wishes *wishes;
	struct mf_policy_host
		*host; /* made by mf_proxy_host_begin() while there were rights to listen */
	int fds[2];    /* listeners */
	size_t fd_cnt;
	int control_fd;				   /* listening */
	struct mf_proxy_dns dns[MF_PROXY_DNS_MAX]; /* the service's from now on */
	size_t dns_cnt;
	struct mf_tls_authority *authority;
	bool authority_is_temporary;
	int (*find_original)(void *ctx, int fd, const struct mf_endpoint *local,
			     struct mf_endpoint *ret);
	/* The names that should lead to this machine have changed: a hosts file may be wanted. NULL: nobody cares */
	void (*names_changed)(void *ctx, const char *const *names, size_t cnt);
	void *ctx;
	bool is_brokered; /* the broker looks for development servers: mf_proxy_service_change_server() */
};

/** mf_proxy_host_begin() - Have the service's own control socket (cli/control.h): in its process, before it gives up rights */
void mf_proxy_host_begin(struct mf_policy_host *h, const struct mf_proxy_wishes *wishes);
/** mf_proxy_service_be_session() - The service serves: whoever asks at that socket is answered from now on */
void mf_proxy_service_be_session(struct mf_proxy_service *s);

int mf_proxy_service_new(struct event_base *base, const struct mf_proxy_service_options *o,
			 struct mf_proxy_service **ret, struct mf_err *err);
void mf_proxy_service_free(struct mf_proxy_service *s);
/** mf_proxy_service_change_server() - A server appeared or changed, or is gone; @server: of mf_dev_server_to_json(), stays the caller's */
void mf_proxy_service_change_server(struct mf_proxy_service *s, bool gone, json_t *server);
/** mf_proxy_service_lead_dns() - The resolvers behind a door; none: only names of ours have an answer there */
void mf_proxy_service_lead_dns(struct mf_proxy_service *s, unsigned door,
			       const struct mf_endpoint *servers, size_t cnt);
/** mf_proxy_service_finish_dns() - Nobody is led here any more: serve who still waits, a second at most */
void mf_proxy_service_finish_dns(struct mf_proxy_service *s);
/** mf_proxy_service_say_dns() - What is known of the DNS path */
void mf_proxy_service_say_dns(struct mf_proxy_service *s, bool on, const char *detail);
/** mf_proxy_service_new_authority() - The one that it was given has become another, one that stays */
void mf_proxy_service_new_authority(struct mf_proxy_service *s);
/** mf_proxy_service_rules() - What is known of the rules now */
void mf_proxy_service_rules(struct mf_proxy_service *s, bool ok, const char *detail);

#endif
