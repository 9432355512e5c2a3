/* SPDX-License-Identifier: Apache-2.0 */
/* tls_sessions.c - see tls_sessions.h */
#include "proxies/tls_sessions.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum {
	SERVERS_MAX = 128,
	EACH_MAX = 2,
};

struct kept {
	SSL_SESSION *session;
	uint64_t verified_ms;
};

struct server {
	char name[MF_TLS_SERVER_MAX];
	uint64_t turn; /* of its last use */
	struct kept kept[EACH_MAX];
	uint32_t cnt; /* the last is the newest */
};

struct mf_tls_sessions {
	struct server servers[SERVERS_MAX];
	uint32_t cnt;
	uint64_t turn;
};

struct mf_tls_sessions *mf_tls_sessions_new(void)
{
	return calloc(1, sizeof(struct mf_tls_sessions));
}

static void drop(struct server *s)
{
	while (s->cnt)
		SSL_SESSION_free(s->kept[--s->cnt].session);
}

void mf_tls_sessions_free(struct mf_tls_sessions *all)
{
	if (!all)
		return;
	for (uint32_t i = 0; i < all->cnt; i++)
		drop(&all->servers[i]);
	free(all);
}

static struct server *find(struct mf_tls_sessions *all, const char *name)
{
	for (uint32_t i = 0; i < all->cnt; i++)
		if (strcmp(all->servers[i].name, name) == 0)
			return &all->servers[i];
	return NULL;
}

/* The place of a server that is not there: a free one, or that of the one which was not used for longest. */
static struct server *make_room(struct mf_tls_sessions *all)
{
	struct server *oldest = &all->servers[0];

	if (all->cnt < SERVERS_MAX)
		return &all->servers[all->cnt++];
	for (uint32_t i = 1; i < SERVERS_MAX; i++)
		if (all->servers[i].turn < oldest->turn)
			oldest = &all->servers[i];
	drop(oldest);
	return oldest;
}

void mf_tls_sessions_put(struct mf_tls_sessions *all, const char *name, SSL_SESSION *session,
			 uint64_t verified_ms)
{
	struct server *s = find(all, name);

	if (strlen(name) >= MF_TLS_SERVER_MAX) {
		SSL_SESSION_free(session);
		return;
	}
	if (!s) {
		s = make_room(all);
		strcpy(s->name, name);
	}
	s->turn = ++all->turn;
	if (s->cnt == EACH_MAX) {
		SSL_SESSION_free(s->kept[0].session);
		for (uint32_t i = 1; i < EACH_MAX; i++)
			s->kept[i - 1] = s->kept[i];
		s->cnt--;
	}
	s->kept[s->cnt++] = (struct kept){ session, verified_ms };
}

SSL_SESSION *mf_tls_sessions_take(struct mf_tls_sessions *all, const char *name, uint64_t now_ms,
				  uint64_t *ret_verified_ms)
{
	struct server *s = find(all, name);

	while (s && s->cnt) {
		struct kept *k = &s->kept[--s->cnt];

		if (now_ms - k->verified_ms < MF_TLS_SESSION_MS &&
		    SSL_SESSION_is_resumable(k->session)) {
			s->turn = ++all->turn;
			*ret_verified_ms = k->verified_ms;
			return k->session;
		}
		SSL_SESSION_free(k->session);
	}
	return NULL;
}
