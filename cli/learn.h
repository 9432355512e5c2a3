/* SPDX-License-Identifier: Apache-2.0 */
/*
 * learn.h - the smallest policy that allows what was observed
 *
 *	struct mf_learn l = { .include_denied = false };
 *	mf_learn_line(&l, line, len) for each line of the event files
 *	mf_learn_rules(&l, &options, &rules, &err); mf_learn_write_lua(...)
 *
 * How it works
 *
 * What an event tells of becomes sightings: a name and a port, an address and a port, a name that was resolved, a path and an
 * operation; each with how often, when, and by which process. The same sighting twice is one with a higher count, the same event
 * (by its id) twice is one event, and everything is sorted before it is written: the order of files and lines does not matter.
 * Sightings become rules without being widened, unless the options say so. Events may come from anybody: texts are bounded,
 * checked by the setters of requests, and escaped where they are written.
 */
#ifndef MF_CLI_LEARN_H
#define MF_CLI_LEARN_H

#include <moonfence/moonfence.h>

#include "core/base/strbuf.h"

#define MF_LEARN_SIGHTINGS_MAX 500000
#define MF_LEARN_EVENTS_MAX    20000000 /* whose ids are remembered: 8 bytes each */
#define MF_LEARN_SESSIONS_MAX  1000
#define MF_LEARN_WHO_MAX       4
#define MF_LEARN_TIME_ROOM     21

enum mf_learn_what {
	MF_LEARN_NAME,	   /* a connection to a name */
	MF_LEARN_ADDRESS,  /* a connection to an address that no name led to */
	MF_LEARN_RESOLVED, /* a name that was asked for */
	MF_LEARN_FILE,
	MF_LEARN_WHAT_NUM
};

struct mf_learn_who {
	int64_t pid; /* 0: not known */
	uint32_t session;
};

struct mf_learn_evidence {
	uint64_t cnt;
	char first[MF_LEARN_TIME_ROOM], last[MF_LEARN_TIME_ROOM]; /* "" without */
	struct mf_learn_who who[MF_LEARN_WHO_MAX];		  /* the lowest ones, sorted */
	unsigned who_cnt;
	bool more; /* there are others */
};

struct mf_learn_sighting {
	enum mf_learn_what what;
	bool soft;     /* of a file: what was deleted went to the trash */
	uint16_t port; /* of a connection */
	uint8_t op;    /* of a file: an index of mf_rules_op_words */
	bool mounted;  /* of a file: told by a mount, whose kernel remembers what it has seen */
	bool implied;  /* nobody told of it, but what was told of needs it */
	char *subject; /* name, address or path */
	char *ip; /* of a connection to a name: the private address it led to, "?" not known, "" a public one; else "" */
	struct mf_learn_evidence e;
};

struct mf_learn_session {
	char *id, *command;
};

struct mf_learn {
	bool include_denied;
	/* as it goes */
	struct mf_learn_sighting *items;
	size_t cnt, room;
	uint32_t *slots; /* open addressing over items, 0: free, else index + 1 */
	size_t slot_room;
	uint64_t seed;
	uint64_t *ids; /* hashes of the ids that were seen; 0: free */
	size_t id_cnt, id_room;
	struct mf_learn_session sessions[MF_LEARN_SESSIONS_MAX];
	uint32_t session_cnt;
	uint64_t events, learned, twice, denied, redirected, unread, dropped;
};

struct mf_learn_options {
	const char *name;     /* of the policy */
	bool group_domains;   /* two names or more of one registrable domain become that domain */
	unsigned group_paths; /* that many files of one directory become all its files; 0: never */
};

/**
 * mf_learn_line() - Take one line of an event file
 * Return: 0, also for what is no event (counted); MF_E_NOMEM, MF_E_LIMIT: more sightings or events than fit
 */
int mf_learn_line(struct mf_learn *l, const char *line, size_t len);
/** mf_learn_finish() - Add what was seen by implication, and sort all; to be called once, before rules; Return: 0, MF_E_NOMEM, MF_E_LIMIT */
int mf_learn_finish(struct mf_learn *l);
/** mf_learn_add_evidence() - What speaks for one thing speaks for another as well */
void mf_learn_add_evidence(const struct mf_learn *l, struct mf_learn_evidence *e,
			   const struct mf_learn_evidence *more);
void mf_learn_done(struct mf_learn *l);

/* --- rules ---------------------------------------------------------------------------------------------------------- */

/* One text of a rule's list, with what speaks for it; e.cnt 0: nothing does, it is there for safety. */
struct mf_learn_entry {
	char *text; /* a name, "**.NAME", a network, a path, or with @glob a directory whose files are meant */
	bool glob;
	struct mf_learn_evidence e;
};

struct mf_learn_rule {
	bool file;		      /* else of the network */
	bool by_address;	      /* entries are networks */
	const char *decision, *about; /* @about: a comment, may be NULL */
	char *name;
	char *ip;	   /* the only address that goes with the names, may be NULL */
	bool private_only; /* holds for private networks alone */
	struct mf_learn_entry *entries;
	size_t entry_cnt, entry_room;
	uint16_t *ports;
	size_t port_cnt, port_room;
	uint32_t ops; /* bits of mf_rules_op_words; 0: all */
};

struct mf_learn_rules {
	struct mf_learn_rule *items;
	size_t cnt, room;
	struct mf_learn_rule resolved; /* its entries: names that were only resolved */
	bool failed;		       /* out of memory */
};

/* Globs of files that no widened rule covers; NULL at the end. */
extern const char *const mf_learn_sensitive[];

/** mf_learn_rules() - Return: 0; MF_E_NOMEM; MF_E_UNSUPPORTED: domains cannot be grouped without the list of public suffixes */
int mf_learn_rules(const struct mf_learn *l, const struct mf_learn_options *options,
		   struct mf_learn_rules *ret, struct mf_err *err);
void mf_learn_rules_done(struct mf_learn_rules *rules);

/* --- text ----------------------------------------------------------------------------------------------------------- */

void mf_learn_write_lua(const struct mf_learn *l, const struct mf_learn_options *options,
			const struct mf_learn_rules *rules, struct mf_strbuf *out);
void mf_learn_write_yaml(const struct mf_learn *l, const struct mf_learn_options *options,
			 const struct mf_learn_rules *rules, struct mf_strbuf *out);

#endif
