/* SPDX-License-Identifier: Apache-2.0 */
/* service_posix.c - see service.h */
#include "cli/service.h"

static int none(struct mf_err *err)
{
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "services are Windows': here the system starts 'moonfence daemon' as it "
			  "is");
}

int mf_service_install(const char *config, struct mf_err *err)
{
	(void)config;
	return none(err);
}

int mf_service_uninstall(struct mf_err *err)
{
	return none(err);
}

int mf_service_run(int (*serve)(void *ctx), void *ctx, struct mf_err *err)
{
	(void)serve;
	(void)ctx;
	return none(err);
}

void mf_service_ready(void (*stop)(void *ctx), void *ctx)
{
	(void)stop;
	(void)ctx;
}
