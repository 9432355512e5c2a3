/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_win32.c - a process as Windows knows it
 *
 * All is asked through one handle, so it is all of one process even when that ends meanwhile. Parent and command line have
 * no documented function; NtQueryInformationProcess() is looked up at run time and may be missing.
 */
#include "core/base/process_win32.h"

#include <stdlib.h>
#include <windows.h>

#include <winternl.h>

#include "core/base/command_line.h"
#include "core/base/win32.h"

#define EXE_UNITS_MAX	  32768
#define TOKEN_USER_MAX	  (sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE)
#define COMMAND_LINE_INFO 60 /* ProcessCommandLineInformation, Windows 8.1 */
/* Its length is a 16-bit number of bytes. */
#define COMMAND_LINE_MAX (sizeof(UNICODE_STRING) + 65536)

typedef LONG(NTAPI *query_fn)(HANDLE process, int what, void *ret, ULONG size, ULONG *ret_size);

static query_fn query_of_nt(void)
{
	HMODULE nt = GetModuleHandleW(L"ntdll.dll");

	return nt ? (query_fn)(void (*)(void))GetProcAddress(nt, "NtQueryInformationProcess")
		  : NULL;
}

static uint64_t created_of(HANDLE process)
{
	FILETIME created, exited, kernel, user;

	if (!GetProcessTimes(process, &created, &exited, &kernel, &user))
		return 0;
	return mf_win32_time_of_filetime((uint64_t)created.dwHighDateTime << 32 |
					 created.dwLowDateTime);
}

static int open_process(uint32_t pid, HANDLE *ret)
{
	*ret = pid ? OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid) : NULL;
	if (*ret)
		return 0;
	return pid && GetLastError() == ERROR_ACCESS_DENIED ? MF_E_PERM : MF_E_NOENT;
}

static uint32_t parent_of(HANDLE process, uint64_t created_ns)
{
	PROCESS_BASIC_INFORMATION info;
	query_fn query = query_of_nt();
	uint32_t parent;
	HANDLE handle;

	if (!query || query(process, ProcessBasicInformation, &info, sizeof(info), NULL) < 0)
		return 0;
	// Named Reserved3 or InheritedFromUniqueProcessId: the last pointer-sized word.
	memcpy(&parent, (uint8_t *)&info + sizeof(info) - sizeof(void *), sizeof(parent));
	if (open_process(parent, &handle) == 0) {
		if (created_of(handle) > created_ns)
			parent = 0;
		CloseHandle(handle);
	}
	return parent;
}

int mf_process_times(uint32_t pid, uint64_t *ret_created_ns, uint32_t *ret_parent)
{
	HANDLE process;
	int r = open_process(pid, &process);

	*ret_created_ns = 0;
	*ret_parent = 0;
	if (r < 0)
		return r;
	*ret_created_ns = created_of(process);
	*ret_parent = parent_of(process, *ret_created_ns);
	CloseHandle(process);
	return 0;
}

static char *read_exe(HANDLE process)
{
	wchar_t *wide = malloc(EXE_UNITS_MAX * sizeof(*wide));
	DWORD units = EXE_UNITS_MAX;
	char *exe = NULL;

	if (wide && QueryFullProcessImageNameW(process, 0, wide, &units))
		exe = mf_win32_utf8(wide);
	free(wide);
	return exe;
}

static char *join_user(const wchar_t *domain, const wchar_t *name)
{
	wchar_t both[520];

	_snwprintf(both, MF_ARRAY_SIZE(both), L"%ls%ls%ls", domain, *domain ? L"\\" : L"", name);
	both[MF_ARRAY_SIZE(both) - 1] = 0;
	return mf_win32_utf8(both);
}

static char *read_user(HANDLE process)
{
	uint8_t buf[TOKEN_USER_MAX] __attribute__((aligned(16)));
	wchar_t name[257], domain[257];
	DWORD size = 0, name_len = MF_ARRAY_SIZE(name), domain_len = MF_ARRAY_SIZE(domain);
	SID_NAME_USE use;
	char *user = NULL;
	HANDLE token;

	if (!OpenProcessToken(process, TOKEN_QUERY, &token))
		return NULL;
	if (GetTokenInformation(token, TokenUser, buf, sizeof(buf), &size) &&
	    LookupAccountSidW(NULL, ((TOKEN_USER *)buf)->User.Sid, name, &name_len, domain,
			      &domain_len, &use))
		user = join_user(domain, name);
	CloseHandle(token);
	return user;
}

static bool read_memory(HANDLE process, const void *from, void *ret, size_t size)
{
	SIZE_T n = 0;

	return from && ReadProcessMemory(process, from, ret, size, &n) && n == size;
}

/*
 * Where the system does not hand the command line out (before 8.1, and wine), it is read from where the process keeps it,
 * which is where the system takes it from as well. What the process may have put there is not believed: lengths are bounded
 * by their type. Return: false: not readable
 */
static bool read_command_line_of_peb(HANDLE known, query_fn query, UNICODE_STRING *ret, size_t room)
{
	// The open handle keeps the number from being used again.
	HANDLE process = OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE,
				     GetProcessId(known));
	RTL_USER_PROCESS_PARAMETERS params;
	PROCESS_BASIC_INFORMATION info;
	bool ok;
	PEB peb;

	ok = process && query(process, ProcessBasicInformation, &info, sizeof(info), NULL) >= 0 &&
	     read_memory(process, info.PebBaseAddress, &peb, sizeof(peb)) &&
	     read_memory(process, peb.ProcessParameters, &params, sizeof(params)) &&
	     params.CommandLine.Length <= room - sizeof(*ret);
	if (ok) {
		ret->Length = params.CommandLine.Length;
		ret->Buffer = (wchar_t *)(ret + 1);
		ok = read_memory(process, params.CommandLine.Buffer, ret->Buffer, ret->Length);
	}
	if (process)
		CloseHandle(process);
	return ok;
}

static char **read_args(HANDLE process)
{
	query_fn query = query_of_nt();
	UNICODE_STRING *line = query ? calloc(1, COMMAND_LINE_MAX + 2) : NULL;
	char **args = NULL, *text = NULL;

	if (line && ((query(process, COMMAND_LINE_INFO, line, COMMAND_LINE_MAX, NULL) >= 0 &&
		      line->Buffer) ||
		     read_command_line_of_peb(process, query, line, COMMAND_LINE_MAX))) {
		// It lies behind the struct, and there is a zero behind it.
		line->Buffer[line->Length / 2] = 0;
		text = mf_win32_utf8(line->Buffer);
	}
	if (text)
		args = mf_command_line_split(text, NULL);
	free(text);
	free(line);
	return args;
}

int mf_process_read(uint32_t pid, uint64_t not_after_ns, struct mf_process_info *ret)
{
	HANDLE process;
	int r = open_process(pid, &process);

	*ret = (struct mf_process_info){ .pid = pid };
	if (r < 0)
		return r;
	ret->created_ns = created_of(process);
	if (not_after_ns && ret->created_ns > not_after_ns) {
		CloseHandle(process);
		return MF_E_NOENT;
	}
	ret->parent = parent_of(process, ret->created_ns);
	ret->exe = read_exe(process);
	if (ret->exe) {
		const char *slash = strrchr(ret->exe, '\\');

		ret->name = slash ? slash + 1 : ret->exe;
	}
	ret->user = read_user(process);
	ret->args = read_args(process);
	CloseHandle(process);
	return 0;
}

void mf_process_info_done(struct mf_process_info *info)
{
	free(info->exe);
	free(info->user);
	free(info->args);
	*info = (struct mf_process_info){ 0 };
}
