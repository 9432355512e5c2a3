/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - the inside of a request: typed slots, one pool for their bytes
 *
 * How it works
 *
 * Every field has a slot. A field is in one of four states, told by two masks: it has a value (@set); it can still be
 * computed by the fetch callback (@lazy); neither, then it reads as nil. Values are made canonical when they are set, so
 * that what the policy reads, what the graph compares and what the memo hashes are the same bytes.
 *
 * A field that was read keeps its value until the decision ends (@locked): a fetch callback that learns more than it was
 * asked for cannot change what a policy has already seen, which would make its answer depend on the order of reads in a
 * way that the graph does not record.
 */
#ifndef MF_POLICY_REQUEST_H
#define MF_POLICY_REQUEST_H

#include <moonfence/moonfence.h>

#include "core/policy/value.h"

#define MF_REQUEST_STR_MAX   65536
#define MF_REQUEST_LIST_MAX  64
#define MF_REQUEST_LABEL_MAX 32
#define MF_REQUEST_WIDE_BITS 48

/* What the setters do to text. */
enum mf_canon {
	MF_CANON_NONE, /* no NUL */
	MF_CANON_LOWER,
	MF_CANON_UPPER,
	MF_CANON_NAME,
	MF_CANON_PATH,	/* absolute */
	MF_CANON_LPATH, /* as a path where absolute, else as it is: the text of a symlink */
	MF_CANON_NUM
};

struct mf_field_info {
	const char *name; /* as in Lua and in events: "process.name" */
	uint8_t type;	  /* enum mf_type */
	uint8_t kinds;	  /* mask of 1 << enum mf_kind */
	uint8_t canon;	  /* enum mf_canon */
	uint8_t slot;	  /* where requests keep it; fields that no kind has together share one */
	int64_t max;	  /* int: largest value; the smallest is 0 */
};

/* In the order of enum mf_field. */
extern const struct mf_field_info mf_field_table[MF_F_NUM];

#define MF_FIELD_BIT(field) (UINT64_C(1) << (field))

/*
 * A value in eight bytes. Short text (most types, operations, protocols) is the slot itself: its bytes, zeros up to the
 * seventh, and in the last byte 7 - length, which ends a text of seven bytes as well. Longer text, addresses and lists are
 * "wide": the slot says where they stand in the pool, and holds a few bits of hash, made while the bytes were at hand. Which
 * form a value has follows from the value alone.
 */
#define MF_SLOT_TEXT_MAX 7
#define MF_SLOT_OFF_BITS 24
#define MF_SLOT_LEN_BITS 17

union mf_slot {
	int64_t num;	 /* int, bool */
	uint8_t text[8]; /* short text */
	uint64_t word;	 /* wide: offset (lowest), length, hash */
};

static inline uint32_t mf_slot_off(union mf_slot slot)
{
	return (uint32_t)(slot.word & ((UINT64_C(1) << MF_SLOT_OFF_BITS) - 1));
}

static inline uint32_t mf_slot_len(union mf_slot slot)
{
	return (uint32_t)(slot.word >> MF_SLOT_OFF_BITS & ((UINT64_C(1) << MF_SLOT_LEN_BITS) - 1));
}

/* What does not depend on the place: equal for equal values. */
static inline uint64_t mf_slot_print(union mf_slot slot)
{
	return slot.word >> MF_SLOT_OFF_BITS;
}

/*
 * What a decision looks at stands first, so that it is few cache lines: the masks and the slots of the kind (dns 7,
 * dns_answer 11, connect 6, sni 12, file 7), then those of every kind, then at a line of its own the pool.
 */
#define MF_SLOT_COMMON 12
#define MF_SLOT_NUM    20

struct mf_request {
	uint64_t kind : 8;     /* enum mf_kind */
	uint64_t fetching : 1; /* inside the fetch callback */
	uint64_t label_cnt : 7;
	uint64_t wide : MF_REQUEST_WIDE_BITS; /* of those set: the slot names bytes in the pool */
	uint64_t set, lazy;
	uint8_t *pool;
	union mf_slot slots[MF_SLOT_NUM];
	uint8_t inline_pool[256]; /* most requests need no more */
	uint32_t pool_len, pool_room;
	/* Labels sorted by key, as a list of key, value, key, value ... in the pool. */
	uint32_t labels_off, labels_len;
	uint64_t locked;
	uint16_t fetch_cnt; /* calls of the callback since the reset, for what is not derived */
	bool dry;	    /* mf_request_set_dry() */
	uint64_t derived, derived_now; /* mf_request_set_derived(); those that were fetched */
	uint8_t list_cnt[MF_SLOT_NUM];
	mf_fetch_fn fetch;
	void *fetch_ctx;
	void *base; /* of the allocation: the request begins at a cache line */
};

