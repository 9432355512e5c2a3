/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wfp_win32.h - no network at all for named programs, by filters of the Windows Filtering Platform: the fallback without
 * WinDivert
 *
 * Nothing is redirected and nothing is judged: outgoing connections of the programs are refused, TCP, UDP and ICMP, IPv4
 * and IPv6, loopback too. The filters belong to a dynamic session: Windows removes them when this process ends, however it
 * ends. A hard block: no other filter of lesser weight can permit what it refuses.
 *
 * What it cannot do. A filter names a program file, for Windows has no condition "process" or "job". So
 *
 *	- every process of the same program file is blocked as long as the session runs, also those of others;
 *	- a program that the session starts is blocked when its start becomes known, a moment after it could run;
 *	- names are resolved by the DNS Client service, which is not of the session: queries still go out.
 *
 * fwpuclnt.dll is loaded at run time. Opening needs an elevated token, or rights on the engine.
 */
#ifndef MF_CAPTURE_WFP_WIN32_H
#define MF_CAPTURE_WFP_WIN32_H

#include <windows.h>

#include <fwpmu.h>

#include "core/base/err.h"

/* Program files that one session blocks at most. */
#define MF_WFP_PROGRAMS_MAX 1024

/* The functions of fwpuclnt.dll that are used, as documented; all return a Windows error code. */
struct mf_wfp_api {
	DWORD(WINAPI *engine_open)
	(const wchar_t *server, UINT32 authn, SEC_WINNT_AUTH_IDENTITY_W *identity,
	 const FWPM_SESSION0 *session, HANDLE *ret);
	DWORD(WINAPI *engine_close)(HANDLE engine);
	DWORD(WINAPI *transaction_begin)(HANDLE engine, UINT32 flags);
	DWORD(WINAPI *transaction_commit)(HANDLE engine);
	DWORD(WINAPI *transaction_abort)(HANDLE engine);
	DWORD(WINAPI *sublayer_add)
	(HANDLE engine, const FWPM_SUBLAYER0 *sublayer, PSECURITY_DESCRIPTOR sd);
	DWORD(WINAPI *filter_add)
	(HANDLE engine, const FWPM_FILTER0 *filter, PSECURITY_DESCRIPTOR sd, UINT64 *ret_id);
	DWORD(WINAPI *app_id_of)(const wchar_t *file, FWP_BYTE_BLOB **ret);
	void(WINAPI *free_memory)(void **memory);
};

struct mf_wfp;

/**
 * mf_wfp_new() - Open the engine in a dynamic session, and add a sublayer of our own
 * @api: borrowed until mf_wfp_free(); NULL: the system's
 * Return: 0; MF_E_UNSUPPORTED (no fwpuclnt.dll), MF_E_PERM (not elevated), MF_E_IO (the Base Filtering Engine does not run,
 * or another reason, named), MF_E_NOMEM
 */
int mf_wfp_new(const struct mf_wfp_api *api, struct mf_wfp **ret, struct mf_err *err);

/**
 * mf_wfp_block() - Refuse the outgoing connections of a program file from now on
 * @path: absolute, UTF-8
 * Return: 0; MF_E_EXIST (blocked already); MF_E_FULL, MF_E_NOENT (no such file), MF_E_IO, MF_E_NOMEM: it is not blocked,
 * neither family, and must not run
 */
int mf_wfp_block(struct mf_wfp *w, const char *path, struct mf_err *err);

/** mf_wfp_count() - Program files that are blocked */
unsigned mf_wfp_count(const struct mf_wfp *w);

/** mf_wfp_free() - Close the engine, which removes all filters; NULL is fine */
void mf_wfp_free(struct mf_wfp *w);

#endif
