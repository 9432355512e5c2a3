/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_none_win32.c - domain forwarding on Windows: the engine is there, the service around it is not; said in one sentence */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/proxy_int.h"

int mf_proxy_find_places(const char *dir, struct mf_proxy_places *ret, struct mf_err *err)
{
	(void)dir;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "domain forwarding has no service on Windows yet: it needs a control "
			  "socket and a redirection that WinDivert would have to make");
}

int mf_proxy_save(const struct mf_proxy_places *places, json_t *settings, struct mf_err *err)
{
	(void)places;
	(void)settings;
	return mf_err_set(err, MF_E_UNSUPPORTED, "there is no service on Windows yet");
}

int mf_proxy_call(const struct mf_proxy_places *places, const char *method, const char *path,
		  json_t *body, json_t **ret_body, struct mf_err *err)
{
	(void)places;
	(void)method;
	(void)path;
	(void)body;
	*ret_body = NULL;
	return mf_err_set(err, MF_E_UNSUPPORTED, "there is no service on Windows yet");
}

int mf_proxy_wait_for_end(const struct mf_proxy_places *places)
{
	(void)places;
	return 0;
}

int mf_proxy_serve(const struct mf_proxy_wishes *wishes)
{
	(void)wishes;
	return MF_EXIT_FAULT;
}

int mf_proxy_pid(void)
{
	return 0;
}
