/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_services.h - http_services of agentsh policies: what a gateway lets through to each, by method and path
 *
 * A service stands for one HTTP server. The session's programs reach it through a gateway alone (its hosts are closed to direct
 * connections, agentsh_http.c), which asks here about each request: the first rule whose methods and paths match decides, and the
 * service's default where none does, which is deny unless it is written.
 *
 * Paths are matched as the server will read them: decoded once. What two servers could read in two ways (encoded slashes, empty and
 * dotted segments, a second layer of encoding) is refused before any rule is asked.
 *
 * A table never changes once it is made: any number of threads may use it.
 */
#ifndef MF_POLICY_API_SERVICES_H
#define MF_POLICY_API_SERVICES_H

#include <moonfence/moonfence.h>

#include "core/base/err.h"
#include "core/base/span.h"

#define MF_API_SERVICES_MAX	  256  /* of all policies of a generation */
#define MF_API_SERVICE_PATH_MAX	  4096 /* bytes of a path, decoded */
#define MF_API_SERVICE_RULE_ROOM  256
#define MF_API_SERVICE_HOST_ROOM  256
#define MF_API_SERVICE_NAME_CHARS "a-z, A-Z, 0-9, '-' and '_'"

struct mf_source_set;
struct mf_api_service_rule;

struct mf_api_service {
	const char *name;
	const char *env;		     /* the variable that tells programs where it is */
	char host[MF_API_SERVICE_HOST_ROOM]; /* name or address of the server, without brackets */
	const char *authority; /* as the URL has it: host, and port where it is written */
	size_t authority_len;
	const char *base; /* path of the URL, without a slash at its end; may be empty */
	size_t base_len;
	uint16_t port;
	bool tls;
	/* the rest is for mf_api_service_judge() */
	const char *policy, *file;
	unsigned index, line;
	enum mf_verdict verdict; /* of the default */
	bool ask_else_allow;
	struct mf_api_service_rule *rules;
	size_t rule_cnt;
	char own_env[MF_API_SERVICE_HOST_ROOM];
};

struct mf_api_services;

/** mf_api_services_new() - Those of all agentsh policies of @set, in order; the first of a name counts. Return: 0, MF_E_LIMIT, MF_E_NOMEM */
int mf_api_services_new(const struct mf_source_set *set, struct mf_api_services **ret,
			struct mf_err *err);
void mf_api_services_free(struct mf_api_services *s); /* NULL is fine */

size_t mf_api_services_count(const struct mf_api_services *s);
const struct mf_api_service *mf_api_services_at(const struct mf_api_services *s, size_t i);
/** mf_api_services_find() - Return: NULL: there is none of that name */
const struct mf_api_service *mf_api_services_find(const struct mf_api_services *s,
						  struct mf_span name);

/* What becomes of a request. */
struct mf_api_service_judgement {
	/* MF_ALLOW, MF_DENY, or MF_ASK, which mf_approve_settle() is for; its texts live as long as the table and this struct */
	struct mf_decision d;
	char rule[MF_API_SERVICE_RULE_ROOM];
};

/**
 * mf_api_service_judge() - Ask about a request
 * @path: as sent, without the query; empty for "/"
 */
void mf_api_service_judge(const struct mf_api_service *s, struct mf_span method,
			  struct mf_span path, struct mf_api_service_judgement *ret);

#endif
