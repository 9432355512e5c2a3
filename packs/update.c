/* SPDX-License-Identifier: Apache-2.0 */
/* update.c - see update.h */
#include "packs/update.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/policy/files.h"
#include "packs/update_memory.h"

#define PART	  "part-"
#define PARTS_MAX 256

/* An archive that the index names and that is not here. */
struct wanted {
	const struct mf_channel_pack *pack;
	bool canary;
	struct mf_pack_fetch archive, sig;
	char file[MF_CHANNEL_FILE_ROOM], sig_file[MF_CHANNEL_FILE_ROOM];
};

struct job {
	const char *path;
	const struct mf_store_options *store_options;
	const struct mf_source_entry *source;
	const struct mf_update_options *options;
	struct mf_update_result *result;
	uint64_t now_s;
	char dir[4096]; /* .sources of the store */
	struct mf_pack_disk *disk;
	struct mf_store *store; /* read only, as it was at the beginning */
	struct mf_update_memory memory;
	struct mf_pack_source *from;
	/* of a channel */
	struct mf_channel channel;
	char hash[MF_PACK_HASH_ROOM];
	struct wanted wanted[2 * MF_CHANNEL_PACKS_MAX];
	size_t wanted_cnt;
	char leave[2 * MF_CHANNEL_PACKS_MAX][MF_PACK_NAME_MAX + 1];
	size_t leave_cnt;
};

uint64_t mf_update_wait(unsigned failures, uint64_t retry_after_s, uint32_t random)
{
	uint64_t wait = MF_UPDATE_WAIT_S;

	if (retry_after_s)
		return retry_after_s < MF_UPDATE_RETRY_MAX_S ? retry_after_s
							     : MF_UPDATE_RETRY_MAX_S;
	for (unsigned i = 1; i < failures && wait < MF_UPDATE_WAIT_MAX_S; i++)
		wait *= 2;
	wait = wait < MF_UPDATE_WAIT_MAX_S ? wait : MF_UPDATE_WAIT_MAX_S;
	return wait - random % (wait / 2);
}

/* --- the source --------------------------------------------------------------------------------------------------- */

static int check_patience(const struct job *j, struct mf_err *err)
{
	char when[32];

	if (j->options->force || j->now_s >= j->memory.not_before_s ||
	    /* A clock that was set back must not silence it for years. */
	    j->memory.not_before_s - j->now_s > MF_UPDATE_RETRY_MAX_S)
		return 0;
	mf_time_text(j->memory.not_before_s, when);
	return mf_err_set(err, MF_E_AGAIN,
			  "source %s failed %u times and is left alone until %s ('--force' asks it "
			  "now)",
			  j->source->name, j->memory.failures, when);
}

/* It could not be had: when is it asked again? */
static int note_failure(struct job *j, const struct mf_pack_fetch *f, int r, const char *why,
			struct mf_err *err)
{
	uint32_t random = 0;
	char when[32];

	if (!f->passing)
		return mf_err_set(err, r, "source %s: %s", j->source->name, why);
	(void)RAND_bytes((unsigned char *)&random, sizeof(random));
	j->memory.failures += j->memory.failures < 1000;
	j->memory.not_before_s =
		j->now_s + mf_update_wait(j->memory.failures, f->retry_after_s, random);
	mf_time_text(j->memory.not_before_s, when);
	(void)mf_update_memory_write(j->disk, j->source, &j->memory, NULL);
	return mf_err_set(err, r, "source %s: %s; it is asked again after %s", j->source->name, why,
			  when);
}

static int fetch(struct job *j, struct mf_pack_fetch *f, struct mf_err *err)
{
	struct mf_err why = { 0 };
	int r = mf_pack_source_fetch(j->from, f, &why);

	return r < 0 ? note_failure(j, f, r, why.msg, err) : r;
}

/* --- archives ----------------------------------------------------------------------------------------------------- */

static void part_name(const struct wanted *w, char buf[32])
{
	snprintf(buf, 32, PART "%.16s", w->pack->hash);
}

static void keep_part(struct job *j, const struct wanted *w)
{
	char name[32];

	part_name(w, name);
	if (w->archive.len)
		(void)mf_pack_disk_write(j->disk, name, w->archive.data, w->archive.len, NULL);
}

