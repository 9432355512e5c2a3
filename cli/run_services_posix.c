/* SPDX-License-Identifier: Apache-2.0 */
/* run_services_posix.c - the command's environment with the services in it; see run_services.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run_services.h"
#include "proxies/service_gateway.h"

extern char **environ;

/* Whether @entry, "NAME=value", is of a variable that a service has. */
static bool is_replaced(const struct mf_api_services *t, const char *entry)
{
	size_t n = strcspn(entry, "=");

	for (size_t i = 0; i < mf_api_services_count(t); i++) {
		const char *env = mf_api_services_at(t, i)->env;

		if (strlen(env) == n && memcmp(env, entry, n) == 0)
			return true;
	}
	return false;
}

int mf_run_services_environment(struct mf_run_services *s, const struct mf_api_services *t)
{
	size_t cnt = 0, n = 0;

	while (environ[cnt])
		cnt++;
	s->envp = calloc(cnt + mf_api_services_count(t) + 1, sizeof(char *));
	s->own = calloc(mf_api_services_count(t), sizeof(char *));
	if (!s->envp || !s->own)
		return MF_E_NOMEM;
	for (size_t i = 0; i < cnt; i++)
		if (!is_replaced(t, environ[i]))
			s->envp[n++] = environ[i];
	for (size_t i = 0; i < mf_api_services_count(t); i++) {
		const struct mf_api_service *v = mf_api_services_at(t, i);
		size_t room = strlen(v->env) + strlen(v->name) + sizeof(MF_SERVICE_GATEWAY_URL) + 2;
		char *entry = malloc(room);

		if (!entry)
			return MF_E_NOMEM;
		snprintf(entry, room, "%s=%s%s", v->env, MF_SERVICE_GATEWAY_URL, v->name);
		s->own[s->own_cnt++] = s->envp[n++] = entry;
	}
	return 0;
}
