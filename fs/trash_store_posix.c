/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_store_posix.c - where records lie: a name of a link that many share, a link, or a file (trash_record.h)
 *
 * A record that is a name begins with its token, and who has only the token must look for it: among the names that this handle made
 * last, in the index where somebody who looks for many has made one, or in the directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash_int.h"

#define SHARED_MAX 8	 /* texts that new names are made of */
#define RECENT_MAX 32768 /* names by their tokens; a power of two */
#define LOOKS_MAX \
	8 /* the directory is read so often between ticks before what it holds is remembered */

struct shared {
	char *text; /* NULL: free */
	char name[MF_TRASH_OWN_NAME_MAX];
	uint64_t used;
};

/* Under the trash's lock. */
struct mf_trash_store {
	struct shared shared[SHARED_MAX];
	uint64_t uses;
	bool no_names; /* the file system has no second name for a link */
	bool indexed;  /* by somebody who will end it */
	unsigned looks;
	struct mf_trash_names index; /* of all records, sorted */
	char *recent[RECENT_MAX];
};

int mf_trash_store_new(struct mf_trash *t)
{
	t->store = calloc(1, sizeof(*t->store));
	return t->store ? 0 : -ENOMEM;
}

void mf_trash_store_free(struct mf_trash *t)
{
	struct mf_trash_store *s = t->store;

	if (!s)
		return;
	for (size_t i = 0; i < SHARED_MAX; i++) {
		if (s->shared[i].text)
			(void)unlinkat(t->own_fd, s->shared[i].name, 0);
		free(s->shared[i].text);
	}
	for (size_t i = 0; i < RECENT_MAX; i++)
		free(s->recent[i]);
	mf_trash_names_done(&s->index);
	free(s);
	t->store = NULL;
}

bool mf_trash_record_ok(const char *name)
{
	return mf_trash_token_ok(name) || mf_trash_record_name_ok(name);
}

static bool is_of(const char *record, const char *token)
{
	return strncmp(record, token, MF_TRASH_TOKEN_LEN) == 0 &&
	       (record[MF_TRASH_TOKEN_LEN] == '\0' || record[MF_TRASH_TOKEN_LEN] == '=');
}

/* By random bits of the token: the last character has no more than three of them. */
static char **recent_slot(struct mf_trash_store *s, const char *token)
{
	unsigned at = 0;

	for (int i = MF_TRASH_TOKEN_LEN - 5; i < MF_TRASH_TOKEN_LEN - 1; i++)
		at = at << 5 | (unsigned)(token[i] <= '9' ? token[i] - '0' : token[i] - 'a' + 10);
	return &s->recent[at & (RECENT_MAX - 1)];
}

static void remember(struct mf_trash *t, const char *token, const char *name)
{
	char *copy = strdup(name), **slot;

	if (!copy)
		return;
	pthread_mutex_lock(&t->lock);
	slot = recent_slot(t->store, token);
	free(*slot);
	*slot = copy;
	pthread_mutex_unlock(&t->lock);
}

bool mf_trash_index_begin(struct mf_trash *t)
{
	struct mf_trash_names names;
	bool mine;

	if (mf_trash_names_read(t->own_fd, mf_trash_record_ok, &names) < 0)
		return false;
	pthread_mutex_lock(&t->lock);
	mine = !t->store->indexed;
	if (mine) {
		mf_trash_names_done(&t->store->index);
		t->store->indexed = true;
		t->store->index = names;
	}
	pthread_mutex_unlock(&t->lock);
	if (!mine)
		mf_trash_names_done(&names);
	return mine;
}

void mf_trash_index_end(struct mf_trash *t)
{
	pthread_mutex_lock(&t->lock);
	t->store->indexed = false;
	mf_trash_names_done(&t->store->index);
	pthread_mutex_unlock(&t->lock);
}

void mf_trash_index_drop(struct mf_trash *t)
{
	pthread_mutex_lock(&t->lock);
	t->store->looks = 0;
	if (!t->store->indexed)
		mf_trash_names_done(&t->store->index);
	pthread_mutex_unlock(&t->lock);
}

static int by_token(const void *token, const void *name)
{
	return strncmp(token, *(char *const *)name, MF_TRASH_TOKEN_LEN);
}

static bool known(struct mf_trash *t, const char *token, char ret[MF_TRASH_NAME_ROOM])
{
	struct mf_trash_store *s = t->store;
	char *const *found;

	pthread_mutex_lock(&t->lock);
	found = recent_slot(s, token);
	if (!*found || !is_of(*found, token))
		found = s->index.cnt ? bsearch(token, s->index.names, s->index.cnt,
					       sizeof(*s->index.names), by_token)
				     : NULL;
	if (found)
		snprintf(ret, MF_TRASH_NAME_ROOM, "%s", *found);
	pthread_mutex_unlock(&t->lock);
	return found;
}

static bool scan_for(struct mf_trash *t, const char *token, char ret[MF_TRASH_NAME_ROOM])
{
	int fd = openat(t->own_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	bool found = false;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && (e = readdir(d)))
		if (is_of(e->d_name, token) && mf_trash_record_ok(e->d_name)) {
			snprintf(ret, MF_TRASH_NAME_ROOM, "%s", e->d_name);
			found = true;
		}
	closedir(d);
	return found;
}