/* Beginnings of archives that nobody wants any more. */
static void sweep_parts(struct job *j, bool all)
{
	struct mf_file_list list;
	char name[32];

	if (mf_file_list_dir(j->dir, PARTS_MAX, &list, NULL) < 0)
		return;
	for (size_t i = 0; i < list.cnt; i++) {
		bool wanted = strncmp(list.items[i].name, PART, strlen(PART)) != 0;

		for (size_t k = 0; !all && !wanted && k < j->wanted_cnt; k++) {
			part_name(&j->wanted[k], name);
			wanted = strcmp(list.items[i].name, name) == 0;
		}
		if (!wanted)
			mf_pack_disk_unlink(j->disk, list.items[i].name);
	}
	mf_file_list_done(&list);
}

static bool is_right(const struct wanted *w)
{
	char hash[MF_PACK_HASH_ROOM];

	return w->archive.len == w->pack->len &&
	       mf_pack_hash(w->archive.data, w->archive.len, hash) == 0 &&
	       strcmp(hash, w->pack->hash) == 0;
}

static int fetch_archive(struct job *j, struct wanted *w, struct mf_err *err)
{
	char part[32], *text;
	bool resumed;
	int r;

	part_name(w, part);
	if (mf_file_read_below(j->dir, part, w->pack->len, &text, &w->archive.len, NULL) == 0)
		w->archive.data = (uint8_t *)text;
	resumed = w->archive.len;
	r = resumed && is_right(w) ? 0 : fetch(j, &w->archive, err);
	if (r < 0)
		return r;
	if (resumed && !is_right(w)) {
		/* What was here did not belong to it. */
		mf_pack_disk_unlink(j->disk, part);
		free(w->archive.data);
		w->archive.data = NULL;
		w->archive.len = 0;
		r = fetch(j, &w->archive, err);
	}
	if (r < 0 || is_right(w))
		return r < 0 ? r : 0;
	w->archive.len = 0; /* not to be kept */
	return mf_err_set(
		err, MF_E_PERM,
		"source %s: %s is not the archive that the index of channel %s names: its "
		"size or hash is another",
		j->source->name, w->file, j->channel.name);
}

static int fetch_wanted(struct job *j, struct mf_err *err)
{
	size_t bytes = 0;
	int r = 0;

	for (size_t i = 0; i < j->wanted_cnt; i++)
		bytes += j->wanted[i].pack->len;
	if (bytes > MF_UPDATE_BYTES_MAX)
		return mf_err_set(err, MF_E_LIMIT,
				  "source %s: the new archives have %zu MiB together; the limit is "
				  "%zu",
				  j->source->name, bytes >> 20, MF_UPDATE_BYTES_MAX >> 20);
	sweep_parts(j, false);
	for (size_t i = 0; r == 0 && i < j->wanted_cnt; i++) {
		r = fetch_archive(j, &j->wanted[i], err);
		if (r == 0)
			r = fetch(j, &j->wanted[i].sig, err);
	}
	for (size_t i = 0; r < 0 && i < j->wanted_cnt; i++)
		keep_part(j, &j->wanted[i]);
	return r < 0 ? r : 0;
}

static void free_wanted(struct job *j)
{
	for (size_t i = 0; i < j->wanted_cnt; i++) {
		free(j->wanted[i].archive.data);
		free(j->wanted[i].sig.data);
	}
}

/* --- a channel ---------------------------------------------------------------------------------------------------- */

static const struct mf_pack_generation *generation(const struct job *j, uint32_t number)
{
	const struct mf_pack_state *s = mf_store_state(j->store);

	for (size_t i = 0; i < s->generation_cnt; i++)
		if (s->generations[i].number == number)
			return &s->generations[i];
	return NULL;
}

static bool has(const struct mf_pack_generation *g, const struct mf_channel_pack *p)
{
	for (size_t i = 0; g && i < g->cnt; i++)
		if (strcmp(g->packs[i].name, p->name) == 0)
			return strcmp(g->packs[i].hash, p->hash) == 0;
	return false;
}

