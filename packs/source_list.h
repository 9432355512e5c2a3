/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_list.h - where packs come from: sources.yaml of a store
 *
 *	sources:
 *	- name: corp
 *	  address: https://packs.example/agents
 *	  channel: stable
 *	  ca: /etc/ssl/corp-ca.pem
 *	  credentials: /etc/moonfence/registry.secret
 *
 * Read strictly, as trust.yaml is. `ca` and `credentials` are absolute paths, of certificates that are believed instead of the
 * system's, and of a file that says "USER:PASSWORD" and that only its owner may read.
 */
#ifndef MF_PACKS_SOURCE_LIST_H
#define MF_PACKS_SOURCE_LIST_H

#include "core/base/strbuf.h"
#include "packs/manifest.h"

#define MF_SOURCE_LIST_MAX	32
#define MF_SOURCE_LIST_TEXT_MAX ((size_t)64 << 10) /* bytes of the file */
#define MF_SOURCE_ADDRESS_MAX	1024

struct mf_source_entry {
	char name[MF_PACK_NAME_MAX + 1], channel[MF_PACK_NAME_MAX + 1];
	char address[MF_SOURCE_ADDRESS_MAX + 1];
	char ca[512], credentials[512]; /* "" for none */
};

struct mf_source_list {
	struct mf_source_entry items[MF_SOURCE_LIST_MAX];
	size_t cnt;
};

/** mf_source_list_read() - Of the store @path; one without the file has no sources. Return: 0; MF_E_SYNTAX with the place; MF_E_IO ... */
int mf_source_list_read(const char *path, struct mf_source_list *ret, struct mf_err *err);
int mf_source_list_parse(const char *text, size_t len, const char *file, struct mf_source_list *ret,
			 struct mf_err *err);

/** mf_source_list_write() - As it is read; Return: 0, MF_E_NOMEM */
int mf_source_list_write(const struct mf_source_list *list, struct mf_strbuf *out,
			 struct mf_err *err);

/** mf_source_list_add() - Return: 0; MF_E_EXIST: that name is there; MF_E_INVAL: no name, channel or address; MF_E_FULL */
int mf_source_list_add(struct mf_source_list *list, const struct mf_source_entry *entry,
		       struct mf_err *err);

/** mf_source_list_find() - NULL: none of that name */
struct mf_source_entry *mf_source_list_find(struct mf_source_list *list, const char *name);

#endif
