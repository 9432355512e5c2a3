/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - the daemon as a service of Windows: installed, removed, run by the service manager
 *
 * On other systems each function says MF_E_UNSUPPORTED with a sentence: there systemd or launchd starts programs as they are.
 */
#ifndef MF_CLI_SERVICE_H
#define MF_CLI_SERVICE_H

#include "core/base/err.h"

#define MF_SERVICE_NAME "moonfence"

/**
 * mf_service_install() - Register this program as "moonfence daemon --service --config @config", started with the system
 * @config: absolute. It runs as LocalService. Return: 0; MF_E_EXIST, MF_E_PERM, MF_E_IO, MF_E_UNSUPPORTED
 */
int mf_service_install(const char *config, struct mf_err *err);

/** mf_service_uninstall() - Stop it and take it away; Return: 0; MF_E_NOENT, MF_E_PERM, MF_E_IO, MF_E_UNSUPPORTED */
int mf_service_uninstall(struct mf_err *err);

/**
 * mf_service_run() - Be the service: called by what the service manager has started
 * @serve: runs in a thread of its own until it is stopped; its result is the exit status that the manager is told
 * Return: 0; MF_E_PERM (the service manager has not started us), MF_E_IO, MF_E_UNSUPPORTED
 */
int mf_service_run(int (*serve)(void *ctx), void *ctx, struct mf_err *err);

/** mf_service_ready() - From @serve: it serves now; @stop is called, in another thread, when it is to end. No service: nothing */
void mf_service_ready(void (*stop)(void *ctx), void *ctx);

#endif
