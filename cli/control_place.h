/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_place.h - what this process does so that others find its control socket (daemon/session_place.h), and end it by that
 */
#ifndef MF_CLI_CONTROL_PLACE_H
#define MF_CLI_CONTROL_PLACE_H

#include "core/base/err.h"

/** mf_control_place_tell() - It is there: let others find it; Return: 0 or an error with @err */
int mf_control_place_tell(const char *dir, struct mf_err *err);
/** mf_control_place_leave() - Take away what is left of that when the socket is closed */
void mf_control_place_leave(const char *dir);

/** mf_control_place_end() - As if somebody had asked this process by SIGTERM to end; from any thread */
void mf_control_place_end(void);

#endif
