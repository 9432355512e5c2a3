/* SPDX-License-Identifier: Apache-2.0 */
/*
 * domain_set.h - a set of domain names, matched at label boundaries; made for a million names
 *
 *	struct mf_domain_set_builder *b;
 *	mf_domain_set_builder_new(NULL, &b, &err);
 *	mf_domain_set_builder_add(b, "example.com", 11, MF_DOMAIN_UNDER, 0, &err);
 *	mf_domain_set_builder_seal(b, &set, &err);              // takes b
 *	mf_domain_set_under(set, "www.example.com", 15)         // true; "badexample.com" is not
 *
 * How it works
 *
 * All names lie one after another in one pool. A hash table of cache lines, each with ten slots of a tag and a pool
 * offset (load 17/20), finds them. One walk over a question from its right end, eight bytes at a time, gives the hashes
 * of all its suffixes. A tag that fits is followed by a comparison of the whole name: there are no false positives.
 * Depths (numbers of labels) at which the set has nothing are skipped. About 10 bytes a name beside its text, 4 more
 * where names carry different values.
 *
 * A sealed set never changes: any number of threads may read it. Questions must be canonical (core/names/canonical.h):
 * lower case, A-labels, no trailing dot; what is not canonical is not found.
 */
#ifndef MF_MATCH_DOMAIN_SET_H
#define MF_MATCH_DOMAIN_SET_H

#include "core/base/err.h"

#define MF_NAME_MAX \
	253 /* bytes of a name without its trailing dot (RFC 1035, 255 octets on the wire) */
#define MF_NAME_ROOM 254 /* and its NUL */

/* No entry matches. */
#define MF_MATCH_NONE UINT32_MAX

/* What an entry means for name N. */
enum mf_domain_scope {
	MF_DOMAIN_UNDER, /* N and everything below */
	MF_DOMAIN_EXACT, /* N only */
	MF_DOMAIN_BELOW, /* everything below N, not N: the glob "**.N" */
	MF_DOMAIN_CHILD, /* one label below N: the glob "*.N" */
	MF_DOMAIN_SCOPE_NUM
};

/* Makes a name canonical as mf_name_canon() does; Return: length or MF_E_SYNTAX. */
typedef int (*mf_name_canon_fn)(const char *in, size_t len, char out[MF_NAME_ROOM]);

/* Every member may be 0. */
struct mf_domain_set_options {
	uint32_t names_max; /* most entries: 16,777,216 */
	size_t bytes_max;   /* most bytes of text and of one file: 1 GiB */
	/*
	 * How added names become canonical: mf_name_canon of the floor above, or NULL for plain ASCII: lower case,
	 * trailing dot off, bytes above 127 refused.
	 */
	mf_name_canon_fn canon;
	/*
	 * false: of several entries for one name and scope the lowest value stays, which is what a first match needs.
	 * true: all different values stay, for mf_domain_set_find_all().
	 */
	bool keep_all;
	/* The table follows from the names and their order alone: the same list gives the same image. */
	bool for_image;
};

struct mf_domain_set;
struct mf_domain_set_builder;

/** mf_domain_set_builder_new() - @options are copied, NULL for all defaults; Return: 0, MF_E_NOMEM */
int mf_domain_set_builder_new(const struct mf_domain_set_options *options,
			      struct mf_domain_set_builder **ret_b, struct mf_err *err);
void mf_domain_set_builder_free(struct mf_domain_set_builder *b);

/**
 * mf_domain_set_builder_add() - Add one name
 * @value: attached number, e.g. a rule's position; not MF_MATCH_NONE
 * Return: 0, MF_E_SYNTAX (not a name), MF_E_LIMIT (names_max, bytes_max), MF_E_NOMEM; nothing is added then
 */
int mf_domain_set_builder_add(struct mf_domain_set_builder *b, const char *name, size_t len,
			      enum mf_domain_scope scope, uint32_t value, struct mf_err *err);

