/* SPDX-License-Identifier: Apache-2.0 */
/* dev_linux.h - dev-server detection on Linux: sock_diag's answers, and owners out of /proc */
#ifndef MF_PROXIES_DEV_LINUX_H
#define MF_PROXIES_DEV_LINUX_H

#include "proxies/dev_servers_int.h"

/**
 * mf_dev_netlink_read() - Listeners in one datagram of a sock_diag dump; pure
 * Sockets of another state and messages of other kinds are passed over.
 * @bytes: aligned to 4
 * @at:    where to write, *@cnt of @max are used; those that do not fit are counted in *@cnt
 * Return: 1 the dump is over, 0 more datagrams come; MF_E_BAD a message that does not fit its lengths; MF_E_IO the kernel
 *         said no
 */
int mf_dev_netlink_read(struct mf_span bytes, struct mf_dev_listener *at, size_t *cnt, size_t max);

/** mf_dev_owners_look_up() - struct mf_dev_source.look_up */
void mf_dev_owners_look_up(struct mf_dev_facts *facts, size_t cnt);

/**
 * mf_dev_project_find() - The project that a directory belongs to: the nearest one upwards with a file that makes it one
 * @dir: an open directory (O_PATH is enough); stays the caller's
 * @cwd: its path; @uid: whose files are believed, besides root's
 * @ret_path: the directory's path; "" when there is none
 */
void mf_dev_project_find(int dir, const char *cwd, uint32_t uid, struct mf_dev_project *ret,
			 char ret_path[MF_DEV_PATH_ROOM]);

#endif
