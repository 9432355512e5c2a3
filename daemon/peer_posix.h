/* SPDX-License-Identifier: Apache-2.0 */
/* peer_posix.h - who connected a Unix socket; one file per system */
#ifndef MF_DAEMON_PEER_POSIX_H
#define MF_DAEMON_PEER_POSIX_H

#include <sys/types.h>

struct mf_peer_ids {
	uid_t uid;
	gid_t gid;
	pid_t pid; /* 0: not known */
};

/** mf_peer_ids() - As the kernel noted them at connect(); Return: 0, MF_E_IO */
int mf_peer_ids(int fd, struct mf_peer_ids *ret);

/** mf_peer_groups() - The groups of a user, @gid among them; Return: how many, 0 where they are more than @max */
int mf_peer_groups(const char *user, gid_t gid, gid_t *groups, int max);

#endif