/**
 * mf_request_set_dry() - Only to see what would be decided: counters are asked, not moved. Until the next reset.
 */
void mf_request_set_dry(struct mf_request *req);

/**
 * mf_request_set_names_only() - No address is meant: "family" is 0, and rules about networks are left out, the denying ones, too,
 * which match where "ip" is just not known. Taken back with @on false. Until the next reset; "ip" must not be set.
 */
void mf_request_set_names_only(struct mf_request *req, bool on);
/** mf_request_is_names_only() - Whether that is so */
bool mf_request_is_names_only(const struct mf_request *req);

/**
 * mf_request_set_derived() - Of the fields that can be fetched, those that follow from the name alone
 * A decision that read them is kept for the name, as if they had not been read.
 */
void mf_request_set_derived(struct mf_request *req, uint64_t fields);

/* Bring the lines that a decision will look at closer, all at once: slots, and the pool's beginning. */
static inline void mf_request_prefetch(const struct mf_request *req)
{
	__builtin_prefetch(req);
	__builtin_prefetch((const char *)req + 64);
	__builtin_prefetch(req->inline_pool);
}

static inline union mf_slot *mf_request_slot(struct mf_request *req, enum mf_field field)
{
	return &req->slots[mf_field_table[field].slot];
}

/* What a field holds now, without asking the callback; nil for a lazy one. */
static inline struct mf_value mf_request_peek(const struct mf_request *req, enum mf_field field)
{
	struct mf_value v = { .type = MF_T_NIL };
	const union mf_slot *slot = &req->slots[mf_field_table[field].slot];
	uint8_t type = mf_field_table[field].type;

	if (!(req->set & MF_FIELD_BIT(field)))
		return v;
	v.type = type;
	if (type == MF_T_INT || type == MF_T_BOOL) {
		v.num = slot->num;
		return v;
	}
	if (!(req->wide & MF_FIELD_BIT(field))) {
		v.ptr = slot->text;
		v.len = (uint32_t)MF_SLOT_TEXT_MAX - slot->text[MF_SLOT_TEXT_MAX];
		return v;
	}
	v.ptr = req->pool + mf_slot_off(*slot);
	v.len = mf_slot_len(*slot);
	if (type == MF_T_LIST)
		v.num = req->list_cnt[mf_field_table[field].slot];
	return v;
}

/* Ask the callback for a lazy field. */
void mf_request_fetch(struct mf_request *req, enum mf_field field);

/** mf_request_get() - What a policy sees; calls the fetch callback for a lazy field. Valid until the next set or get */
static inline struct mf_value mf_request_get(struct mf_request *req, enum mf_field field)
{
	if (__builtin_expect((req->lazy & ~req->set & MF_FIELD_BIT(field)) != 0, 0))
		mf_request_fetch(req, field);
	req->locked |= MF_FIELD_BIT(field);
	return mf_request_peek(req, field);
}

/** mf_request_label() - The value of session.labels.KEY, nil for none */
struct mf_value mf_request_label(const struct mf_request *req, const char *key, size_t len);

/* All labels as one value, for the memo's key. */
static inline struct mf_value mf_request_labels(const struct mf_request *req)
{
	return (struct mf_value){ .type = MF_T_LIST,
				  .len = req->labels_len,
				  .ptr = req->pool + req->labels_off,
				  .num = req->label_cnt };
}

/**
 * mf_request_canon() - What a setter would make of text for @field
 * @out: room for max(@len, 254) bytes; not NUL-terminated
 * Return: length, MF_E_SYNTAX, MF_E_LIMIT
 */
int mf_request_canon(enum mf_field field, const char *str, size_t len, char *out);

/** mf_field_find() - The field that Lua calls @name ("port", "process.name"), MF_F_NUM for none of @kind */
enum mf_field mf_field_find(enum mf_kind kind, const char *name);

/** mf_word_nearest() - The word of @words (NULL-terminated) closest to @name by edit distance; NULL if none is close */
const char *mf_word_nearest(const char *name, const char *const *words);

#endif
