/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h - telling the service manager how we are: systemd's protocol, sd_notify(3), without its library
 *
 *	mf_notify_begin(&n);                                first of all: takes NOTIFY_SOCKET and WATCHDOG_* out of the environment
 *	mf_notify_tell(&n, "READY=1\nSTATUS=serving");
 *
 * Without a manager that listens (and on Windows, which has one of its own: service.h) all of it does nothing.
 */
#ifndef MF_CLI_NOTIFY_H
#define MF_CLI_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#define MF_NOTIFY_PATH_MAX 108

struct mf_notify {
	char path[MF_NOTIFY_PATH_MAX]; /* "": nobody listens; '@' first: an abstract name (Linux) */
	uint64_t watchdog_us;	       /* a WATCHDOG=1 is wanted that often; 0: never */
};

/** mf_notify_begin() - Before there are threads: nobody that we start is to speak for us */
void mf_notify_begin(struct mf_notify *n);

/** mf_notify_tell() - One message, lines NAME=value. Waits a second at most. Return: 0; MF_E_IO: it was not taken */
int mf_notify_tell(const struct mf_notify *n, const char *text);

/** mf_notify_reloading() - RELOADING=1 with the time, after which READY=1 has to follow; Return: the same */
int mf_notify_reloading(const struct mf_notify *n);

#endif