static void want(struct job *j, const struct mf_channel_pack *p, bool canary)
{
	struct wanted *w = &j->wanted[j->wanted_cnt++];

	*w = (struct wanted){ .pack = p, .canary = canary };
	mf_channel_file(p, w->file);
	mf_channel_signature_file(p, w->sig_file);
	w->archive.name = w->file;
	w->archive.max = p->len;
	w->sig.name = w->sig_file;
	w->sig.max = MF_SIGNATURE_TEXT_MAX;
}

static void leave(struct job *j, const char *name)
{
	for (size_t i = 0; i < j->leave_cnt; i++)
		if (strcmp(j->leave[i], name) == 0)
			return;
	snprintf(j->leave[j->leave_cnt++], sizeof(j->leave[0]), "%.*s", MF_PACK_NAME_MAX, name);
}

/* What the index names for a canary: its own, and (where whoever asks wants a canary of everything) what is new for all. */
static void want_canary(struct job *j, const struct mf_channel_pack *p)
{
	const struct mf_pack_state *s = mf_store_state(j->store);

	if (has(generation(j, s->active), p)) {
		leave(j, p->name);
	} else if (!has(generation(j, s->canary), p)) {
		leave(j, p->name);
		want(j, p, true);
	}
}

static void choose(struct job *j)
{
	const struct mf_pack_generation *active = generation(j, mf_store_state(j->store)->active);
	const struct mf_channel *c = &j->channel;

	for (size_t i = 0; i < c->pack_cnt; i++) {
		const struct mf_channel_pack *p = &c->packs[i];
		bool in_canary = mf_channel_find(c->canary, c->canary_cnt, p->name);

		if (j->options->percent && !in_canary) {
			want_canary(j, p);
		} else if (!j->options->percent) {
			if (!has(active, p))
				want(j, p, false);
			if (!in_canary)
				leave(j, p->name);
		}
	}
	for (size_t i = 0; i < c->canary_cnt; i++)
		want_canary(j, &c->canary[i]);
}

static uint32_t percent_of(const struct job *j)
{
	return j->options->percent ? j->options->percent : j->channel.percent;
}

static void tell(struct job *j)
{
	for (size_t i = 0; i < j->wanted_cnt; i++) {
		struct mf_update_item *t = &j->result->items[j->result->item_cnt++];

		snprintf(t->name, sizeof(t->name), "%s", j->wanted[i].pack->name);
		snprintf(t->version, sizeof(t->version), "%s", j->wanted[i].pack->version);
		t->percent = j->wanted[i].canary ? percent_of(j) : 0;
	}
}

static int apply(struct job *j, struct mf_store_change *change, struct mf_err *err)
{
	struct mf_err why = { 0 };
	struct mf_store *store;
	int r = mf_store_open(j->path, j->store_options, &store, err);

	if (r < 0)
		return r;
	r = mf_store_apply(store, change, &why);
	mf_store_close(store);
	j->result->changed = r == 0;
	return r < 0 ? mf_err_set(err, r, "source %s: %s", j->source->name, why.msg) : 0;
}

static int apply_channel(struct job *j, struct mf_err *err)
{
	struct mf_store_archive all[MF_CHANNEL_PACKS_MAX], canary[2 * MF_CHANNEL_PACKS_MAX];
	struct mf_pack_state_source source = { .number = j->channel.number };
	struct mf_store_change change = { .archives = all,
					  .canary = canary,
					  .percent = percent_of(j),
					  .leave = (const char(*)[MF_PACK_NAME_MAX + 1]) j->leave,
					  .leave_cnt = j->leave_cnt,
					  .source = &source };

	snprintf(source.name, sizeof(source.name), "%s", j->source->name);
	snprintf(source.channel, sizeof(source.channel), "%s", j->channel.name);
	memcpy(source.hash, j->hash, sizeof(source.hash));
	for (size_t i = 0; i < j->wanted_cnt; i++) {
		const struct wanted *w = &j->wanted[i];
		struct mf_store_archive *a =
			w->canary ? &canary[change.canary_cnt++] : &all[change.cnt++];

		*a = (struct mf_store_archive){ .name = w->file,
						.data = w->archive.data,
						.len = w->archive.len,
						.sig = (const char *)w->sig.data,
						.sig_len = w->sig.len,
						.pack = w->pack->name,
						.version = w->pack->version,
						.channel = j->channel.name };
	}
	return apply(j, &change, err);
}

