/* SPDX-License-Identifier: Apache-2.0 */
/* process_darwin.c - see process_darwin.h */
#include <libproc.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/proc_info.h>
#include <sys/sysctl.h>

#include "capture/process_darwin.h"

static void read_user(uid_t uid, char *buf, size_t size)
{
	struct passwd pw, *found = NULL;
	char text[4096];

	if (getpwuid_r(uid, &pw, text, sizeof(text), &found) == 0 && found)
		snprintf(buf, size, "%s", pw.pw_name);
	else
		snprintf(buf, size, "%u", (unsigned)uid);
}

/* All arguments of all processes fit into KERN_ARGMAX bytes, 1 MiB on systems of today. */
static void read_args(uint32_t pid, struct mf_process_memory *m)
{
	int argmax = 0, mib[3] = { CTL_KERN, KERN_ARGMAX };
	size_t len = sizeof(argmax);

	m->argv[0] = NULL;
	if (!m->args) {
		if (sysctl(mib, 2, &argmax, &len, NULL, 0) < 0 || argmax <= 0 || argmax > 16 << 20)
			return;
		m->args = malloc((size_t)argmax);
		if (!m->args)
			return;
		m->args_room = (size_t)argmax;
	}
	mib[1] = KERN_PROCARGS2;
	mib[2] = (int)pid;
	len = m->args_room;
	if (sysctl(mib, 3, m->args, &len, NULL, 0) == 0 && len <= m->args_room)
		(void)mf_procargs_parse(m->args, len, m->argv);
}

int mf_process_read(uint32_t pid, struct mf_process_memory *m, struct mf_process *ret)
{
	struct proc_bsdshortinfo info;

	if (pid == 0 || pid > INT32_MAX ||
	    proc_pidinfo((int)pid, PROC_PIDT_SHORTBSDINFO, 0, &info, sizeof(info)) !=
		    (int)sizeof(info))
		return MF_E_NOENT;
	if (proc_pidpath((int)pid, m->exe, sizeof(m->exe)) <= 0)
		m->exe[0] = '\0';
	m->exe[sizeof(m->exe) - 1] = '\0';
	snprintf(m->name, sizeof(m->name), "%.*s", (int)sizeof(info.pbsi_comm), info.pbsi_comm);
	read_user(info.pbsi_uid, m->user, sizeof(m->user));
	read_args(pid, m);
	*ret = (struct mf_process){ .pid = pid,
				    .parent = info.pbsi_ppid,
				    .name = m->name,
				    .exe = m->exe,
				    .user = m->user,
				    .args = m->argv };
	return 0;
}

void mf_process_memory_done(struct mf_process_memory *m)
{
	free(m->args);
	m->args = NULL;
}
