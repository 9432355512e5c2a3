/* SPDX-License-Identifier: Apache-2.0 */
/* data_file.c - see data_file.h */
#include "core/policy/data_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/sealed.h"
#include "core/match/domain_set.h"
#include "core/policy/files.h"

/* Smaller lists are not looked for in other processes. */
#define FIND_MIN   ((size_t)1 << 20)
#define CHECK_STEP ((size_t)1 << 20)
#define TITLE	   "moonfence-list-"
#define TITLE_ROOM (sizeof(TITLE) + 2 * MF_SHA256_LEN)

struct data {
	struct mf_data_file pub; /* first */
	char *owned;		 /* of text */
	struct mf_sealed *list;	 /* of a compiled list */
	struct mf_file_seal seal;
	unsigned refs;	   /* under lists.lock where it is a list */
	struct data *next; /* likewise */
};

/* The lists of this process by their hash: generations and runtimes share them. */
static struct {
	pthread_mutex_t lock; /* for moments only: never while something is read */
	struct data *first;
} lists = { .lock = PTHREAD_MUTEX_INITIALIZER };

int mf_data_file_not_sealed(const char *dir, const char *name, struct mf_err *err)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return mf_err_at(
		err, MF_E_BAD, path, 0, 0,
		"the file is not what the pack's MANIFEST says: it was changed after it was "
		"installed");
}

static void free_data(struct data *d)
{
	mf_sealed_free(d->list);
	free(d->owned);
	free(d);
}

void mf_data_file_unref(struct mf_data_file *file)
{
	struct data *d = (struct data *)file, **at;
	bool last = true;

	if (!d)
		return;
	if (d->list) {
		pthread_mutex_lock(&lists.lock);
		last = --d->refs == 0;
		if (last) {
			for (at = &lists.first; *at != d; at = &(*at)->next)
				;
			*at = d->next;
		}
		pthread_mutex_unlock(&lists.lock);
	}
	if (last)
		free_data(d);
}