/* Whether this index was carried out before; older ones, and others of its number, are refused before anything is fetched. */
static int check_number(const struct job *j, bool *ret_done, struct mf_err *err)
{
	const struct mf_pack_state *s = mf_store_state(j->store);

	*ret_done = false;
	for (size_t i = 0; i < s->source_cnt; i++) {
		const struct mf_pack_state_source *last = &s->sources[i];

		if (strcmp(last->name, j->source->name) != 0 ||
		    strcmp(last->channel, j->channel.name) != 0)
			continue;
		if (j->channel.number < last->number)
			return mf_err_set(
				err, MF_E_PERM,
				"source %s gives index %u of channel %s, older than index "
				"%u, which was carried out before",
				j->source->name, j->channel.number, j->channel.name, last->number);
		if (j->channel.number == last->number && strcmp(j->hash, last->hash) != 0)
			return mf_err_set(err, MF_E_PERM,
					  "source %s gives another index %u of channel %s than "
					  "before: one number is one index",
					  j->source->name, j->channel.number, j->channel.name);
		*ret_done = j->channel.number == last->number;
	}
	return 0;
}

static int fetch_index(struct job *j, struct mf_err *err)
{
	struct mf_pack_validators validators = j->memory.validators;
	char name[MF_PACK_NAME_MAX + 16], what[2 * MF_PACK_NAME_MAX + 64];
	struct mf_pack_fetch f = { .name = name, .max = MF_CHANNEL_MAX, .validators = &validators };
	int r;

	if (!j->memory.index)
		validators = (struct mf_pack_validators){ 0 };
	snprintf(name, sizeof(name), "%s" MF_CHANNEL_ENDING, j->source->channel);
	snprintf(what, sizeof(what), "source %s: %s", j->source->name, name);
	r = fetch(j, &f, err);
	if (r == MF_PACK_SOURCE_SAME) {
		free(f.data);
		f.data = (uint8_t *)j->memory.index;
		f.len = j->memory.index_len;
		j->memory.index = NULL;
	}
	if (r >= 0)
		r = mf_channel_open(mf_store_trust(j->store), j->now_s, what, j->source->channel,
				    (const char *)f.data, f.len, &j->channel, j->hash, err);
	if (r < 0) {
		free(f.data);
		return r;
	}
	free(j->memory.index);
	j->memory = (struct mf_update_memory){ .validators = validators,
					       .index = (char *)f.data,
					       .index_len = f.len };
	return mf_update_memory_write(j->disk, j->source, &j->memory, err);
}

static int update_channel(struct job *j, struct mf_err *err)
{
	bool done = false;
	int r = fetch_index(j, err);

	if (r == 0)
		r = check_number(j, &done, err);
	if (r < 0)
		return r;
	j->result->number = j->channel.number;
	if (done && !j->options->force)
		return 0;
	choose(j);
	tell(j);
	if (j->options->check) {
		j->result->changed = j->wanted_cnt;
		return 0;
	}
	r = fetch_wanted(j, err);
	if (r == 0)
		r = apply_channel(j, err);
	if (r == 0)
		sweep_parts(j, true);
	return r;
}

/* --- one archive -------------------------------------------------------------------------------------------------- */

