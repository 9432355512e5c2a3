/* SPDX-License-Identifier: Apache-2.0 */
/* mount_process_win32.c - who calls, as policies ask for it: program and parent of a process */
#include <string.h>
#include <windows.h>
#include <winternl.h>

#include "core/base/err.h"
#include "fs/mount_int_win32.h"

#define EXE_UNITS 4096

/* It lives as long as its caller needs it: until this thread asks again. */
static _Thread_local char found[EXE_UNITS * 3 + 1];

static int64_t parent_of(HANDLE process)
{
	PROCESS_BASIC_INFORMATION info;
	ULONG got;

	if (NtQueryInformationProcess(process, ProcessBasicInformation, &info, sizeof(info), &got) <
	    0)
		return 0;
	return (int64_t)info.InheritedFromUniqueProcessId;
}

static bool exe_of(HANDLE process)
{
	wchar_t path[EXE_UNITS];
	DWORD n = EXE_UNITS;
	int len;

	if (!QueryFullProcessImageNameW(process, 0, path, &n))
		return false;
	len = WideCharToMultiByte(CP_UTF8, 0, path, (int)n, found, (int)sizeof(found) - 1, NULL,
				  NULL);
	if (len <= 0)
		return false;
	found[len] = '\0';
	return true;
}

int mf_mount_find_process(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret)
{
	const char *slash;
	HANDLE process;

	(void)ctx;
	*ret = (struct mf_process){ 0 };
	if (caller->pid <= 0 || caller->pid > UINT32_MAX)
		return MF_E_NOENT;
	process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)caller->pid);
	if (!process)
		return MF_E_NOENT;
	ret->pid = caller->pid;
	ret->parent = parent_of(process);
	if (exe_of(process)) {
		slash = strrchr(found, '\\');
		ret->exe = found;
		ret->name = slash ? slash + 1 : found;
	}
	CloseHandle(process);
	return 0;
}
