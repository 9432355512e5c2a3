/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward_routes.h - which server a name belongs to on this machine: the route table of domain forwarding
 *
 *	mf_forward_routes_set(t, MF_FORWARD_MANUAL, "app.localhost", &target, &err);
 *	route = mf_forward_routes_find(t, sni.ptr, sni.len);		NULL: nobody's of ours, to where it wanted
 *
 * Order (specs: D3): what a person mapped, then our own names, then detected servers; between the first two the policies are
 * asked, which is the caller's part. Within one source an exact name goes before a wildcard, and a longer wildcard before a
 * shorter one. Names are compared in canonical form (core/names/canonical.h); "*.NAME" stands for every name below NAME.
 *
 * Detection proposes names of its own accord, so it gets few: one label below .localhost, never "moonfence.localhost" or
 * anything below that, and never a name that a person has mapped (D11).
 *
 * Threads: the owner's. Bounded: MF_FORWARD_ROUTES_MAX entries a source. Cost: finding is a few binary searches, changing
 * moves the rest of an array.
 */
#ifndef MF_PROXIES_FORWARD_ROUTES_H
#define MF_PROXIES_FORWARD_ROUTES_H

#include "core/base/err.h"
#include "core/names/canonical.h"

#define MF_FORWARD_ROUTES_MAX 512

#define MF_FORWARD_PAGE_NAME  "moonfence.localhost"

enum mf_forward_source {
	MF_FORWARD_MANUAL,
	MF_FORWARD_OWN,
	MF_FORWARD_DETECTED,
	MF_FORWARD_SOURCE_NUM
};

/* What is done with a client that speaks TLS. Cleartext HTTP goes on as it is, unless the server wants TLS. */
enum mf_forward_mode {
	MF_FORWARD_AUTO, /* as the server was seen to speak, and cleartext where nothing is known */
	MF_FORWARD_PLAIN, /* ended here with a certificate of ours; the server gets cleartext */
	MF_FORWARD_TLS,	  /* the same, and TLS again towards the server */
	MF_FORWARD_H2,	  /* as plain, in HTTP/2 from the first byte on: gRPC */
	MF_FORWARD_PASS,  /* not touched: the server has a certificate of its own */
	MF_FORWARD_MODE_NUM
};

struct mf_forward_target {
	char host[MF_NAME_ROOM]; /* canonical name or address text; "": our own page */
	uint16_t port;
	enum mf_forward_mode mode;
};

struct mf_forward_route {
	char name[MF_NAME_ROOM]; /* of a wildcard without its "*." */
	bool wildcard;
	enum mf_forward_source source;
	struct mf_forward_target target;
	/* the owner's: what came of it */
	uint64_t connections, failures, bytes;
	char error[64]; /* of the last failure */
	uint32_t refs;	/* mf_forward_route_unref() */
};

struct mf_forward_routes;

const char *mf_forward_source_name(enum mf_forward_source source);
const char *mf_forward_mode_name(enum mf_forward_mode mode);
/** mf_forward_mode_find() - Return: a mode or MF_E_NOENT */
int mf_forward_mode_find(const char *name);

/**
 * mf_forward_target_parse() - "3000" (of localhost: both families are tried), "name:3000", "192.0.2.1:80", "[::1]:80"
 * mode is set to MF_FORWARD_AUTO. Return: 0, MF_E_SYNTAX
 */
int mf_forward_target_parse(const char *text, struct mf_forward_target *ret, struct mf_err *err);
/** mf_forward_target_format() - "localhost:3000"; Return: @buf */
const char *mf_forward_target_format(const struct mf_forward_target *t, char *buf, size_t size);
#define MF_FORWARD_TARGET_TEXT_MAX (MF_NAME_ROOM + 8)

/** mf_forward_routes_new() - Return: 0, MF_E_NOMEM */
int mf_forward_routes_new(struct mf_forward_routes **ret, struct mf_err *err);
void mf_forward_routes_free(struct mf_forward_routes *t); /* NULL is fine */

/**
 * mf_forward_routes_set() - Add a route, or give one that is there another target
 * Return: 0; MF_E_SYNTAX (not a name), MF_E_PERM (not for this source to map), MF_E_LIMIT, MF_E_NOMEM
 */
int mf_forward_routes_set(struct mf_forward_routes *t, enum mf_forward_source source,
			  const char *name, const struct mf_forward_target *target,
			  struct mf_err *err);
/** mf_forward_routes_unset() - Return: 0, MF_E_NOENT, MF_E_SYNTAX */
int mf_forward_routes_unset(struct mf_forward_routes *t, enum mf_forward_source source,
			    const char *name, struct mf_err *err);

/** mf_forward_routes_find() - Whose @name is, as a client said it; NULL: nobody's, or no name at all */
struct mf_forward_route *mf_forward_routes_find(struct mf_forward_routes *t, const char *name,
						size_t len);

/** mf_forward_routes_count(), mf_forward_routes_at() - All of one source, in the order of their names */
size_t mf_forward_routes_count(const struct mf_forward_routes *t, enum mf_forward_source source);
const struct mf_forward_route *mf_forward_routes_at(const struct mf_forward_routes *t,
						    enum mf_forward_source source, size_t i);

/** mf_forward_route_ref(), mf_forward_route_unref() - A route outlives its place in the table while somebody holds it */
struct mf_forward_route *mf_forward_route_ref(struct mf_forward_route *route);
void mf_forward_route_unref(struct mf_forward_route *route); /* NULL is fine */

#endif
