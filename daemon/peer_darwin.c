/* SPDX-License-Identifier: Apache-2.0 */
/* peer_darwin.c - see peer_posix.h */
#include <moonfence/moonfence.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/ucred.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/peer_posix.h"

int mf_peer_ids(int fd, struct mf_peer_ids *ret)
{
	struct xucred cred;
	socklen_t len = sizeof(cred);
	pid_t pid = 0;

	if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERCRED, &cred, &len) < 0 ||
	    cred.cr_version != XUCRED_VERSION)
		return MF_E_IO;
	len = sizeof(pid);
	if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &len) < 0)
		pid = 0;
	*ret = (struct mf_peer_ids){ cred.cr_uid, cred.cr_groups[0], pid };
	return 0;
}

int mf_peer_groups(const char *user, gid_t gid, gid_t *groups, int max)
{
	int numbers[256], cnt = max < 256 ? max : 256;

	if (getgrouplist(user, (int)gid, numbers, &cnt) < 0)
		return 0;
	for (int i = 0; i < cnt; i++)
		groups[i] = (gid_t)numbers[i];
	return cnt;
}
