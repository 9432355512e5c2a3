/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_resolvers_linux.c - see proxy_resolvers_linux.h */
#include "cli/proxy_resolvers_linux.h"

#include <string.h>

#include "core/base/err.h"
#include "proxies/hostconf.h"

static const char *const files[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf" };

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void add(struct mf_proxy_resolvers *r, const struct mf_endpoint *at)
{
	for (size_t i = 0; i < r->cnt; i++)
		if (mf_addr_eq(&r->at[i].addr, &at->addr))
			return;
	if (r->cnt < MF_PROXY_RESOLVERS_MAX)
		r->at[r->cnt++] = *at;
}

static void read_files(struct mf_proxy_resolvers *r)
{
	struct mf_endpoint found[MF_PROXY_RESOLVERS_MAX];

	r->cnt = 0;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(files); i++) {
		int cnt = mf_hostconf_read(files[i], found, MF_ARRAY_SIZE(found), NULL);

		for (int k = 0; k < cnt; k++)
			add(r, &found[k]);
	}
}

bool mf_proxy_resolvers_read(struct mf_proxy_resolvers *r)
{
	struct mf_proxy_resolvers before = *r;
	struct stat st[MF_ARRAY_SIZE(files)];
	bool same = true;

	_Static_assert(MF_ARRAY_SIZE(files) == MF_ARRAY_SIZE(r->seen), "a stamp for each");
	for (unsigned i = 0; i < MF_ARRAY_SIZE(files); i++) {
		if (stat(files[i], &st[i]) < 0)
			memset(&st[i], 0, sizeof(st[i]));
		same &= is_same(&st[i], &r->seen[i]);
	}
	if (same)
		return false;
	/* the stamps are older than what is read: a change in between is found the next time */
	memcpy(r->seen, st, sizeof(st));
	read_files(r);
	return r->cnt != before.cnt || memcmp(r->at, before.at, r->cnt * sizeof(r->at[0])) != 0;
}
