/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_system_nolinux.c - where `moonfence gateway` asks nothing of the system: no filter */
#include "cli/gateway_command.h"

void mf_gateway_raise_limits(void)
{
}

int mf_gateway_take_given(struct mf_gateway_command *g, struct mf_err *err)
{
	(void)g;
	(void)err;
	return 0;
}

int mf_gateway_confine(struct mf_err *err)
{
	(void)err;
	return 0;
}
