/* SPDX-License-Identifier: Apache-2.0 */
/* helper_darwin.c - the broker of pf_darwin.c is forked, not started: the program is never a helper of its own */
#include "capture/capture.h"

bool mf_capture_helper_main(int argc, char **argv, int *ret_status)
{
	(void)argc;
	(void)argv;
	(void)ret_status;
	return false;
}