static int install_one(struct job *j, const char *name, struct mf_pack_fetch *a, struct mf_err *err)
{
	struct mf_pack_fetch sig = { .max = MF_SIGNATURE_TEXT_MAX };
	struct mf_store_archive archive = { .name = name, .data = a->data, .len = a->len };
	struct mf_store_change change = { .percent = j->options->percent };
	char file[MF_SOURCE_ADDRESS_MAX + 16];
	struct mf_pack_manifest m;
	const struct mf_trust_key *key;
	int r;

	snprintf(file, sizeof(file), "%s.minisig", name);
	sig.name = file;
	r = mf_pack_source_fetch(j->from, &sig, NULL);
	if (r == MF_E_NOENT) {
		snprintf(file, sizeof(file), "%s.sig", name);
		r = fetch(j, &sig, err);
	} else if (r < 0) {
		r = fetch(j, &sig, err);
	}
	archive.sig = (const char *)sig.data;
	archive.sig_len = sig.len;
	if (r == 0)
		r = mf_store_verify(mf_store_trust(j->store), j->now_s, &archive, &m, NULL, &key,
				    err);
	if (r == 0 && strcmp(m.channel, j->source->channel) != 0)
		r = mf_err_set(err, MF_E_PERM, "source %s: %s is of channel %s, not of %s",
			       j->source->name, name, m.channel, j->source->channel);
	if (r == 0) {
		struct mf_update_item *t = &j->result->items[j->result->item_cnt++];

		snprintf(t->name, sizeof(t->name), "%s", m.name);
		snprintf(t->version, sizeof(t->version), "%s", m.version);
		t->percent = j->options->percent;
	}
	*(j->options->percent ? &change.canary : &change.archives) = &archive;
	*(j->options->percent ? &change.canary_cnt : &change.cnt) = 1;
	if (r == 0 && !j->options->check)
		r = apply(j, &change, err);
	else if (r == 0)
		j->result->changed = true;
	free(sig.data);
	return r;
}

static int update_file(struct job *j, const char *name, struct mf_err *err)
{
	struct mf_pack_validators validators = j->memory.validators;
	struct mf_pack_fetch a = { .name = name,
				   .max = MF_PACK_BYTES_MAX,
				   .validators = j->options->force ? NULL : &validators };
	int r = fetch(j, &a, err);

	if (r == 0)
		r = install_one(j, name, &a, err);
	free(a.data);
	if (r < 0 || j->options->check)
		return r < 0 ? r : 0;
	mf_update_memory_done(&j->memory);
	j->memory.validators = validators;
	return mf_update_memory_write(j->disk, j->source, &j->memory, err);
}

/* --- both --------------------------------------------------------------------------------------------------------- */

static int run(struct job *j, struct mf_err *err)
{
	const struct mf_source_entry *e = j->source;
	const struct mf_pack_source_options o = { .ca = *e->ca ? e->ca : NULL,
						  .credentials =
							  *e->credentials ? e->credentials : NULL,
						  .timeout_s = j->options->timeout_s };
	bool file = mf_file_name_ends(e->address, ".mfpack");
	const char *slash = strrchr(e->address, '/');
	char base[MF_SOURCE_ADDRESS_MAX + 1];
	int r;

	snprintf(base, sizeof(base), "%.*s",
		 (int)(file && slash ? slash - e->address : (ptrdiff_t)strlen(e->address)),
		 e->address);
	r = mf_update_memory_read(j->dir, e, &j->memory, err);
	if (r == 0)
		r = check_patience(j, err);
	if (r == 0)
		r = mf_pack_source_open(*base ? base : "/", e->channel, &o, &j->from, err);
	if (r == 0)
		r = file && slash ? update_file(j, slash + 1, err) : update_channel(j, err);
	mf_pack_source_close(j->from);
	mf_update_memory_done(&j->memory);
	return r;
}

int mf_update(const char *path, const struct mf_store_options *store_options,
	      const struct mf_source_entry *source, const struct mf_update_options *options,
	      struct mf_update_result *ret, struct mf_err *err)
{
	struct mf_store_options reading = *store_options;
	struct job *j = calloc(1, sizeof(*j));
	int r;

	*ret = (struct mf_update_result){ 0 };
	if (!j)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	j->path = path;
	j->store_options = store_options;
	j->source = source;
	j->options = options;
	j->result = ret;
	j->now_s = store_options->now_s ? store_options->now_s
					: mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;
	reading.read_only = true;
	if ((size_t)snprintf(j->dir, sizeof(j->dir), "%s/" MF_UPDATE_DIR, path) >= sizeof(j->dir))
		r = mf_err_set(err, MF_E_LIMIT, "the path of %.200s... is too long", path);
	else
		r = mf_pack_disk_open(j->dir, &j->disk, err);
	if (r == 0)
		r = mf_store_open(path, &reading, &j->store, err);
	if (r == 0)
		r = run(j, err);
	mf_store_close(j->store);
	mf_pack_disk_close(j->disk);
	free_wanted(j);
	free(j);
	return r;
}
