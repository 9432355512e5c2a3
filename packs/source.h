/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - a place that packs come from: files by name, each fetched with a bound
 *
 * Addresses:
 *
 *	/srv/packs		      a directory
 *	https://packs.example/agents  the files below that
 *	oci:/srv/layout		      an OCI image layout (a directory with oci-layout)
 *	oci://registry.example/team/packs   a repository of an OCI registry, over HTTPS
 *
 * Any of them has CHANNEL.mfchannel (channel.h) and the archives that it names with their signatures. In OCI these are the layers of
 * the manifest that the tag CHANNEL names, each with its file name as the annotation "org.opencontainers.image.title". Only a
 * directory and HTTPS may also be one archive, "....mfpack", without a channel.
 *
 * What comes from a source is unknown bytes: at most as many as were asked for, and nothing is believed of them here but what a
 * place's own protocol says (headers of HTTP; OCI's manifests, whose digests are compared).
 */
#ifndef MF_PACKS_SOURCE_H
#define MF_PACKS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define MF_PACK_SOURCE_SAME	 1 /* it is what it was when the validators were got */
#define MF_PACK_SOURCE_TIMEOUT_S 600

struct mf_pack_source_options {
	const char *ca;		 /* file of certificates that are believed, NULL: the system's */
	const char *credentials; /* file that says "USER:PASSWORD"; NULL: none */
	uint32_t timeout_s;	 /* that one file may take; 0: MF_PACK_SOURCE_TIMEOUT_S */
};

/* What lets a server say that nothing changed; "" where there is none. */
struct mf_pack_validators {
	char etag[256], modified[64];
};

struct mf_pack_fetch {
	const char *name; /* of the file */
	size_t max;	  /* most bytes */
	/* In: of the file as it is known; out: of what came. NULL: it is fetched whatever it is. */
	struct mf_pack_validators *validators;
	/*
	 * In: the beginning, as an earlier attempt left it (only an archive whose hash is known can be put together so). Out: what
	 * there is, also on failure. free()d by the caller.
	 */
	uint8_t *data;
	size_t len;
	bool passing; /* out, on failure: it may well be better later */
	uint64_t
		retry_after_s; /* out: the server asks to be left alone so long; 0: it says nothing */
};

struct mf_pack_source;

/** mf_pack_source_check() - Whether it is an address; Return: 0; MF_E_INVAL with what is wrong */
int mf_pack_source_check(const char *address, struct mf_err *err);

/**
 * mf_pack_source_open() - Nothing is asked yet
 * @channel: OCI's tag
 * Return: 0; MF_E_INVAL: no address; MF_E_UNSUPPORTED: not on this system; MF_E_PERM, MF_E_IO (credentials), MF_E_NOMEM
 */
int mf_pack_source_open(const char *address, const char *channel,
			const struct mf_pack_source_options *options,
			struct mf_pack_source **ret_source, struct mf_err *err);
void mf_pack_source_close(struct mf_pack_source *s); /* NULL is fine */

/**
 * mf_pack_source_fetch() - One file
 * Return: 0; MF_PACK_SOURCE_SAME; MF_E_NOENT: there is none; MF_E_LIMIT: it is longer than @max; MF_E_BAD: the source does not
 *         speak as it must; MF_E_PERM; MF_E_IO, MF_E_TIME: it could not be had; MF_E_NOMEM
 */
int mf_pack_source_fetch(struct mf_pack_source *s, struct mf_pack_fetch *f, struct mf_err *err);

#endif
