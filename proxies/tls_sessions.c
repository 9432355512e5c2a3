/* SPDX-License-Identifier: Apache-2.0 */
/* tls_sessions.c - see tls_sessions.h */
#include "proxies/tls_sessions.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum {
	SERVERS_MAX = 128,
	EACH_MAX = 32,
	ALL_MAX = 512,
};

struct kept {
	SSL_SESSION *session;
	uint64_t until_ms;
};

struct server {
	char name[MF_TLS_SERVER_MAX];
	uint64_t turn; /* of its last use */
	struct kept kept[EACH_MAX];
	uint32_t cnt; /* the last is the newest */
};

struct mf_tls_sessions {
	struct server servers[SERVERS_MAX];
	uint32_t server_cnt;
	uint32_t cnt; /* sessions */
	uint64_t turn;
};

struct mf_tls_sessions *mf_tls_sessions_new(void)
{
	return calloc(1, sizeof(struct mf_tls_sessions));
}

static struct kept take_newest(struct mf_tls_sessions *all, struct server *s)
{
	all->cnt--;
	return s->kept[--s->cnt];
}

static void drop(struct mf_tls_sessions *all, struct server *s)
{
	while (s->cnt)
		SSL_SESSION_free(take_newest(all, s).session);
}

static void drop_oldest(struct mf_tls_sessions *all, struct server *s)
{
	SSL_SESSION_free(s->kept[0].session);
	memmove(&s->kept[0], &s->kept[1], --s->cnt * sizeof(s->kept[0]));
	all->cnt--;
}

void mf_tls_sessions_free(struct mf_tls_sessions *all)
{
	if (!all)
		return;
	for (uint32_t i = 0; i < all->server_cnt; i++)
		drop(all, &all->servers[i]);
	free(all);
}

static struct server *find(struct mf_tls_sessions *all, const char *name)
{
	for (uint32_t i = 0; i < all->server_cnt; i++)
		if (strcmp(all->servers[i].name, name) == 0)
			return &all->servers[i];
	return NULL;
}

/* The server that was not used for longest, of those that have at least @cnt sessions; NULL: none has */
static struct server *find_unused(struct mf_tls_sessions *all, uint32_t cnt)
{
	struct server *oldest = NULL;

	for (uint32_t i = 0; i < all->server_cnt; i++) {
		struct server *s = &all->servers[i];

		if (s->cnt >= cnt && (!oldest || s->turn < oldest->turn))
			oldest = s;
	}
	return oldest;
}

/* The place of a server that is not there: a free one, or that of another */
static struct server *make_room(struct mf_tls_sessions *all)
{
	struct server *s;

	if (all->server_cnt < SERVERS_MAX)
		return &all->servers[all->server_cnt++];
	s = find_unused(all, 0);
	drop(all, s);
	return s;
}

void mf_tls_sessions_put(struct mf_tls_sessions *all, const char *name, SSL_SESSION *session,
			 uint64_t until_ms)
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
	if (s->cnt == EACH_MAX)
		drop_oldest(all, s);
	else if (all->cnt == ALL_MAX)
		drop_oldest(all, find_unused(all, 1));
	s->kept[s->cnt++] = (struct kept){ session, until_ms };
	all->cnt++;
}

SSL_SESSION *mf_tls_sessions_take(struct mf_tls_sessions *all, const char *name, uint64_t now_ms,
				  uint64_t *ret_until_ms)
{
	struct server *s = find(all, name);

	while (s && s->cnt) {
		struct kept k = take_newest(all, s);

		if (now_ms < k.until_ms && SSL_SESSION_is_resumable(k.session)) {
			s->turn = ++all->turn;
			*ret_until_ms = k.until_ms;
			return k.session;
		}
		SSL_SESSION_free(k.session);
	}
	return NULL;
}
