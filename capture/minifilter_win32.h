/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minifilter_win32.h - the minifilter client at the filter manager's port, in a thread of its own
 *
 * fltlib.dll is loaded from the system's folder when a client is made; without it, or without the driver, there is no
 * client and a session works without one. After a loss the thread connects again, at first after 100 ms, then less often.
 */
#ifndef MF_CAPTURE_MINIFILTER_WIN32_H
#define MF_CAPTURE_MINIFILTER_WIN32_H

#include "capture/minifilter_client.h"

/* Between tries to connect again: the first time, and at most. */
#define MF_MINIFILTER_RETRY_FIRST_MS 100
#define MF_MINIFILTER_RETRY_MAX_MS   10000

struct mf_minifilter;

/** mf_minifilter_open() - Connect to MF_MINIFILTER_PORT and start the thread
 * Return: 0; MF_E_NOENT (no driver here), MF_E_UNSUPPORTED (no filter manager), MF_E_PERM (not elevated), MF_E_INVAL,
 * MF_E_NOMEM, MF_E_IO */
int mf_minifilter_open(const struct mf_minifilter_options *options, struct mf_minifilter **ret,
		       struct mf_err *err);

/** mf_minifilter_open_over() - The same over any transport */
int mf_minifilter_open_over(const struct mf_minifilter_options *options,
			    const struct mf_minifilter_transport *transport,
			    struct mf_minifilter **ret, struct mf_err *err);

struct mf_minifilter_client *mf_minifilter_client(struct mf_minifilter *m);

/** mf_minifilter_close() - Unregister, disconnect, end the thread; NULL is fine */
void mf_minifilter_close(struct mf_minifilter *m);

#endif
