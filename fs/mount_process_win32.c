/* SPDX-License-Identifier: Apache-2.0 */
/* mount_process_win32.c - who calls, as policies ask for it: program, user, parent and arguments of a process */
#include <stdio.h>
#include <string.h>

#include "core/base/process_win32.h"
#include "fs/mount_int_win32.h"

#define EXE_ROOM  12289 /* 4096 units of UTF-16 */
#define USER_ROOM 1561
#define ARGS_ROOM 8192
#define ARGS_MAX  64

/* It lives as long as its caller needs it: until this thread asks again. */
static _Thread_local struct {
	char exe[EXE_ROOM], user[USER_ROOM], args[ARGS_ROOM];
	const char *argv[ARGS_MAX + 1];
} found;

static const char *keep(char *room, size_t size, const char *text)
{
	size_t len = text ? strlen(text) + 1 : 0;

	/* What does not fit would be another name. */
	if (!text || len > size)
		return NULL;
	memcpy(room, text, len);
	return room;
}

/* As many as there is room for, as on Linux. */
static void keep_args(char *const *args)
{
	size_t cnt = 0, at = 0, len;

	for (; args && args[cnt] && cnt < ARGS_MAX; cnt++) {
		len = strlen(args[cnt]) + 1;
		if (len > ARGS_ROOM - at)
			break;
		memcpy(found.args + at, args[cnt], len);
		found.argv[cnt] = found.args + at;
		at += len;
	}
	found.argv[cnt] = NULL;
}

int mf_mount_find_process(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret)
{
	struct mf_process_info info;
	const char *slash;
	int r;

	(void)ctx;
	*ret = (struct mf_process){ 0 };
	if (caller->pid <= 0 || caller->pid > UINT32_MAX)
		return MF_E_NOENT;
	r = mf_process_read((uint32_t)caller->pid, 0, &info);
	if (r < 0)
		return MF_E_NOENT;
	ret->pid = caller->pid;
	ret->parent = info.parent;
	ret->exe = keep(found.exe, sizeof(found.exe), info.exe);
	slash = ret->exe ? strrchr(ret->exe, '\\') : NULL;
	ret->name = slash ? slash + 1 : ret->exe;
	ret->user = keep(found.user, sizeof(found.user), info.user);
	if (info.args) {
		keep_args(info.args);
		ret->args = found.argv;
	}
	mf_process_info_done(&info);
	return 0;
}