static bool same_seal(const struct mf_file_seal *a, const struct mf_file_seal *b)
{
	return a->len == b->len && memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

/* The list with this seal: the one that is known, else @d, which becomes known; with @d NULL only the first. */
static struct data *known(const struct mf_file_seal *seal, struct data *d)
{
	struct data *at;

	pthread_mutex_lock(&lists.lock);
	for (at = lists.first; at && !same_seal(&at->seal, seal); at = at->next)
		;
	if (!at && d) {
		at = d;
		at->next = lists.first;
		lists.first = at;
	}
	if (at)
		at->refs++;
	pthread_mutex_unlock(&lists.lock);
	return at;
}

static void write_title(const struct mf_file_seal *seal, char ret[TITLE_ROOM])
{
	size_t at = sizeof(TITLE) - 1;

	memcpy(ret, TITLE, sizeof(TITLE));
	for (size_t i = 0; i < MF_SHA256_LEN; i++, at += 2)
		snprintf(ret + at, 3, "%02x", seal->digest[i]);
}

static bool has_digest(void *ctx, const uint8_t *data, size_t len)
{
	const struct mf_file_seal *want = ctx;
	uint8_t digest[MF_SHA256_LEN];
	struct mf_sha256 hash;

	mf_sha256_begin(&hash);
	for (size_t at = 0; at < len; at += CHECK_STEP)
		mf_sha256_add(&hash, data + at, len - at < CHECK_STEP ? len - at : CHECK_STEP);
	mf_sha256_end(&hash, digest);
	return memcmp(digest, want->digest, sizeof(digest)) == 0;
}

static struct data *new_list(struct mf_sealed *list, const struct mf_file_seal *seal)
{
	struct data *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->list = list;
	d->seal = *seal;
	d->pub = (struct mf_data_file){ (const char *)list->data, list->len };
	return d;
}

/* A list that is in memory somewhere; NULL: it must be read. */
static struct data *find_list(const struct mf_file_seal *want)
{
	struct data *d = known(want, NULL), *mine;
	struct mf_file_seal seal = *want;
	struct mf_sealed *list;
	char title[TITLE_ROOM];

	if (d || want->len < FIND_MIN || want->len > MF_DATA_LIST_MAX)
		return d;
	write_title(want, title);
	if (mf_sealed_find(title, (size_t)want->len, has_digest, &seal, &list) < 0)
		return NULL;
	if (!mf_domain_set_is_image(list->data, list->len) || !(mine = new_list(list, want))) {
		mf_sealed_free(list);
		return NULL;
	}
	d = known(want, mine);
	if (d != mine)
		free_data(mine);
	return d;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

struct reading {
	const struct mf_file_seal *want;
	struct mf_sha256 hash;
	struct mf_sealed_builder *list;
	char *text;
	size_t len, room;
};

static int add_text(struct reading *r, const void *data, size_t len, struct mf_err *err)
{
	size_t room = r->room ? r->room : MF_FILE_PIECE;
	char *more;

	if (len > MF_DATA_TEXT_MAX - r->len)
		return mf_err_set(err, MF_E_LIMIT,
				  "a data file that is text has at most %zu bytes: a longer list "
				  "of names is compiled ('compile' in pack.lua)",
				  MF_DATA_TEXT_MAX);
	while (room <= r->len + len)
		room += room;
	if (room > r->room) {
		more = realloc(r->text, room);
		if (!more)
			return mf_err_set(err, MF_E_NOMEM, "out of memory");
		r->text = more;
		r->room = room;
	}
	memcpy(r->text + r->len, data, len);
	r->len += len;
	r->text[r->len] = '\0';
	return 0;
}

static int take_piece(void *ctx, const void *data, size_t len, struct mf_err *err)
{
	struct reading *r = ctx;
	char title[TITLE_ROOM] = TITLE "0";
	int code;

	mf_sha256_add(&r->hash, data, len);
	if (!r->list && !r->len && mf_domain_set_is_image(data, len)) {
		if (r->want)
			write_title(r->want, title);
		code = mf_sealed_begin(title, &r->list, err);
		if (code < 0)
			return code;
	}
	return r->list ? mf_sealed_add(r->list, data, len, err) : add_text(r, data, len, err);
}

/* What was read becomes a list, or the one like it that somebody has already. */
static int end_list(struct reading *r, const struct mf_file_seal *seal, struct data **ret,
		    struct mf_err *err)
{
	struct mf_sealed *list;
	struct data *d;
	int code = mf_sealed_end(r->list, &list, err);

	r->list = NULL;
	if (code < 0)
		return code;
	d = new_list(list, seal);
	if (!d) {
		mf_sealed_free(list);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	*ret = known(seal, d);
	if (*ret != d)
		free_data(d);
	return 0;
}

static int end_text(struct reading *r, struct data **ret, struct mf_err *err)
{
	struct data *d = calloc(1, sizeof(*d));

	if (!d || (!r->text && !(r->text = calloc(1, 1)))) {
		free(d);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	d->owned = r->text;
	d->pub = (struct mf_data_file){ r->text, r->len };
	r->text = NULL;
	*ret = d;
	return 0;
}

int mf_data_file_read(const char *dir, const char *name, const struct mf_file_seal *want,
		      struct mf_data_file **ret_file, struct mf_err *err)
{
	struct data *d = want ? find_list(want) : NULL;
	struct reading r = { .want = want };
	struct mf_file_seal seal;
	int code = 0;

	if (!d) {
		mf_sha256_begin(&r.hash);
		code = mf_file_read_pieces(dir, name, MF_DATA_LIST_MAX, take_piece, &r, err);
		mf_sha256_end(&r.hash, seal.digest);
		seal.len = r.hash.len;
		if (code == 0 && want && !same_seal(want, &seal))
			code = mf_data_file_not_sealed(dir, name, err);
		if (code == 0)
			code = r.list ? end_list(&r, &seal, &d, err) : end_text(&r, &d, err);
		mf_sealed_cancel(r.list);
		free(r.text);
	}
	if (code == 0)
		*ret_file = &d->pub;
	return code;
}
