/* SPDX-License-Identifier: Apache-2.0 */
/*
 * running.h - the sessions that run now, by their control sockets (cli/control.h, daemon/session_place.h)
 *
 * A socket that nobody serves any more, because its session was killed, is removed by whoever finds it.
 */
#ifndef MF_CLI_RUNNING_H
#define MF_CLI_RUNNING_H

#include "cli/paths.h"
#include "core/base/err.h"

#define MF_RUNNING_MAX	  256 /* sockets that are looked at */
#define MF_RUNNING_ID_MAX 64

/* One session as it says of itself. */
struct mf_running {
	char socket[MF_PATH_MAX];
	char id[MF_RUNNING_ID_MAX], kind[16];
	long long pid;
	char what[128]; /* its command, or where it is seen */
};

/**
 * mf_running_list() - Ask all
 * @ret: MF_RUNNING_MAX of them. Return: how many answered; MF_E_NOENT, MF_E_IO, MF_E_NOMEM
 */
int mf_running_list(struct mf_running *ret, struct mf_err *err);

/**
 * mf_running_find() - The one with this id or process number; NULL: the only one there is
 * Return: 0; MF_E_NOENT; MF_E_EXIST: several, which @err names; as mf_running_list()
 */
int mf_running_find(const char *id, struct mf_running *ret, struct mf_err *err);

#endif
