/* SPDX-License-Identifier: Apache-2.0 */
/* pack_store.h - what a store of installed packs (pack_state.h) gives to whoever loads policies */
#ifndef MF_POLICY_PACK_STORE_H
#define MF_POLICY_PACK_STORE_H

#include "core/policy/pack_files.h"
#include "core/policy/pack_state.h"

struct mf_pack_list {
	struct {
		char *dir;
		struct mf_pack pack;
		struct mf_pack_files *files; /* who takes it puts NULL in its place */
	} * items;
	size_t cnt;
};

/**
 * mf_pack_store_list() - The packs in force in the store @dir, by order and name
 * @name: only this one, and what it requires; NULL: all
 * @session: whose: a canary's packs where it is among those that load them (mf_pack_state_for()); NULL: nobody's
 * Return: 0; MF_E_NOENT: no store, no pack (of that name); MF_E_BAD; those of mf_pack_read()
 */
int mf_pack_store_list(const char *dir, const char *name, const char *session,
		       struct mf_pack_list *ret, struct mf_err *err);
void mf_pack_list_done(struct mf_pack_list *list);

#endif
