/* SPDX-License-Identifier: Apache-2.0 */
/* frame_ring.c - see frame_ring.h */
#include "nic/frame_ring.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC	   0x43504941u /* "AIPC" */
#define VERSION	   1u
#define MARKER	   0xffffffffu
#define HEAD_WORDS 4u
#define DESC_WORDS 4u
#define CTRL_BYTES 16u
#define QUEUES_MAX 64u

enum { WORD_HEAD, WORD_RESERVED, WORD_COMMITTED, WORD_CAPACITY };

struct ring {
	uint32_t *ctrl; /* shared */
	uint8_t *data;	/* shared */
	uint32_t mask;	/* capacity less one */
	uint32_t at;	/* our cursor, which nobody else changes */
};

struct rings {
	struct mf_frame_source source;
	struct mf_frame_ring_options options;
	struct ring in, out;
	bool broken, kick_due;
	uint8_t frame[]; /* options.frame_max: what is looked at is ours */
};

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static uint32_t record_len(uint32_t len)
{
	return 4 + ((len + 3) & ~3u);
}

/* ---- taking ------------------------------------------------------------------------------------------------------ */

/*
 * One record. What is between our cursor and the committed tail was written before the tail was (acquire); the length is loaded
 * once, so that what was checked is what is used.
 * Return: length, with the frame in s->frame; MF_E_AGAIN: nothing there, MF_E_LIMIT: too long a one, MF_E_SYNTAX: none
 */
static int take(struct rings *s, uint32_t tail)
{
	struct ring *r = &s->in;
	uint32_t used = tail - r->at, left, len, at = r->at & r->mask;

	if (used > r->mask + 1 || used & 3)
		return MF_E_SYNTAX;
	if (!used)
		return MF_E_AGAIN;
	left = r->mask + 1 - at;
	len = load((const uint32_t *)(const void *)(r->data + at));
	if (len == MARKER) {
		if (left > used)
			return MF_E_SYNTAX;
		r->at += left;
		used -= left;
		if (!used)
			return MF_E_AGAIN;
		at = 0;
		left = r->mask + 1;
		len = load((const uint32_t *)(const void *)r->data);
	}
	/* A second marker would be a length beyond all limits, too. */
	if (len > r->mask || record_len(len) > left || record_len(len) > used)
		return MF_E_SYNTAX;
	r->at += record_len(len);
	if (len > s->options.frame_max)
		return MF_E_LIMIT;
	memcpy(s->frame, r->data + at + 4, len);
	return (int)len;
}

static int ring_run(struct mf_frame_source *source, unsigned max)
{
	struct rings *s = (struct rings *)source;
	struct ring *r = &s->in;
	uint32_t tail = __atomic_load_n(&r->ctrl[WORD_COMMITTED], __ATOMIC_ACQUIRE);
	unsigned cnt = 0;

	while (cnt < max && !s->broken) {
		int len = take(s, tail);

		if (len == MF_E_AGAIN)
			break;
		if (len == MF_E_SYNTAX) {
			s->broken = true;
			break;
		}
		cnt++;
		/* Room for the next one while this one is looked at; it is ours already. */
		__atomic_store_n(&r->ctrl[WORD_HEAD], r->at, __ATOMIC_RELEASE);
		if (len < (int)MF_FRAME_MIN) {
			source->stats.in_bad++;
			continue;
		}
		source->stats.in++;
		source->stats.in_bytes += (unsigned)len;
		source->receiver(source->ctx, s->frame, (size_t)len);
	}
	if (!s->broken)
		__atomic_store_n(&r->ctrl[WORD_HEAD], r->at, __ATOMIC_RELEASE);
	return cnt ? (int)cnt : s->broken ? MF_E_SYNTAX : 0;
}

/* ---- appending --------------------------------------------------------------------------------------------------- */

static void put_word(uint8_t *at, uint32_t value)
{
	__atomic_store_n((uint32_t *)(void *)at, value, __ATOMIC_RELAXED);
}

