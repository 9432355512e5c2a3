/* SPDX-License-Identifier: Apache-2.0 */
/* shared_sets.c - see shared_sets.h */
#include "core/policy/shared_sets.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/err.h"

struct shared {
	struct shared *next;
	struct mf_shared_sets *home;
	const char *text;
	size_t refs;
	struct mf_arg *arg; /* holds the set itself */
};

struct mf_shared_sets {
	pthread_mutex_t building; /* held while a set is built; before lock */
	pthread_mutex_t
		lock; /* the list, for moments only: who gives a set back never waits for one being built */
	struct shared *first;
	size_t cnt;
};

struct mf_shared_sets *mf_shared_sets_new(void)
{
	struct mf_shared_sets *sets = calloc(1, sizeof(*sets));

	if (!sets)
		return NULL;
	if (pthread_mutex_init(&sets->lock, NULL) != 0) {
		free(sets);
		return NULL;
	}
	if (pthread_mutex_init(&sets->building, NULL) != 0) {
		pthread_mutex_destroy(&sets->lock);
		free(sets);
		return NULL;
	}
	return sets;
}

void mf_shared_sets_free(struct mf_shared_sets *sets)
{
	if (!sets)
		return;
	pthread_mutex_destroy(&sets->building);
	pthread_mutex_destroy(&sets->lock);
	free(sets);
}

static void drop(void *owner)
{
	struct shared *sh = owner, **at;
	struct mf_shared_sets *home = sh->home;
	bool last;

	pthread_mutex_lock(&home->lock);
	last = --sh->refs == 0;
	if (last) {
		for (at = &home->first; *at != sh; at = &(*at)->next)
			;
		*at = sh->next;
		home->cnt--;
	}
	pthread_mutex_unlock(&home->lock);
	if (last) {
		mf_arg_unref(NULL, sh->arg);
		free(sh);
	}
}

/* Make the set that nobody holds. */
static int make(struct mf_shared_sets *sets, const struct mf_arg *like, const char *text,
		size_t len, mf_shared_build_fn build, void *ctx, struct shared **ret,
		struct mf_err *err)
{
	struct shared *sh = calloc(1, sizeof(*sh));
	int r;

	if (sh)
		sh->arg = mf_arg_wrap((enum mf_arg_type)like->type, like->text);
	if (!sh || !sh->arg) {
		free(sh);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	r = build(ctx, sh->arg, text, len, err);
	if (r < 0) {
		mf_arg_unref(NULL, sh->arg);
		free(sh);
		return r;
	}
	sh->home = sets;
	sh->text = text;
	*ret = sh;
	return 0;
}

/* Take the set of @text if it is there, else @made; both NULL: nothing. */
static bool take(struct mf_shared_sets *sets, struct mf_arg *arg, const char *text,
		 struct shared *made)
{
	struct shared *sh;

	pthread_mutex_lock(&sets->lock);
	for (sh = sets->first; sh; sh = sh->next)
		if (sh->text == text && sh->arg->type == arg->type)
			break;
	if (!sh && made) {
		sh = made;
		sh->next = sets->first;
		sets->first = sh;
		sets->cnt++;
	}
	if (sh) {
		sh->refs++;
		mf_arg_borrow(arg, sh->arg, drop, sh);
	}
	pthread_mutex_unlock(&sets->lock);
	return sh != NULL;
}

int mf_shared_sets_get(struct mf_shared_sets *sets, struct mf_arg *arg, const char *text,
		       size_t len, mf_shared_build_fn build, void *ctx, struct mf_err *err)
{
	struct shared *made = NULL;
	int r = 0;

	if (take(sets, arg, text, NULL))
		return 0;
	pthread_mutex_lock(&sets->building);
	if (!take(sets, arg, text, NULL)) {
		r = make(sets, arg, text, len, build, ctx, &made, err);
		if (r == 0)
			(void)take(sets, arg, text, made);
	}
	pthread_mutex_unlock(&sets->building);
	return r;
}

size_t mf_shared_sets_count(struct mf_shared_sets *sets)
{
	size_t cnt;

	pthread_mutex_lock(&sets->lock);
	cnt = sets->cnt;
	pthread_mutex_unlock(&sets->lock);
	return cnt;
}
