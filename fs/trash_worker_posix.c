/* SPDX-License-Identifier: Apache-2.0 */
/* trash_worker_posix.c - what need not be done while somebody waits: hashes, retention, directorysizes */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cond.h"
#include "core/base/thread.h"
#include "fs/trash_int.h"

#define TICK_MS 60000
/* A limit may be passed by so small a part of it before what is too much is purged. */
#define LIMIT_PART 16
#define CHUNK	   (64 << 10)

int mf_trash_hash_fd(int fd, char ret[MF_TRASH_HASH_HEX])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char *buf = malloc(CHUNK), sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	bool ok = md && buf && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	off_t at = 0;
	ssize_t n = 0;

	while (ok && ((n = pread(fd, buf, CHUNK, at)) > 0 || (n < 0 && errno == EINTR))) {
		if (n > 0)
			ok = EVP_DigestUpdate(md, buf, (size_t)n) == 1;
		at += n > 0 ? n : 0;
	}
	ok = ok && n == 0 && EVP_DigestFinal_ex(md, sum, &len) == 1 && len == 32;
	for (unsigned i = 0; ok && i < len; i++)
		snprintf(ret + 2 * i, 3, "%02x", sum[i]);
	free(buf);
	EVP_MD_CTX_free(md);
	return ok ? 0 : -EIO;
}

