/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_detect.c - detected development servers become routes of the service */
#include <stdio.h>
#include <string.h>

#include "cli/proxy_int.h"

int mf_proxy_service_detect(struct mf_proxy_service *s, struct mf_err *err)
{
	(void)s;
	(void)err;
	return 0;
}

void mf_proxy_service_stop_detecting(struct mf_proxy_service *s)
{
	(void)s;
}

void mf_proxy_service_names_taken(struct mf_proxy_service *s)
{
	(void)s;
}

json_t *mf_proxy_service_servers(void *service)
{
	(void)service;
	return json_array();
}

enum mf_forward_mode mf_proxy_service_guess_mode(void *service,
						 const struct mf_forward_target *target)
{
	(void)service;
	(void)target;
	return MF_FORWARD_PLAIN;
}
