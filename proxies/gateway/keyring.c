/* SPDX-License-Identifier: Apache-2.0 */
/* keyring.c - see keyring.h */
#include "proxies/gateway/keyring.h"

#include <moonfence/moonfence.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

enum { RANDOM_LEN = 32 };

struct list {
	struct mf_span all[MF_KEYRING_SECRETS_MAX];
	size_t cnt;
};

struct contents {
	struct list secrets, api_keys;
	struct mf_jwt_keys *jwt;
};

struct mf_keyring {
	pthread_rwlock_t lock; /* of what is here now; whoever checks a token reads */
	struct contents now;
};

struct mf_keyring *mf_keyring_new(void)
{
	struct mf_keyring *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->now.jwt = mf_jwt_keys_new();
	if (!k->now.jwt || pthread_rwlock_init(&k->lock, NULL) != 0) {
		mf_jwt_keys_free(k->now.jwt);
		free(k);
		return NULL;
	}
	return k;
}

static void free_list(struct list *l)
{
	for (size_t i = 0; i < l->cnt; i++)
		OPENSSL_clear_free((void *)(uintptr_t)l->all[i].ptr, l->all[i].len);
}

void mf_keyring_free(struct mf_keyring *k)
{
	if (!k)
		return;
	free_list(&k->now.secrets);
	free_list(&k->now.api_keys);
	mf_jwt_keys_free(k->now.jwt);
	pthread_rwlock_destroy(&k->lock);
	free(k);
}

static int add(struct list *l, struct mf_span text)
{
	uint8_t *copy;

	if (text.len == 0)
		return MF_E_INVAL;
	if (l->cnt == MF_KEYRING_SECRETS_MAX)
		return MF_E_FULL;
	copy = OPENSSL_malloc(text.len);
	if (!copy)
		return MF_E_NOMEM;
	memcpy(copy, text.ptr, text.len);
	l->all[l->cnt++] = mf_span_of(copy, text.len);
	return 0;
}

int mf_keyring_add_secret(struct mf_keyring *k, struct mf_span secret)
{
	return add(&k->now.secrets, secret);
}

int mf_keyring_add_api_key(struct mf_keyring *k, struct mf_span key)
{
	return add(&k->now.api_keys, key);
}

int mf_keyring_add_random(struct mf_keyring *k)
{
	uint8_t bytes[RANDOM_LEN];
	int r;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return MF_E_IO;
	r = add(&k->now.secrets, mf_span_of(bytes, sizeof(bytes)));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return r;
}

struct mf_jwt_keys *mf_keyring_jwt(struct mf_keyring *k)
{
	return k->now.jwt;
}

bool mf_keyring_has_secret(const struct mf_keyring *k)
{
	return k->now.secrets.cnt > 0;
}

bool mf_keyring_has_jwt(const struct mf_keyring *k)
{
	return mf_jwt_keys_count(k->now.jwt) > 0;
}

bool mf_keyring_has_api_key(const struct mf_keyring *k)
{
	return k->now.api_keys.cnt > 0;
}

void mf_keyring_replace(struct mf_keyring *k, struct mf_keyring *by)
{
	struct contents was;

	pthread_rwlock_wrlock(&k->lock);
	was = k->now;
	if (!by->now.secrets.cnt) { /* a random one that was made stays */
		by->now.secrets = was.secrets;
		was.secrets.cnt = 0;
	}
	k->now = by->now;
	by->now = was;
	pthread_rwlock_unlock(&k->lock);
	mf_keyring_free(by);
}

int mf_keyring_read_token(struct mf_keyring *k, struct mf_span text, int64_t now_ms,
			  struct mf_token *ret)
{
	int r = MF_E_BAD;

	pthread_rwlock_rdlock(&k->lock);
	for (size_t i = 0; i < k->now.secrets.cnt && r < 0; i++)
		r = mf_token_read(text, k->now.secrets.all[i], now_ms, ret);
	pthread_rwlock_unlock(&k->lock);
	return r;
}

int mf_keyring_mint(struct mf_keyring *k, const char *sid, int64_t exp_s,
		    char buf[MF_TOKEN_MINT_ROOM])
{
	int r = MF_E_NOENT;

	pthread_rwlock_rdlock(&k->lock);
	if (k->now.secrets.cnt)
		r = mf_token_mint(sid, exp_s, k->now.secrets.all[0], buf);
	pthread_rwlock_unlock(&k->lock);
	return r;
}

int mf_keyring_read_jwt(struct mf_keyring *k, struct mf_span text, int64_t now_s,
			struct mf_jwt *ret)
{
	int r;

	pthread_rwlock_rdlock(&k->lock);
	r = mf_jwt_read(text, k->now.jwt, now_s, ret);
	pthread_rwlock_unlock(&k->lock);
	return r;
}

bool mf_keyring_is_api_key(struct mf_keyring *k, struct mf_span text)
{
	bool good = false;

	pthread_rwlock_rdlock(&k->lock);
	for (size_t i = 0; i < k->now.api_keys.cnt; i++) {
		struct mf_span key = k->now.api_keys.all[i];

		good |= key.len == text.len && CRYPTO_memcmp(key.ptr, text.ptr, key.len) == 0;
	}
	pthread_rwlock_unlock(&k->lock);
	return good;
}

char *mf_keyring_mint_jwt(struct mf_keyring *k, const struct mf_jwt_claims *claims)
{
	struct mf_span secret;
	char *jwt = NULL;

	pthread_rwlock_rdlock(&k->lock);
	if (mf_jwt_keys_secret(k->now.jwt, &secret))
		jwt = mf_jwt_mint(claims, secret);
	pthread_rwlock_unlock(&k->lock);
	return jwt;
}