static int write_hash(struct mf_trash *t, const char *token, const char *hash,
		      const struct stat *st)
{
	struct mf_strbuf b = MF_STRBUF_INIT(1024);
	struct mf_trash_attr a;
	char tmp[MF_TRASH_OWN_NAME_MAX], name[MF_TRASH_OWN_NAME_MAX];
	int fd, r;

	mf_trash_attr_of(st, &a);
	mf_strbuf_addf(&b,
		       "{\"sha256\": \"%s\", \"size\": %" PRIu64 ", \"mtime_ns\": %" PRId64 "}\n",
		       hash, a.size, a.mtime_ns);
	mf_trash_own_name(t, tmp, MF_TRASH_TMP, token);
	snprintf(name, sizeof(name), "%s.json", token);
	fd = openat(t->own_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : b.failed ? -ENOMEM : mf_trash_write_all(fd, b.str, b.len);
	if (fd >= 0)
		close(fd);
	if (r == 0 && renameat(t->own_fd, tmp, t->own_fd, name) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		(void)unlinkat(t->own_fd, tmp, 0);
	// It was restored or purged meanwhile: no hash without a record.
	if (r == 0 && faccessat(t->own_fd, token, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		(void)unlinkat(t->own_fd, name, 0);
	mf_strbuf_done(&b);
	return r;
}

static void hash_one(struct mf_trash *t, const char *token)
{
	char hash[MF_TRASH_HASH_HEX];
	struct mf_trash_loaded l;
	struct stat before, after;
	int fd;

	if (mf_trash_load(t, token, &l) < 0)
		return;
	fd = l.r.e.how == MF_TRASH_NOTE_DIR ? -1 : mf_trash_open_file(t, l.r.e.file, &before);
	// Whoever still writes to it makes the hash worthless: then there is none.
	if (fd >= 0 && (uint64_t)before.st_size <= t->options.hash_max &&
	    mf_trash_writer_ready(t) == 0 && mf_trash_hash_fd(fd, hash) == 0 &&
	    fstat(fd, &after) == 0 && after.st_size == before.st_size &&
	    after.st_mtime == before.st_mtime)
		(void)write_hash(t, token, hash, &before);
	if (fd >= 0)
		close(fd);
	mf_trash_loaded_done(&l);
}

/* Under t->lock. */
static void enqueue(struct mf_trash *t, const char *token)
{
	if (!t->queue)
		return;
	if (t->queue_cnt == MF_TRASH_QUEUE_MAX) {
		t->dropped++;
		return;
	}
	memcpy(t->queue[(t->queue_at + t->queue_cnt++) % MF_TRASH_QUEUE_MAX], token,
	       MF_TRASH_TOKEN_MAX);
	pthread_cond_signal(&t->wake);
}

/* Return: false: nothing waits. */
static bool hash_next(struct mf_trash *t)
{
	char token[MF_TRASH_TOKEN_MAX];

	pthread_mutex_lock(&t->lock);
	if (t->queue_cnt == 0) {
		pthread_mutex_unlock(&t->lock);
		return false;
	}
	memcpy(token, t->queue[t->queue_at], sizeof(token));
	t->queue_at = (t->queue_at + 1) % MF_TRASH_QUEUE_MAX;
	t->queue_cnt--;
	t->busy++;
	pthread_mutex_unlock(&t->lock);
	hash_one(t, token);
	pthread_mutex_lock(&t->lock);
	t->busy--;
	if (t->queue_cnt == 0 && !t->busy)
		pthread_cond_broadcast(&t->idle);
	pthread_mutex_unlock(&t->lock);
	return true;
}

static int hash_missing(void *ctx, const struct mf_trash_entry *e)
{
	struct mf_trash *t = ctx;
	bool stop;

	if (!*e->sha256 && e->how != MF_TRASH_NOTE_DIR && S_ISREG(e->attr.mode))
		hash_one(t, e->token);
	pthread_mutex_lock(&t->lock);
	stop = t->stop;
	pthread_mutex_unlock(&t->lock);
	return stop;
}

static bool has_limits(const struct mf_trash *t)
{
	const struct mf_trash_keep *k = &t->options.keep;

	return k->age_s || k->max_bytes || k->max_count;
}

void mf_trash_tick(struct mf_trash *t)
{
	const struct mf_trash_keep *k = &t->options.keep;
	const struct mf_trash_filter all = { .no_foreign = true, .hashes = true };
	struct mf_trash_purge purge = { .keep = *k };
	struct mf_trash_purged purged;
	bool dropped;
	int lock;

	while (hash_next(t))
		;
	pthread_mutex_lock(&t->lock);
	dropped = t->dropped > 0 && t->options.hash_max > 0;
	t->dropped = 0;
	t->due = false;
	t->new_bytes = t->new_cnt = 0;
	pthread_mutex_unlock(&t->lock);
	if (dropped)
		(void)mf_trash_list(t, &all, hash_missing, t, NULL);
	lock = mf_trash_lock_dir(t, false);
	if (lock < 0)
		return;
	if (has_limits(t))
		(void)mf_trash_purge_locked(t, &purge, &purged, NULL);
	if (mf_trash_writer_ready(t) == 0)
		mf_trash_sizes_update(t);
	close(lock);
}

/* Under the lock: one object more is in the trash. */
static void weigh(struct mf_trash *t, uint64_t size)
{
	const struct mf_trash_keep *k = &t->options.keep;

	t->new_cnt++;
	t->new_bytes += size;
	if (!t->working || t->due ||
	    !((k->max_bytes && t->new_bytes >= k->max_bytes / LIMIT_PART) ||
	      (k->max_count && t->new_cnt >= k->max_count / LIMIT_PART)))
		return;
	t->due = true;
	pthread_cond_signal(&t->wake);
}

static void *work(void *arg)
{
	struct mf_trash *t = arg;
	struct timespec next = mf_cond_in_ms(TICK_MS);

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		if (t->queue_cnt > 0) {
			pthread_mutex_unlock(&t->lock);
			(void)hash_next(t);
			pthread_mutex_lock(&t->lock);
		} else if (t->due || (!mf_cond_wait_until(&t->wake, &t->lock, &next) && !t->stop &&
				      t->queue_cnt == 0)) {
			pthread_mutex_unlock(&t->lock);
			mf_trash_tick(t);
			next = mf_cond_in_ms(TICK_MS);
			pthread_mutex_lock(&t->lock);
		}
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int mf_trash_worker_start(struct mf_trash *t)
{
	if (t->options.hash_max) {
		t->queue = calloc(MF_TRASH_QUEUE_MAX, sizeof(*t->queue));
		if (!t->queue)
			return -ENOMEM;
	}
	if (!t->options.background)
		return 0;
	t->due = has_limits(t);
	if (mf_thread_start(&t->worker, work, t) != 0)
		return -ENOMEM;
	t->working = true;
	return 0;
}

void mf_trash_worker_end(struct mf_trash *t)
{
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	if (t->working)
		pthread_join(t->worker, NULL);
	free(t->queue);
}

void mf_trash_worker_put(struct mf_trash *t, const struct mf_trash_loss *loss,
			 const struct mf_trash_attr *a, const char *token)
{
	bool hash = t->queue && !loss->no_hash && !loss->busy && S_ISREG(a->mode) &&
		    a->size <= t->options.hash_max;

	if (hash || has_limits(t)) {
		pthread_mutex_lock(&t->lock);
		if (hash)
			enqueue(t, token);
		weigh(t, a->size);
		pthread_mutex_unlock(&t->lock);
	}
	mf_trash_tell(t, &(struct mf_trash_event){ .type = MF_TRASH_EVENT_PUT,
						   .token = token,
						   .path = loss->path,
						   .session = loss->session ? loss->session : "",
						   .text = mf_trash_op_names[loss->op],
						   .size = a->size });
}

int mf_trash_settle(struct mf_trash *t, const char *token)
{
	if (!mf_trash_token_ok(token))
		return -EINVAL;
	pthread_mutex_lock(&t->lock);
	enqueue(t, token);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

void mf_trash_drain(struct mf_trash *t)
{
	if (!t->working) {
		while (hash_next(t))
			;
		return;
	}
	pthread_mutex_lock(&t->lock);
	while (t->queue_cnt > 0 || t->busy)
		pthread_cond_wait(&t->idle, &t->lock);
	pthread_mutex_unlock(&t->lock);
}
