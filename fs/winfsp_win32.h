/* SPDX-License-Identifier: Apache-2.0 */
/*
 * winfsp_win32.h - WinFsp's DLL: found through the registry, loaded by absolute path, its calls
 *
 * The place is the value InstallDir of HKLM\Software\WinFsp in the registry's 32-bit view, which only administrators write,
 * and no other: neither the search path nor the current folder is looked into. Nothing of WinFsp is linked or shipped.
 */
#ifndef MF_FS_WINFSP_WIN32_H
#define MF_FS_WINFSP_WIN32_H

#include "core/base/err.h"
#include "fs/winfsp_abi.h"

/* What a person does who has none: stands at the end of sentences. */
#define MF_WINFSP_INSTALL                                                                       \
	"install WinFsp 2.0 or later (https://github.com/winfsp/winfsp/releases, the \"Core\" " \
	"feature is enough)"

/* What WinFsp's licence (GPLv3 with an exception for free software) wants a program to say that loads it. */
#define MF_WINFSP_NOTICE                                                                           \
	"WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos, which the program " \
	"loads where it is installed: https://github.com/winfsp/winfsp"

struct mf_winfsp_library {
	void *module;
	struct mf_winfsp_calls calls;
	struct mf_winfsp_env env; /* the first argument of every call */
};

/**
 * mf_winfsp_load() - Find and load the DLL
 * Return: 0; MF_E_NOENT: not installed, or its file is gone; MF_E_UNSUPPORTED: another processor's, or too old; MF_E_BAD:
 * the registry's value is no absolute path; MF_E_IO; MF_E_NOMEM. Each sentence says what to do.
 */
int mf_winfsp_load(struct mf_winfsp_library *ret, struct mf_err *err);
/** mf_winfsp_unload() - After the last call of it has returned; a zeroed struct is fine */
void mf_winfsp_unload(struct mf_winfsp_library *lib);

#endif
