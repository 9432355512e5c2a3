/* SPDX-License-Identifier: Apache-2.0 */
/* source_int.h - what each kind of source gives to source.c */
#ifndef MF_PACKS_SOURCE_INT_H
#define MF_PACKS_SOURCE_INT_H

#include "packs/source.h"

struct mf_pack_source_ops {
	int (*fetch)(struct mf_pack_source *s, struct mf_pack_fetch *f, struct mf_err *err);
	void (*done)(struct mf_pack_source *s); /* NULL: nothing to do */
};

struct mf_pack_source {
	const struct mf_pack_source_ops *ops;
	char *address; /* as given, without a "/" at the end */
	char *channel;
	char *ca;	   /* or NULL */
	char *credentials; /* "USER:PASSWORD", or NULL */
	uint32_t timeout_s;
	void *own; /* of this kind */
};

struct mf_http_answer;

/**
 * mf_pack_source_judge() - What an answer of a web server means for @f
 * Return: 0: its data are the file; MF_PACK_SOURCE_SAME; MF_E_NOENT, MF_E_PERM, MF_E_IO, MF_E_BAD with a sentence
 */
int mf_pack_source_judge(const char *url, struct mf_http_answer *a, struct mf_pack_fetch *f,
			 struct mf_err *err);

extern const struct mf_pack_source_ops mf_pack_source_dir_ops;
extern const struct mf_pack_source_ops mf_pack_source_http_ops;
extern const struct mf_pack_source_ops mf_pack_source_oci_ops;

#endif
