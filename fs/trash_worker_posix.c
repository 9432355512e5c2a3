/* SPDX-License-Identifier: Apache-2.0 */
/* trash_worker_posix.c - what need not be done while somebody waits: hashes, retention, directorysizes */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/trash_hash.h"
#include "fs/trash_int.h"

static int64_t read_fd(void *ctx, void *buf, size_t size, int64_t off)
{
	ssize_t n;

	do {
		n = pread(*(const int *)ctx, buf, size, off);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int mf_trash_hash_fd(int fd, char ret[MF_TRASH_HASH_HEX])
{
	return mf_trash_hash(read_fd, &fd, ret) < 0 ? -EIO : 0;
}

static int write_hash(struct mf_trash *t, const char *token, const char *hash,
		      const struct stat *st)
{
	struct mf_strbuf b = MF_STRBUF_INIT(1024);
	struct mf_trash_attr a;
	char tmp[MF_TRASH_OWN_NAME_MAX], name[MF_TRASH_OWN_NAME_MAX], record[MF_TRASH_NAME_ROOM];
	int fd, r;

	mf_trash_attr_of(st, &a);
	mf_trash_hash_format(&b, hash, a.size, a.mtime_ns);
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
	if (r == 0 && !mf_trash_record_of(t, token, record))
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

static int hash_one_missing(void *ctx, const struct mf_trash_entry *e)
{
	struct mf_trash *t = ctx;

	if (!*e->sha256 && e->how != MF_TRASH_NOTE_DIR && S_ISREG(e->attr.mode))
		hash_one(t, e->token);
	return mf_trash_worker_stopping(&t->worker);
}

static void hash_missing(struct mf_trash *t)
{
	const struct mf_trash_filter all = { .no_foreign = true, .hashes = true };
	bool indexed = mf_trash_index_begin(t);

	(void)mf_trash_list(t, &all, hash_one_missing, t, NULL);
	if (indexed)
		mf_trash_index_end(t);
}

static void tidy(struct mf_trash *t)
{
	const struct mf_trash_keep *k = &t->options.keep;
	struct mf_trash_purge purge = { .keep = *k };
	struct mf_trash_purged purged;
	int lock = mf_trash_lock_dir(t, false);

	mf_trash_index_drop(t);
	if (lock < 0)
		return;
	if (k->age_s || k->max_bytes || k->max_count)
		(void)mf_trash_purge_locked(t, &purge, &purged, NULL);
	if (mf_trash_writer_ready(t) == 0)
		mf_trash_sizes_update(t);
	close(lock);
}

const struct mf_trash_worker_ops mf_trash_worker_ops = {
	.hash = hash_one, .hash_missing = hash_missing, .tidy = tidy, .late = mf_trash_write_late
};

void mf_trash_tick(struct mf_trash *t)
{
	mf_trash_worker_tick(&t->worker);
}

int mf_trash_settle(struct mf_trash *t, const char *token)
{
	if (!mf_trash_token_ok(token))
		return -EINVAL;
	mf_trash_worker_settle(&t->worker, token);
	return 0;
}

void mf_trash_drain(struct mf_trash *t)
{
	mf_trash_worker_drain(&t->worker);
}
