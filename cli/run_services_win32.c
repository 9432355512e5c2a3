/* SPDX-License-Identifier: Apache-2.0 */
/* run_services_win32.c - not here: the gateway of services is tested on Linux alone; see run_services.h */
#include "cli/run_services.h"

int mf_run_services_environment(struct mf_run_services *s, const struct mf_api_services *t)
{
	(void)t;
	mf_log_warning(
		&s->host->log,
		"http_services: there is no gateway on Windows; their hosts are out of reach");
	return 0;
}
