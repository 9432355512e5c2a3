/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c - see judge.h */
#include "fs/judge.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/policy/outcome.h"
#include "core/policy/request.h"

#define SEATS_DEFAULT 16
#define LABELS_MAX    32
#define ARGS_MAX      64
#define TEXT_ROOM     12288 /* of a kept decision: its strings */

#define LINUX_EACCES  13
#define LINUX_EIO     5

#define FETCHED	      (MF_SESSION_PROCESS_FIELDS | UINT64_C(1) << MF_F_UID | UINT64_C(1) << MF_F_GID)

struct mf_fs_seat {
	struct mf_fs_seat *below;
	struct mf_vm *vm;
	struct mf_request *request;
	struct mf_fs_judge *judge;
	const struct mf_fs_caller *caller; /* of the question being asked */
	bool may_wait;
	bool fetched; /* its answer looked at the caller */
	/* Strings of decisions that were kept: of the words of a question; of the questions before. */
	char text[2][TEXT_ROOM];
};

struct mf_fs_judge {
	struct mf_fs_judge_options o;
	struct mf_fs_hold_ops hold;
	struct mf_session session; /* of what waits: its id and events */
	pthread_mutex_t lock;
	pthread_cond_t free_cond;
	struct mf_fs_seat *free; /* the one left last on top */
	unsigned made;
};

int mf_fs_judge_new(const struct mf_fs_judge_options *options, struct mf_fs_judge **ret_judge,
		    struct mf_err *err)
{
	struct mf_fs_judge *j = calloc(1, sizeof(*j));

	*ret_judge = NULL;
	if (!j)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	j->o = *options;
	if (!j->o.seats)
		j->o.seats = SEATS_DEFAULT;
	j->session = (struct mf_session){ .id = j->o.session_id ? j->o.session_id : "",
					  .source = j->o.source,
					  .events = j->o.events };
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->free_cond, NULL);
	*ret_judge = j;
	return 0;
}

static void free_seat(struct mf_fs_seat *seat)
{
	mf_vm_free(seat->vm);
	mf_request_free(seat->request);
	free(seat);
}

