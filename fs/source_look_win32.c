/* SPDX-License-Identifier: Apache-2.0 */
/* source_look_win32.c - what a directory looks like: its attributes, and its access list as text (SDDL) */
#include <windows.h>

#include <errno.h>
#include <sddl.h>
#include <stdlib.h>

#include "core/base/win32.h"
#include "fs/source_int_win32.h"

/* What can be set of a directory's attributes; the others follow from what it is. */
#define ATTRS_KEPT                                                                 \
	(FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | \
	 FILE_ATTRIBUTE_ARCHIVE | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED)

/* free()d by the caller; NULL: no memory, or a handle or volume that tells none */
static char *read_access(void *handle)
{
	SECURITY_DESCRIPTOR *sd;
	wchar_t *wide = NULL;
	char *text = NULL;
	DWORD size = 0;

	(void)GetKernelObjectSecurity(handle, DACL_SECURITY_INFORMATION, NULL, 0, &size);
	sd = size ? malloc(size) : NULL;
	if (sd && GetKernelObjectSecurity(handle, DACL_SECURITY_INFORMATION, sd, size, &size) &&
	    ConvertSecurityDescriptorToStringSecurityDescriptorW(
		    sd, SDDL_REVISION_1, DACL_SECURITY_INFORMATION, &wide, NULL)) {
		text = mf_win32_utf8(wide);
		LocalFree(wide);
	}
	free(sd);
	return text;
}

int mf_wsource_look(void *handle, struct mf_wsource_look *ret, char **ret_text)
{
	FILE_BASIC_INFO basic;

	if (!GetFileInformationByHandleEx(handle, FileBasicInfo, &basic, sizeof(basic)))
		return mf_wsource_last_error();
	ret->attributes = basic.FileAttributes & (ATTRS_KEPT | FILE_ATTRIBUTE_DIRECTORY);
	ret->access = *ret_text = read_access(handle);
	return 0;
}

/* Whether what failed is that this volume keeps no such thing. */
static bool is_not_kept(DWORD error)
{
	return error == ERROR_INVALID_FUNCTION || error == ERROR_NOT_SUPPORTED;
}

static int set_access(void *handle, const char *text)
{
	wchar_t *wide = mf_win32_wide(text);
	SECURITY_DESCRIPTOR_CONTROL control;
	PSECURITY_DESCRIPTOR sd = NULL;
	DWORD revision;
	int r = 0;

	if (!wide ||
	    !ConvertStringSecurityDescriptorToSecurityDescriptorW(wide, SDDL_REVISION_1, &sd,
								  NULL) ||
	    !GetSecurityDescriptorControl(sd, &control, &revision) || !(control & SE_DACL_PRESENT))
		r = -EINVAL;
	else if (!SetKernelObjectSecurity(handle,
					  DACL_SECURITY_INFORMATION |
						  (control & SE_DACL_PROTECTED
							   ? PROTECTED_DACL_SECURITY_INFORMATION
							   : UNPROTECTED_DACL_SECURITY_INFORMATION),
					  sd) &&
		 !is_not_kept(GetLastError()))
		r = mf_wsource_last_error();
	LocalFree(sd);
	free(wide);
	return r;
}

int mf_wsource_dress(void *handle, const struct mf_wsource_look *look)
{
	FILE_BASIC_INFO info = { .FileAttributes = look->attributes & ATTRS_KEPT };
	int r = look->access ? set_access(handle, look->access) : 0;

	if (r < 0)
		return r;
	if (!info.FileAttributes)
		info.FileAttributes = FILE_ATTRIBUTE_NORMAL; /* 0 would mean: as they are */
	if (!SetFileInformationByHandle(handle, FileBasicInfo, &info, sizeof(info)) &&
	    !is_not_kept(GetLastError()))
		r = mf_wsource_last_error();
	return r;
}