/* Many that are looked for one by one (hashes that are far behind) read the directory once for all that wait. */
static bool look_for(struct mf_trash *t, const char *token, char ret[MF_TRASH_NAME_ROOM])
{
	struct mf_trash_names names;
	bool many;

	pthread_mutex_lock(&t->lock);
	many = !t->store->indexed && ++t->store->looks > LOOKS_MAX;
	pthread_mutex_unlock(&t->lock);
	if (!many || mf_trash_names_read(t->own_fd, mf_trash_record_ok, &names) < 0)
		return scan_for(t, token, ret);
	pthread_mutex_lock(&t->lock);
	if (t->store->indexed) {
		mf_trash_names_done(&names);
	} else {
		mf_trash_names_done(&t->store->index);
		t->store->index = names;
	}
	pthread_mutex_unlock(&t->lock);
	return known(t, token, ret);
}

bool mf_trash_record_of(struct mf_trash *t, const char *token, char ret[MF_TRASH_NAME_ROOM])
{
	struct stat st;

	if (!mf_trash_token_ok(token))
		return false;
	if (known(t, token, ret) && fstatat(t->own_fd, ret, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	snprintf(ret, MF_TRASH_NAME_ROOM, "%s", token);
	return fstatat(t->own_fd, ret, &st, AT_SYMLINK_NOFOLLOW) == 0 || look_for(t, token, ret);
}

int mf_trash_remove_record(struct mf_trash *t, const char *token)
{
	char name[MF_TRASH_NAME_ROOM];

	if (!mf_trash_record_of(t, token, name))
		return 0;
	return unlinkat(t->own_fd, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

/* The record as a file: for file systems without links, and for texts that no link holds. */
static int write_file(const struct mf_trash *t, const char *token, const struct mf_strbuf *b)
{
	char tmp[MF_TRASH_OWN_NAME_MAX];
	int r, fd;

	mf_trash_own_name(t, tmp, MF_TRASH_TMP, token);
	fd = openat(t->own_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = mf_trash_write_all(fd, b->str, b->len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && renameat(t->own_fd, tmp, t->own_fd, token) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(t->own_fd, tmp, 0);
	return r;
}

static int write_text(struct mf_trash *t, const struct mf_trash_record *record)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_RECORD_MAX - 1);
	int r;

	mf_trash_record_format(&b, record);
	if (b.failed)
		r = -ENAMETOOLONG;
	else if (symlinkat(b.str, t->own_fd, record->e.token) == 0)
		r = 0;
	else if (errno == ENAMETOOLONG || errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
		r = write_file(t, record->e.token, &b);
	else
		r = -errno;
	mf_strbuf_done(&b);
	return r;
}

/* Under the lock: the link with the text @want, or else the place where it can be. */
static struct shared *shared_of(struct mf_trash_store *s, const char *want)
{
	struct shared *oldest = &s->shared[0];

	for (size_t i = 0; i < SHARED_MAX; i++) {
		struct shared *one = &s->shared[i];

		if (one->text && strcmp(one->text, want) == 0)
			return one;
		if (oldest->text && (!one->text || one->used < oldest->used))
			oldest = one;
	}
	return oldest;
}

static void shared_drop(struct mf_trash *t, struct shared *one)
{
	if (one->text)
		(void)unlinkat(t->own_fd, one->name, 0); // the records are names of it still
	free(one->text);
	one->text = NULL;
}

/* Its name in @ret; @anew: the one there is can have no more names. Return: 0 or a negative errno */
static int share(struct mf_trash *t, const struct mf_trash_record *r, bool anew,
		 char ret[MF_TRASH_OWN_NAME_MAX])
{
	struct mf_strbuf b = MF_STRBUF_INIT(4000);
	struct shared *one;
	int error = 0;

	mf_trash_record_shared_format(&b, r);
	if (b.failed) {
		mf_strbuf_done(&b);
		return -ENAMETOOLONG;
	}
	pthread_mutex_lock(&t->lock);
	one = shared_of(t->store, b.str);
	if (!one->text || anew || strcmp(one->text, b.str) != 0) {
		shared_drop(t, one);
		mf_trash_own_name(t, one->name, MF_TRASH_SHARED, r->e.token);
		if (symlinkat(b.str, t->own_fd, one->name) < 0)
			error = -errno;
		else if (!(one->text = strdup(b.str)))
			error = -ENOMEM;
	}
	one->used = ++t->store->uses;
	memcpy(ret, one->name, MF_TRASH_OWN_NAME_MAX);
	pthread_mutex_unlock(&t->lock);
	mf_strbuf_done(&b);
	return error;
}

int mf_trash_write_record(struct mf_trash *t, const struct mf_trash_record *record,
			  char name[MF_TRASH_NAME_ROOM])
{
	char shared[MF_TRASH_OWN_NAME_MAX];
	int r = -EMLINK;

	if (t->store->no_names || !mf_trash_record_name_format(record, name)) {
		snprintf(name, MF_TRASH_NAME_ROOM, "%s", record->e.token);
		return write_text(t, record);
	}
	for (int tries = 0; tries < 2 && r == -EMLINK; tries++) {
		r = share(t, record, tries > 0, shared);
		if (r == 0 && linkat(t->own_fd, shared, t->own_fd, name, 0) < 0)
			r = -errno;
	}
	if (r == 0)
		remember(t, record->e.token, name);
	if (r == 0 || r == -ENOSPC || r == -EDQUOT || r == -EIO || r == -ENOMEM || r == -EMFILE)
		return r;
	if (r == -EPERM || r == -EOPNOTSUPP || r == -ENOSYS || r == -EINVAL)
		t->store->no_names = true;
	snprintf(name, MF_TRASH_NAME_ROOM, "%s", record->e.token);
	return write_text(t, record);
}