/* Return: 0; MF_E_AGAIN: no room */
static int append(struct rings *s, const uint8_t *head, size_t head_len, const uint8_t *body,
		  size_t body_len)
{
	struct ring *r = &s->out;
	uint32_t len = (uint32_t)(head_len + body_len), want = record_len(len);
	uint32_t at = r->at & r->mask, left = r->mask + 1 - at, padding = want > left ? left : 0;
	/* What the other side has read out before it said so may be written over (acquire). */
	uint32_t used = r->at - __atomic_load_n(&r->ctrl[WORD_HEAD], __ATOMIC_ACQUIRE);
	uint8_t *p;

	if (used > r->mask + 1) {
		s->broken = true;
		return MF_E_AGAIN;
	}
	if (padding + want > r->mask + 1 - used)
		return MF_E_AGAIN;
	__atomic_store_n(&r->ctrl[WORD_RESERVED], r->at + padding + want, __ATOMIC_RELAXED);
	p = r->data + (padding ? 0 : at);
	if (padding)
		put_word(r->data + at, MARKER);
	put_word(p, len);
	memcpy(p + 4, head, head_len);
	if (body_len)
		memcpy(p + 4 + head_len, body, body_len);
	/* The bytes behind a frame are nobody's old ones. */
	memset(p + 4 + len, 0, want - 4 - len);
	r->at += padding + want;
	__atomic_store_n(&r->ctrl[WORD_COMMITTED], r->at, __ATOMIC_RELEASE);
	return 0;
}

static int ring_send(struct mf_frame_source *source, const uint8_t *head, size_t head_len,
		     const uint8_t *body, size_t body_len)
{
	struct rings *s = (struct rings *)source;
	size_t len = head_len + body_len;
	int r = len > s->options.frame_max ? MF_E_LIMIT
		: s->broken		   ? MF_E_AGAIN
					   : append(s, head, head_len, body, body_len);

	if (r < 0) {
		source->stats.out_dropped++;
		return r;
	}
	source->stats.out++;
	source->stats.out_bytes += len;
	s->kick_due = true;
	return 0;
}

static void ring_flush(struct mf_frame_source *source)
{
	struct rings *s = (struct rings *)source;

	if (s->kick_due && s->options.kick)
		s->options.kick(s->options.ctx);
	s->kick_due = false;
}

static void ring_free(struct mf_frame_source *source)
{
	free(source);
}

static const struct mf_frame_ops ops = { "ring", ring_run, ring_send, ring_flush, ring_free };

/* ---- layout ------------------------------------------------------------------------------------------------------ */

struct place {
	uint32_t offset, capacity;
	bool found;
};

static int check_place(const struct place *p, uint32_t table_end, uint32_t total,
		       uint32_t frame_max, struct mf_err *err)
{
	if (p->offset % 4 || p->offset < table_end || p->offset > total ||
	    total - p->offset < CTRL_BYTES || p->capacity > total - p->offset - CTRL_BYTES)
		return mf_err_set(err, MF_E_BAD, "a ring of %u bytes at %u is not within %u",
				  p->capacity, p->offset, total);
	if (!p->capacity || p->capacity & (p->capacity - 1))
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "a ring's capacity is a power of two, not %u", p->capacity);
	if (p->capacity / 2 < record_len(frame_max))
		return mf_err_set(err, MF_E_LIMIT, "a ring of %u bytes has no room for two frames",
				  p->capacity);
	return 0;
}

/* Each word is read once: the other side may write meanwhile. */
static int find_places(const uint32_t *mem, size_t len, uint32_t frame_max, struct place ret[2],
		       struct mf_err *err)
{
	uint32_t total, cnt, table_end;
	int r;

