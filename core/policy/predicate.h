/* SPDX-License-Identifier: Apache-2.0 */
/*
 * predicate.h - the questions that policies ask in C: q:under(set), c:to("10.0.0.0/8"), now:between(...)
 *
 * How it works
 *
 * A predicate is an operation and an argument. Arguments are compiled once (globs, regexes, networks, sets) and interned
 * by their content, so that the decision graph can name one by its pointer, and the same text written twice is the same
 * argument. Interned arguments are bounded in number and bytes; one for which there is no room is made for one call only,
 * and what depends on it is not cached.
 *
 * What is asked about depends on the kind: is, under, glob and regex look at dns.name, connect.host, sni.sni,
 * file.path. A field without a value makes every predicate false.
 */
#ifndef MF_POLICY_PREDICATE_H
#define MF_POLICY_PREDICATE_H

#include "core/match/cidr_set.h"
#include "core/match/domain_set.h"
#include "core/match/glob.h"
#include "core/match/port_set.h"
#include "core/match/regex.h"
#include "core/policy/now.h"
#include "core/policy/request.h"

/*
 * Bounds of one question, whatever the author wrote: a pattern's length bounds its compilation (under a millisecond), and
 * a glob costs at most pattern x subject steps of some nanoseconds. Regexes have their own match limit (regex.h).
 */
#define MF_PATTERN_MAX 1024
#define MF_GLOB_WORK   262144

enum mf_pred_op {
	MF_P_IS,
	MF_P_UNDER,
	MF_P_GLOB,
	MF_P_REGEX, /* found anywhere in the subject */
	MF_P_TO,
	MF_P_TO_PRIVATE,
	MF_P_PORT_IN,
	MF_P_MATCHES_DNS,
	MF_P_BETWEEN,
	MF_PRED_NUM
};

enum mf_arg_type {
	MF_A_LABEL,   /* text: a label's key */
	MF_A_NAME,    /* text: one canonical name */
	MF_A_PATH,    /* text: one canonical path */
	MF_A_PATHS,   /* several */
	MF_A_DOMAINS, /* domains{...}, or a list of names */
	MF_A_NETS,
	MF_A_PORTS,
	MF_A_GLOB,
	MF_A_REGEX,
	MF_A_BETWEEN,
	MF_ARG_TYPE_NUM
};

struct mf_arg {
	uint32_t refs;
	uint8_t type;	/* enum mf_arg_type */
	bool interned;	/* in the table: stays at refs 0 until its room is needed */
	bool wrapped;	/* declared at load: lives as long as the state */
	uint16_t flags; /* what text alone does not say: operation, kind; part of the identity */
	uint32_t len;
	uint64_t hash;
	size_t bytes;
	struct mf_arg *next;
	char *text; /* content, NUL-terminated; of a declared set what it is called in explanations */
	char *canon; /* of names and paths: canonical, one a line */
	uint32_t canon_len;
	union {
		struct mf_domain_set *domains;
		struct mf_cidr_set *nets;
		struct mf_port_set ports;
		struct mf_glob *glob;
		struct mf_regex *regex;
		struct {
			uint16_t from, until;
		} between;
	};
	/* Shared sets: dropped instead of freed. */
	void (*drop)(void *owner);
	void *owner;
};

struct mf_preds;

/** mf_preds_new() - @args_max: arguments kept, @bytes_max: their bytes; Return: NULL without memory */
struct mf_preds *mf_preds_new(uint32_t args_max, size_t bytes_max);
void mf_preds_free(struct mf_preds *ps); /* after everything that holds references */

/** mf_arg_find() - The interned argument with this content, with a new reference; NULL for none */
struct mf_arg *mf_arg_find(struct mf_preds *ps, enum mf_arg_type type, unsigned flags,
			   const char *text, size_t len);
/**
 * mf_arg_make() - Compile an argument from its text and intern it
 * @text: a glob, a regex, "22:00-06:00"; of sets and lists one entry a line
 * Return: 0 with a reference in *ret_arg; MF_E_SYNTAX, MF_E_LIMIT, MF_E_NOMEM
 */
int mf_arg_make(struct mf_preds *ps, enum mf_arg_type type, unsigned flags, const char *text,
		size_t len, struct mf_arg **ret_arg, struct mf_err *err);
/** mf_arg_wrap() - An argument that stands for a set made elsewhere, known by its identity; the caller fills the union */
struct mf_arg *mf_arg_wrap(enum mf_arg_type type, const char *title);
/** mf_arg_borrow() - Make @arg stand for the set that @from holds; @drop(@owner) instead of freeing it */
void mf_arg_borrow(struct mf_arg *arg, const struct mf_arg *from, void (*drop)(void *owner),
		   void *owner);
void mf_arg_unref(struct mf_preds *ps, struct mf_arg *arg);

static inline struct mf_arg *mf_arg_ref(struct mf_arg *arg)
{
	arg->refs++;
	return arg;
}

/* The field that is, under, glob and regex look at. */
extern const uint8_t mf_pred_subject[MF_KIND_NUM];
extern const char *const mf_pred_names[MF_PRED_NUM];

/** mf_pred_fields() - Which fields a predicate reads */
uint64_t mf_pred_fields(enum mf_kind kind, enum mf_pred_op op);

/** mf_pred_is_time() - Whether it reads the time instead */
static inline bool mf_pred_is_time(enum mf_pred_op op)
{
	return op == MF_P_BETWEEN;
}

/** mf_pred_is_slow() - Whether one question may take a millisecond: who asks several looks at the clock in between */
static inline bool mf_pred_is_slow(enum mf_pred_op op)
{
	return op == MF_P_REGEX || op == MF_P_GLOB;
}

/**
 * mf_pred_eval() - Ask
 * @now: set when mf_pred_is_time(@op)
 * Return: 1 yes, 0 no, MF_E_LIMIT when a pattern used up its steps, MF_E_NOMEM
 */
int mf_pred_eval(struct mf_preds *ps, enum mf_pred_op op, const struct mf_arg *arg,
		 struct mf_request *req, const struct mf_now *now);

/** mf_arg_has() - Whether a set holds a name, address text or port; 1, 0, MF_E_SYNTAX for text that is neither */
int mf_arg_has(const struct mf_arg *arg, const char *text, size_t len);

#endif
