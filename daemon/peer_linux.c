/* SPDX-License-Identifier: Apache-2.0 */
/* peer_linux.c - see peer_posix.h */
#include <grp.h>
#include <moonfence/moonfence.h>
#include <sys/socket.h>

#include "daemon/peer_posix.h"

int mf_peer_ids(int fd, struct mf_peer_ids *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || len != sizeof(cred))
		return MF_E_IO;
	*ret = (struct mf_peer_ids){ cred.uid, cred.gid, cred.pid };
	return 0;
}

int mf_peer_groups(const char *user, gid_t gid, gid_t *groups, int max)
{
	int cnt = max;

	return getgrouplist(user, gid, groups, &cnt) < 0 ? 0 : cnt;
}
