/* SPDX-License-Identifier: Apache-2.0 */
/* backend_names.c - names of the ways to capture, the same on every system */
#include <string.h>

#include "capture/capture.h"

const char *mf_capture_backend_name(enum mf_capture_backend backend)
{
	static const char *const names[] = { "tproxy", "tun", "windivert", "block" };

	_Static_assert(MF_ARRAY_SIZE(names) == MF_CAPTURE_BACKEND_NUM, "a name per backend");
	return (unsigned)backend < MF_CAPTURE_BACKEND_NUM ? names[backend] : "?";
}

int mf_capture_backend_find(const char *name)
{
	for (int i = 0; i < MF_CAPTURE_BACKEND_NUM; i++)
		if (strcmp(name, mf_capture_backend_name((enum mf_capture_backend)i)) == 0)
			return i;
	return MF_E_NOENT;
}