	if (len < HEAD_WORDS * 4 || load(mem) != MAGIC)
		return mf_err_set(err, MF_E_NOT_MINE, "this memory does not begin with AIPC");
	if (load(mem + 1) != VERSION)
		return mf_err_set(err, MF_E_NOT_MINE, "rings of another version than %u", VERSION);
	total = load(mem + 2);
	cnt = load(mem + 3);
	if (total > len || total < HEAD_WORDS * 4 || cnt > QUEUES_MAX ||
	    cnt * DESC_WORDS * 4 > total - HEAD_WORDS * 4)
		return mf_err_set(err, MF_E_BAD, "%u rings in %u of %zu bytes cannot be", cnt,
				  total, len);
	table_end = (HEAD_WORDS + cnt * DESC_WORDS) * 4;
	for (uint32_t i = 0; i < cnt; i++) {
		const uint32_t *desc = mem + HEAD_WORDS + i * DESC_WORDS;
		uint32_t kind = load(desc);
		struct place *p = &ret[kind == MF_RING_NET_RX];

		if (kind != MF_RING_NET_TX && kind != MF_RING_NET_RX)
			continue;
		if (p->found)
			return mf_err_set(err, MF_E_BAD, "two rings of kind %u", kind);
		*p = (struct place){ load(desc + 1), load(desc + 2), true };
		r = check_place(p, table_end, total, frame_max, err);
		if (r < 0)
			return r;
	}
	if (!ret[0].found || !ret[1].found)
		return mf_err_set(err, MF_E_NOENT, "NET_TX and NET_RX are not both there");
	if (ret[0].offset < ret[1].offset + CTRL_BYTES + ret[1].capacity &&
	    ret[1].offset < ret[0].offset + CTRL_BYTES + ret[0].capacity)
		return mf_err_set(err, MF_E_BAD, "NET_TX and NET_RX overlap");
	return 0;
}

/* @word: where our own cursor goes on. Return: 0, MF_E_BAD */
static int open_ring(struct ring *r, uint8_t *mem, const struct place *p, int word,
		     struct mf_err *err)
{
	r->ctrl = (uint32_t *)(void *)(mem + p->offset);
	r->data = mem + p->offset + CTRL_BYTES;
	r->mask = p->capacity - 1;
	r->at = load(&r->ctrl[word]);
	if (load(&r->ctrl[WORD_CAPACITY]) != p->capacity || r->at & 3)
		return mf_err_set(err, MF_E_BAD, "the ring at %u says something else of itself",
				  p->offset);
	return 0;
}

int mf_frame_ring_new(const struct mf_frame_ring_options *options, void *mem, size_t len,
		      struct mf_frame_source **ret, struct mf_err *err)
{
	uint32_t frame_max = options->frame_max ? options->frame_max : MF_RING_FRAME_MAX;
	struct place places[2] = { 0 };
	struct rings *s;
	int r;

	if (options->size != sizeof(*options) || (uintptr_t)mem % 4 || frame_max < MF_FRAME_MIN ||
	    frame_max > MF_FRAME_MAX)
		return mf_err_set(err, MF_E_INVAL,
				  "rings want aligned memory, frames of %u to %u bytes",
				  MF_FRAME_MIN, MF_FRAME_MAX);
	r = find_places(mem, len, frame_max, places, err);
	if (r < 0)
		return r;
	s = malloc(sizeof(*s) + frame_max);
	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	memset(s, 0, sizeof(*s));
	s->source = (struct mf_frame_source){ .ops = &ops, .fd = -1 };
	s->options = *options;
	s->options.frame_max = frame_max;
	r = open_ring(&s->in, mem, &places[options->guest_side], WORD_HEAD, err);
	if (r == 0)
		r = open_ring(&s->out, mem, &places[!options->guest_side], WORD_COMMITTED, err);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = &s->source;
	return 0;
}

size_t mf_frame_ring_room(uint32_t capacity)
{
	return (HEAD_WORDS + 2 * DESC_WORDS) * 4 + 2 * ((size_t)CTRL_BYTES + capacity);
}

int mf_frame_ring_format(void *mem, size_t len, uint32_t capacity)
{
	uint32_t *word = mem, offset = (HEAD_WORDS + 2 * DESC_WORDS) * 4;

	if ((uintptr_t)mem % 4 || capacity < 4 || capacity & (capacity - 1) ||
	    capacity > 1u << 30 || len < mf_frame_ring_room(capacity))
		return MF_E_INVAL;
	word[0] = MAGIC;
	word[1] = VERSION;
	word[2] = (uint32_t)mf_frame_ring_room(capacity);
	word[3] = 2;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t *desc = word + HEAD_WORDS + i * DESC_WORDS;
		uint32_t *ctrl = word + offset / 4;

		desc[0] = i ? MF_RING_NET_RX : MF_RING_NET_TX;
		desc[1] = offset;
		desc[2] = capacity;
		desc[3] = 0;
		memset(ctrl, 0, CTRL_BYTES);
		ctrl[WORD_CAPACITY] = capacity;
		offset += CTRL_BYTES + capacity;
	}
	return 0;
}
