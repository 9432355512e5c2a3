/* SPDX-License-Identifier: Apache-2.0 */
/* process_darwin.c - who calls, as far as the mount is told; no arguments; see process_posix.h */
#include <libproc.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/proc_info.h>

#include "fs/process_posix.h"

/* It lives as long as its caller needs it: until this thread asks again. */
static __thread struct {
	char name[64], exe[PROC_PIDPATHINFO_MAXSIZE], user[64];
} found;

int mf_fs_find_process(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret)
{
	struct proc_bsdshortinfo info;
	struct passwd pw, *got = NULL;
	char text[4096];

	(void)ctx;
	*ret = (struct mf_process){ 0 };
	if (caller->pid <= 0 || caller->pid > INT32_MAX ||
	    proc_pidinfo((int)caller->pid, PROC_PIDT_SHORTBSDINFO, 0, &info, sizeof(info)) !=
		    (int)sizeof(info))
		return MF_E_NOENT;
	if (proc_pidpath((int)caller->pid, found.exe, sizeof(found.exe)) <= 0)
		found.exe[0] = '\0';
	snprintf(found.name, sizeof(found.name), "%.*s", (int)sizeof(info.pbsi_comm),
		 info.pbsi_comm);
	found.user[0] = '\0';
	if (getpwuid_r(info.pbsi_uid, &pw, text, sizeof(text), &got) == 0 && got)
		snprintf(found.user, sizeof(found.user), "%s", got->pw_name);
	ret->pid = caller->pid;
	ret->parent = info.pbsi_ppid;
	ret->name = found.name;
	ret->exe = found.exe[0] ? found.exe : NULL;
	ret->user = found.user[0] ? found.user : NULL;
	return 0;
}
