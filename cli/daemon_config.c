/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_config.c - see daemon_config.h */
#include "cli/daemon_config.h"

#include <stdlib.h>
#include <string.h>

static const char *const policy_keys[] = { "policy.paths", "policy.signing", "policy.trust_store" };

static const struct mf_config *now_of(const struct mf_daemon_config *d)
{
	return d->now ? d->now : d->start;
}

static bool is_said(const struct mf_daemon_config *d, const char *key)
{
	for (size_t i = 0; d->said[i]; i++)
		if (strcmp(d->said[i], key) == 0)
			return true;
	return false;
}

int mf_daemon_config_check(const struct mf_config *c, struct mf_err *err)
{
	if (!c->signing || c->trust_store || strcmp(c->signing, "off") == 0)
		return 0;
	return mf_err_set(err, MF_E_INVAL,
			  "policy.signing: whose signatures count? policy.trust_store is missing");
}

/* ---- policies --------------------------------------------------------------------------------------------------- */

struct loading {
	struct mf_daemon_config *d;
	const struct mf_config *c;
	void (*done)(void *ctx, const struct mf_err *err);
	void *done_ctx;
};

static void sign_as(struct mf_daemon_config *d, const struct mf_config *c)
{
	if (!is_said(d, "policy.signing"))
		mf_policy_signing_change(&d->host->signing, c->trust_store,
					 c->signing ? mf_policy_signing_mode(c->signing)
						    : MF_SIGNING_ENFORCE);
}

static void begin(void *ctx)
{
	const struct loading *l = ctx;

	sign_as(l->d, l->c);
}

static void go_back(void *ctx)
{
	const struct loading *l = ctx;

	sign_as(l->d, now_of(l->d));
}

static void loaded(void *ctx, const struct mf_err *err)
{
	struct loading *l = ctx;

	l->d->loading = false;
	l->done(l->done_ctx, err);
	free(l);
}

struct found {
	const struct mf_daemon_config *d;
	bool paths, any;
};

static void find_change(void *ctx, const char *key, bool live)
{
	struct found *f = ctx;

	(void)live;
	for (size_t i = 0; i < MF_ARRAY_SIZE(policy_keys); i++) {
		if (strcmp(key, policy_keys[i]) != 0 || is_said(f->d, key))
			continue;
		f->any = true;
		f->paths |= i == 0;
	}
}

/* The paths that a file names, or the shipped policy; free() it. NULL without memory */
static const char **paths_of(struct mf_daemon_config *d, const struct mf_config *c, size_t *ret_cnt)
{
	const char *shipped = c->policies.cnt ? NULL : mf_paths_default_policy(d->default_policy);

	*ret_cnt = shipped ? 1 : c->policies.cnt;
	return mf_paths_policies(shipped ? &shipped : c->policies.items, *ret_cnt);
}

bool mf_daemon_config_policies(void *config, const struct mf_config *c,
			       void (*done)(void *ctx, const struct mf_err *err), void *done_ctx)
{
	struct mf_daemon_config *d = config;
	struct mf_policy_change change = { .begin = begin, .back = go_back };
	struct found found = { .d = d };
	struct mf_err err = { 0 };
	const char **paths = NULL;
	struct loading *l;

	/* the thread goes back to what counts now: that must not change under it */
	if (d->loading)
		mf_err_set(&err, MF_E_AGAIN, "the configuration is being read already: ask again");
	if (d->loading || mf_daemon_config_check(c, &err) < 0) {
		done(done_ctx, &err);
		return true;
	}
	mf_config_each_change(now_of(d), c, find_change, &found);
	if (!found.any)
		return false;
	l = calloc(1, sizeof(*l));
	if (l && found.paths)
		paths = paths_of(d, c, &change.path_cnt);
	if (!l || (found.paths && !paths)) {
		free(l);
		mf_err_set(&err, MF_E_NOMEM, "out of memory");
		done(done_ctx, &err);
		return true;
	}
	*l = (struct loading){ d, c, done, done_ctx };
	d->loading = true;
	change.paths = paths;
	change.ctx = l;
	mf_routes_policy_change(d->policy, &change, loaded, l);
	free(paths);
	return true;
}

/* ---- what counts now -------------------------------------------------------------------------------------------- */

struct settling {
	struct mf_daemon_config *d;
	json_t *answer;
	bool live; /* which of them are told now */
};

static void tell(void *ctx, const char *key, bool live)
{
	const struct settling *s = ctx;
	bool said = is_said(s->d, key);

	if (live != s->live)
		return;
	json_array_append_new(json_object_get(s->answer, said	? "overridden"
							 : live ? "settings"
								: "restart_needed"),
			      json_string(key));
	if (!said && !live)
		mf_log_warning(&s->d->host->log,
			       "the configuration says another %s: it counts when the daemon is "
			       "started again",
			       key);
}

void mf_daemon_config_settle(void *config, struct mf_config *c, json_t *answer)
{
	struct mf_daemon_config *d = config;
	struct settling s = { d, answer, true };
	struct found found = { .d = d };
	struct mf_config *before = d->now;
	size_t cnt;

	json_object_set_new(answer, "settings", json_array());
	json_object_set_new(answer, "restart_needed", json_array());
	json_object_set_new(answer, "overridden", json_array());
	mf_config_each_change(now_of(d), c, tell, &s);
	mf_config_each_change(now_of(d), c, find_change, &found);
	s.live = false;
	mf_config_each_change(d->start, c, tell, &s); /* for as long as it runs as it began */
	if (found.paths) {
		const char **paths = paths_of(d, c, &cnt);

		if (paths)
			d->use_paths(d->use_ctx, paths, cnt);
		free(paths);
	}
	d->now = c;
	sign_as(d, c); /* its texts are the new file's */
	if (before)
		mf_config_done(before);
	free(before);
}

void mf_daemon_config_done(struct mf_daemon_config *d)
{
	if (d->now)
		mf_config_done(d->now);
	free(d->now);
	d->now = NULL;
}