void mf_fs_judge_free(struct mf_fs_judge *j)
{
	struct mf_fs_seat *seat;

	if (!j)
		return;
	while ((seat = j->free)) {
		j->free = seat->below;
		free_seat(seat);
	}
	pthread_cond_destroy(&j->free_cond);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

static struct mf_fs_seat *make_seat(struct mf_fs_judge *j)
{
	struct mf_fs_seat *seat = malloc(sizeof(*seat));
	struct mf_err err = { 0 };

	if (!seat)
		return NULL;
	seat->vm = NULL;
	seat->may_wait = false;
	seat->judge = j;
	seat->request = mf_request_new(MF_FILE);
	if (!seat->request || (j->o.runtime && mf_vm_new(j->o.runtime, &seat->vm, &err) < 0)) {
		mf_log_error(j->o.log, "no policies can be asked about files: %s",
			     err.code ? err.msg : "out of memory");
		free_seat(seat);
		return NULL;
	}
	return seat;
}

struct mf_fs_seat *mf_fs_judge_sit(struct mf_fs_judge *j)
{
	struct mf_fs_seat *seat;

	pthread_mutex_lock(&j->lock);
	while (!j->free && j->made >= j->o.seats)
		pthread_cond_wait(&j->free_cond, &j->lock);
	seat = j->free;
	if (seat)
		j->free = seat->below;
	else
		j->made++;
	pthread_mutex_unlock(&j->lock);
	if (seat)
		return seat;
	seat = make_seat(j);
	if (seat)
		return seat;
	pthread_mutex_lock(&j->lock);
	j->made--;
	pthread_cond_signal(&j->free_cond);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

void mf_fs_judge_hold(struct mf_fs_judge *j, const struct mf_fs_hold_ops *ops)
{
	j->hold = *ops;
}

void mf_fs_judge_may_wait(struct mf_fs_seat *seat, bool may)
{
	if (seat)
		seat->may_wait = may;
}

void mf_fs_judge_leave(struct mf_fs_judge *j, struct mf_fs_seat *seat)
{
	if (!seat)
		return;
	pthread_mutex_lock(&j->lock);
	seat->below = j->free;
	j->free = seat;
	if (j->made >= j->o.seats)
		pthread_cond_signal(&j->free_cond);
	pthread_mutex_unlock(&j->lock);
}

uint64_t mf_fs_judge_generation(const struct mf_fs_judge *j)
{
	return j->o.runtime ? mf_runtime_generation(j->o.runtime) : 0;
}

/* ---- one question ---------------------------------------------------------------------------------------------- */

static void set_text(struct mf_request *req, enum mf_field field, const char *text)
{
	if (text)
		(void)mf_request_set_str(req, field, text, strlen(text));
}

static void fetch_process(struct mf_fs_seat *seat, struct mf_request *req)
{
	const struct mf_fs_judge_options *o = &seat->judge->o;
	struct mf_process p = { 0 };

	if (seat->caller->pid > 0)
		(void)mf_request_set_int(req, MF_F_PROCESS_PID, seat->caller->pid);
	if (!o->find_process || o->find_process(o->find_ctx, seat->caller, &p) < 0)
		return;
	if (p.pid > 0)
		(void)mf_request_set_int(req, MF_F_PROCESS_PID, p.pid);
	if (p.parent > 0)
		(void)mf_request_set_int(req, MF_F_PROCESS_PARENT, p.parent);
	set_text(req, MF_F_PROCESS_NAME, p.name);
	set_text(req, MF_F_PROCESS_EXE, p.exe);
	set_text(req, MF_F_PROCESS_USER, p.user);
	for (unsigned i = 0; p.args && p.args[i] && i < ARGS_MAX; i++)
		if (mf_request_add_str(req, MF_F_PROCESS_ARGS, p.args[i], strlen(p.args[i])) < 0)
			break;
}

static int fetch(struct mf_request *req, enum mf_field field, void *ctx)
{
	struct mf_fs_seat *seat = ctx;

	seat->fetched = true;
	if (!seat->caller)
		return MF_E_NOENT;
	if (field != MF_F_UID && field != MF_F_GID) {
		fetch_process(seat, req);
		return 0;
	}
	if (seat->caller->uid < 0)
		return MF_E_NOENT;
	(void)mf_request_set_int(req, MF_F_UID, seat->caller->uid);
	(void)mf_request_set_int(req, MF_F_GID, seat->caller->gid);
	return 0;
}

static const struct {
	unsigned flag;
	uint8_t len;
	const char *word;
} flag_words[] = {
	{ MF_FS_FLAG_READ, 4, "read" },	    { MF_FS_FLAG_WRITE, 5, "write" },
	{ MF_FS_FLAG_CREATE, 6, "create" }, { MF_FS_FLAG_TRUNCATE, 8, "truncate" },
	{ MF_FS_FLAG_APPEND, 6, "append" }, { MF_FS_FLAG_EXCLUSIVE, 9, "exclusive" },
};

/* Return: 0, or why it cannot be asked about (a path that is none, or too long) */
static int fill(struct mf_fs_seat *seat, const struct mf_fs_question *q, const char *word)
{
	const struct mf_fs_judge_options *o = &seat->judge->o;
	struct mf_request *req = seat->request;
	int r;

	mf_request_reset(req, MF_FILE);
	set_text(req, MF_F_SOURCE, o->source);
	set_text(req, MF_F_SESSION_ID, o->session_id);
	for (size_t i = 0; i < o->label_cnt && i < LABELS_MAX; i++)
		(void)mf_request_set_label(req, o->labels[i].key, o->labels[i].value);
	r = mf_request_set_str(req, MF_F_OP, word, strlen(word));
	if (r == 0)
		r = mf_request_set_str(req, MF_F_PATH, q->path, q->path_len);
	if (r == 0 && q->target)
		r = mf_request_set_str(req, MF_F_TARGET, q->target, q->target_len);
	for (size_t i = 0; q->flags && i < MF_ARRAY_SIZE(flag_words) && r == 0; i++)
		if (q->flags & flag_words[i].flag)
			r = mf_request_add_str(req, MF_F_FLAGS, flag_words[i].word,
					       flag_words[i].len);
	if (r == 0 && q->size >= 0)
		r = mf_request_set_int(req, MF_F_SIZE, q->size);
	mf_request_set_fetch(req, fetch, seat, FETCHED);
	return r;
}

static struct mf_decision own_denial(const char *why)
{
	return (struct mf_decision){ .size = sizeof(struct mf_decision),
				     .verdict = MF_DENY,
				     .origin = MF_FROM_DEFAULT,
				     .matched = true,
				     .file_errno = LINUX_EACCES,
				     .policy = "default",
				     .rule = "files",
				     .reason = why };
}

static int rank(const struct mf_fs_verdict *v)
{
	switch (v->what) {
	case MF_FS_REFUSE:
		return 4;
	case MF_FS_TRASH:
	case MF_FS_ELSEWHERE:
		return 3;
	case MF_FS_DO:
	case MF_FS_DO_NUM:
		break;
	}
	return v->plain ? 0 : 1;
}

/* What an answer means for the operation. */
static void weigh(const struct mf_fs_op_info *info, struct mf_fs_verdict *v)
{
	v->plain = false;
	v->error = 0;
	switch (v->d.verdict) {
	case MF_ALLOW:
		v->what = MF_FS_DO;
		v->plain = !v->d.audit;
		return;
	case MF_SOFT_DELETE:
		v->what = info->loss == MF_FS_LOSES_NOTHING ? MF_FS_DO : MF_FS_TRASH;
		v->plain = v->what == MF_FS_DO && !v->d.audit;
		v->hash = v->d.hash;
		v->keeps = v->what == MF_FS_DO && strcmp(v->word, "write") == 0;
		return;
	case MF_REDIRECT_PATH:
		v->what = v->d.path_target ? MF_FS_ELSEWHERE : MF_FS_REFUSE;
		v->cow = v->d.cow;
		v->error = v->d.path_target ? 0 : LINUX_EACCES;
		return;
	default: // deny; what no file operation can carry out
		v->what = MF_FS_REFUSE;
		v->error = v->d.verdict == MF_DENY && v->d.file_errno > 0 ? v->d.file_errno
									  : LINUX_EACCES;
		return;
	}
}

static uint64_t lasts(const struct mf_fs_seat *seat, const struct mf_decision *d)
{
	uint64_t now;

	if (seat->fetched || d->origin == MF_FROM_FAIL_MODE)
		return 0;
	if (d->expires_ns == UINT64_MAX || d->expires_ns == 0)
		return d->expires_ns;
	now = mf_clock_now(&mf_clock_system);
	return d->expires_ns > now ? d->expires_ns - now : 0;
}

static const char *copy(char **at, size_t *room, const char *text)
{
	size_t n;
	char *to = *at;

	if (!text)
		return NULL;
	n = strlen(text) + 1;
	if (n > *room)
		return NULL;
	memcpy(to, text, n);
	*at += n;
	*room -= n;
	return to;
}

/* The strings of what was decided so far, which the next question would overwrite. */
static void keep(struct mf_fs_seat *seat, struct mf_fs_verdict *v, char text[static TEXT_ROOM])
{
	struct mf_decision *d = &v->d;
	size_t room = TEXT_ROOM;
	char *at = text;

	if (d->policy == text || !seat->vm)
		return;
	/* The first tells whether it has been kept. */
	d->policy = copy(&at, &room, d->policy ? d->policy : "");
	d->path_target = copy(&at, &room, d->path_target);
	if (v->what == MF_FS_ELSEWHERE && !d->path_target) {
		v->what = MF_FS_REFUSE;
		v->error = LINUX_EACCES;
	}
	d->rule = copy(&at, &room, d->rule);
	d->reason = copy(&at, &room, d->reason);
	d->message = copy(&at, &room, d->message);
	d->pack = copy(&at, &room, d->pack);
	d->pack_version = copy(&at, &room, d->pack_version);
	d->file = copy(&at, &room, d->file);
	d->cname = d->redirect_host = d->redirect_unix = d->sni = NULL;
}

/* One word more of the question that was asked last: only that differs, unless an answer has added something. */
static int fill_again(struct mf_fs_seat *seat, const struct mf_fs_question *q, const char *word)
{
	return seat->fetched ? fill(seat, q, word)
			     : mf_request_set_str(seat->request, MF_F_OP, word, strlen(word));
}

/* What was answered, or will be: then the operation ends for now. */
static void settle(struct mf_fs_seat *seat, struct mf_fs_verdict *v)
{
	struct mf_fs_judge *j = seat->judge;
	const struct mf_approve_grants *grants =
		j->hold.grants ? j->hold.grants(j->hold.ctx) : NULL;
	uint8_t key[MF_APPROVE_KEY_LEN];
	struct mf_approve_question q = { .session = &j->session,
					 .request = seat->request,
					 .decision = &v->d,
					 .pid = seat->caller && seat->caller->pid > 0
							? seat->caller->pid
							: 0,
					 .key = key };

	if (mf_approve_settle(j->o.approvals, j->session.id, seat->request, grants, &v->d))
		return;
	if (!j->hold.wait || !seat->may_wait) {
		mf_approve_refuse(&v->d, mf_approve_cannot_wait);
		return;
	}
	/* before the process, which nobody has to have read */
	mf_approve_key(seat->request, &v->d, j->session.id, key);
	(void)mf_request_get(seat->request, MF_F_PROCESS_NAME);
	v->held = j->hold.wait(j->hold.ctx, &q);
	if (!v->held)
		mf_approve_refuse(&v->d, mf_approve_too_many);
}

static void ask_word(struct mf_fs_seat *seat, const struct mf_fs_question *q, const char *word,
		     bool first, struct mf_fs_verdict *v)
{
	int r = first ? fill(seat, q, word) : fill_again(seat, q, word);

	v->d.size = sizeof(v->d); // the rest is filled by whoever answers
	v->word = word;
	v->hash = v->cow = v->keeps = v->held = v->unstored = false;
	seat->caller = q->caller;
	seat->fetched = false;
	if (r < 0) {
		v->d = own_denial("a path that no policy can be asked about");
		v->cache_ns = 0;
	} else {
		(void)mf_decide(seat->vm, seat->request, &v->d);
		if (v->d.verdict == MF_ASK)
			settle(seat, v);
		v->cache_ns = lasts(seat, &v->d);
	}
	v->generation = v->d.generation;
	weigh(mf_fs_op_info(q->op), v);
}

static void combine(struct mf_fs_verdict *all, const struct mf_fs_verdict *one)
{
	uint64_t cache = all->cache_ns < one->cache_ns ? all->cache_ns : one->cache_ns;
	bool keeps = all->keeps || one->keeps;

	if (rank(one) >= rank(all))
		*all = *one;
	all->cache_ns = cache;
	all->keeps = keeps;
}

void mf_fs_judge_ask(struct mf_fs_judge *j, struct mf_fs_seat *seat, const struct mf_fs_question *q,
		     struct mf_fs_verdict *ret)
{
	const struct mf_fs_op_info *info = mf_fs_op_info(q->op);
	struct mf_fs_verdict v;

	(void)j;
	if (!seat || !seat->vm || !info) {
		*ret = (struct mf_fs_verdict){ .what = MF_FS_REFUSE, .error = LINUX_EACCES };
		ret->d = own_denial(seat ? "no policies are loaded"
					 : "no policy could be asked: out of memory");
		ret->word = info ? info->words[0] : "open";
		return;
	}
	ask_word(seat, q, info->words[0], true, ret);
	for (int i = 1; i < MF_FS_WORDS_MAX && info->words[i]; i++) {
		if (ret->what == MF_FS_REFUSE)
			return;
		if (rank(ret) > 0)
			keep(seat, ret, seat->text[0]);
		ask_word(seat, q, info->words[i], false, &v);
		combine(ret, &v);
	}
}

void mf_fs_judge_keep(struct mf_fs_seat *seat, struct mf_fs_verdict *v)
{
	if (seat)
		keep(seat, v, seat->text[1]);
}

void mf_fs_judge_ask_also(struct mf_fs_judge *j, struct mf_fs_seat *seat,
			  const struct mf_fs_question *q, struct mf_fs_verdict *all)
{
	struct mf_fs_verdict v;

	if (seat && rank(all) > 0)
		keep(seat, all, seat->text[1]);
	mf_fs_judge_ask(j, seat, q, &v);
	combine(all, &v);
}
