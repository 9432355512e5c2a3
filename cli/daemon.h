/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.h - what a subcommand that serves until it is stopped wants of the system */
#ifndef MF_CLI_DAEMON_H
#define MF_CLI_DAEMON_H

#include <moonfence/moonfence.h>
#include <stdbool.h>

/** mf_daemon_is_root() - Whether we may do what others may not, and should not any longer than we must */
bool mf_daemon_is_root(void);

/** mf_daemon_become() - Be @user, with that user's groups only, for good; before there are threads
 * Return: 0; MF_E_NOENT (no such user), MF_E_PERM, MF_E_UNSUPPORTED (this system has no such thing) */
int mf_daemon_become(const char *user, struct mf_err *err);

/** mf_daemon_reload_signal() - The signal that asks for a reload; -1: there is none here */
int mf_daemon_reload_signal(void);

#endif