/**
 * mf_domain_set_builder_add_text() - Add a list: one name a line
 * @file: what to call it in messages; NULL for none
 *
 * "name" is the name and all below, "*.name" all below it, "=name" the name alone. Text from # on is a comment, blanks
 * around are free, CRLF and a byte order mark are fine. A line of a hosts file ("0.0.0.0 name name2") adds its names, but
 * not those without a dot (localhost and its kind) nor addresses.
 * Return: 0, or MF_E_SYNTAX, MF_E_LIMIT, MF_E_NOMEM with the line in @err; lines before it have been added
 */
int mf_domain_set_builder_add_text(struct mf_domain_set_builder *b, const char *text, size_t len,
				   const char *file, uint32_t value, struct mf_err *err);

/** mf_domain_set_builder_add_file() - The same from a file; also MF_E_IO. Reads in pieces of 64 KiB. */
int mf_domain_set_builder_add_file(struct mf_domain_set_builder *b, const char *path,
				   uint32_t value, struct mf_err *err);

/** mf_domain_set_builder_seal() - Make the set; the builder is freed, also on failure; Return: 0, MF_E_NOMEM */
int mf_domain_set_builder_seal(struct mf_domain_set_builder *b, struct mf_domain_set **ret_set,
			       struct mf_err *err);

void mf_domain_set_free(struct mf_domain_set *set);

/*
 * Images: a set as bytes that are used where they lie, for lists that many processes load. Little-endian, 64 bytes of head
 * (magic, version, sizes, a checksum of all the rest), the table, the pool.
 */

/**
 * mf_domain_set_make_image() - The image of a set whose values are all 0, built with for_image
 * @ret_data: free()d by the caller
 * Return: 0, MF_E_INVAL, MF_E_NOMEM
 */
int mf_domain_set_make_image(const struct mf_domain_set *set, void **ret_data, size_t *ret_len,
			     struct mf_err *err);

/** mf_domain_set_is_image() - Whether these bytes begin as an image; no list of names does */
bool mf_domain_set_is_image(const void *data, size_t len);

/**
 * mf_domain_set_open_image() - A set that uses an image where it lies
 * @data: at least 4-byte aligned; not changed while the set is there
 * Whatever the bytes are, no question reads outside of them or goes on for ever. Cost: one look at each of them.
 * Return: 0; MF_E_BAD: damaged, or of another version; MF_E_NOMEM
 */
int mf_domain_set_open_image(const void *data, size_t len, struct mf_domain_set **ret_set,
			     struct mf_err *err);

/** mf_domain_set_under() - Whether any entry matches @name; no allocation, no lock */
bool mf_domain_set_under(const struct mf_domain_set *set, const char *name, size_t len);

/** mf_domain_set_find() - The lowest value of all entries that match @name, or MF_MATCH_NONE */
uint32_t mf_domain_set_find(const struct mf_domain_set *set, const char *name, size_t len);

/**
 * mf_domain_set_find_all() - The values of all entries that match, shortest name first
 * Return: how many there are; the first @cap of them are in @values
 */
size_t mf_domain_set_find_all(const struct mf_domain_set *set, const char *name, size_t len,
			      uint32_t *values, size_t cap);

uint32_t mf_domain_set_count(const struct mf_domain_set *set);
size_t mf_domain_set_bytes(const struct mf_domain_set *set); /* memory that the set holds */

/**
 * mf_domain_is_under() - @name is @domain or below it; both canonical
 * The one-entry case of mf_domain_set_under().
 */
static inline bool mf_domain_is_under(const char *name, size_t len, const char *domain,
				      size_t domain_len)
{
	if (domain_len == 0 || len < domain_len ||
	    __builtin_memcmp(name + len - domain_len, domain, domain_len) != 0)
		return false;
	return len == domain_len || name[len - domain_len - 1] == '.';
}

#endif
