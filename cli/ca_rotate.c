/* SPDX-License-Identifier: Apache-2.0 */
/* ca_rotate.c - see ca_rotate.h */
#include "cli/ca_rotate.h"

#include <openssl/x509.h>
#include <stdio.h>

struct rotation {
	const struct mf_private_dir *dir;
	const struct mf_ca_report *report;
	struct mf_ca_cert old, new;
	const struct mf_ca_store *concerned[MF_CA_STORES_MAX]; /* those that trust the old one */
	size_t concerned_cnt, added_cnt, removed_cnt;
	bool in_force; /* the new one is */
};

static int load(const struct mf_private_dir *dir, enum mf_tls_slot slot, struct mf_ca_cert *ret,
		struct mf_err *err)
{
	struct mf_tls_stored stored;
	int r = mf_tls_stored_load(dir, slot, &stored, err);

	if (r < 0)
		return r;
	r = mf_ca_cert_of(stored.cert, ret);
	mf_tls_stored_done(&stored);
	return r < 0 ? mf_err_set(err, r, "The certificate has no name.") : 0;
}

static int remove_files(const struct mf_private_dir *dir, struct mf_err *err)
{
	int r = mf_private_dir_remove(dir, mf_tls_slot_files[MF_TLS_NEXT], err);

	return r < 0 ? r : mf_private_dir_remove(dir, mf_tls_slot_files[MF_TLS_FORMER], err);
}

static void tell(const struct rotation *r, const struct mf_ca_store *store, const char *step)
{
	r->report->step(r->report->ctx, store, step);
}

static int find_concerned(struct rotation *r, const struct mf_ca_stores *stores, struct mf_err *err)
{
	for (size_t i = 0; i < stores->cnt; i++) {
		struct mf_err why;
		int has = mf_ca_store_has(&stores->items[i], &r->old, &why);

		/* a store that cannot be asked may trust the old one, and would go on */
		if (has < 0)
			return mf_err_set(err, has, "%s: %s", stores->items[i].path, why.msg);
		if (has > 0)
			r->concerned[r->concerned_cnt++] = &stores->items[i];
	}
	return 0;
}

static int add_new(struct rotation *r, struct mf_err *err)
{
	for (; r->added_cnt < r->concerned_cnt; r->added_cnt++) {
		const struct mf_ca_store *store = r->concerned[r->added_cnt];
		struct mf_err why;
		int code = mf_ca_store_add(store, &r->new, &why);

		if (code < 0)
			return mf_err_set(err, code, "%s: %s", store->path, why.msg);
		tell(r, store, "trusts the new one");
	}
	return 0;
}

static int put_in_force(struct rotation *r, struct mf_err *err)
{
	int code = mf_tls_stored_copy(r->dir, MF_TLS_IN_FORCE, MF_TLS_FORMER, err);

	if (code == 0)
		code = mf_tls_stored_copy(r->dir, MF_TLS_NEXT, MF_TLS_IN_FORCE, err);
	r->in_force = code == 0;
	return code;
}

static int remove_old(struct rotation *r, struct mf_err *err)
{
	for (; r->removed_cnt < r->concerned_cnt; r->removed_cnt++) {
		const struct mf_ca_store *store = r->concerned[r->removed_cnt];
		struct mf_err why;
		int code = mf_ca_store_remove(store, &r->old, &why);

		if (code < 0)
			return mf_err_set(err, code, "%s: %s", store->path, why.msg);
		tell(r, store, "no longer trusts the old one");
	}
	return 0;
}

/* Back to where it began, as far as that goes. */
static void undo(struct rotation *r)
{
	struct mf_err why;
	bool clean = true;

	for (size_t i = 0; i < r->removed_cnt; i++) {
		if (mf_ca_store_add(r->concerned[i], &r->old, &why) == 0)
			tell(r, r->concerned[i], "trusts the old one again");
		else
			tell(r, r->concerned[i], why.msg);
	}
	if (r->in_force && mf_tls_stored_copy(r->dir, MF_TLS_FORMER, MF_TLS_IN_FORCE, &why) < 0)
		return; // the new one is in force: it stays trusted, and the former one on disk
	/* the store where adding failed may have half of it */
	for (size_t i = 0; i < r->concerned_cnt && i <= r->added_cnt; i++) {
		if (mf_ca_store_remove(r->concerned[i], &r->new, &why) == 0) {
			if (i < r->added_cnt)
				tell(r, r->concerned[i], "does not trust the new one");
		} else {
			clean = false;
			tell(r, r->concerned[i], why.msg);
		}
	}
	if (clean)
		(void)remove_files(r->dir, &why);
}

int mf_ca_rotate(const struct mf_private_dir *dir, const struct mf_ca_stores *stores,
		 const struct mf_tls_plan *plan, const struct mf_ca_report *report,
		 struct mf_err *err)
{
	struct rotation r = { .dir = dir, .report = report };
	int code = load(dir, MF_TLS_IN_FORCE, &r.old, err);

	if (code == 0)
		code = find_concerned(&r, stores, err);
	if (code == 0)
		code = mf_tls_stored_make(dir, MF_TLS_NEXT, plan, &mf_clock_system, err);
	if (code == 0) {
		code = load(dir, MF_TLS_NEXT, &r.new, err);
		code = code < 0 ? code : add_new(&r, err);
		code = code < 0 ? code : put_in_force(&r, err);
		code = code < 0 ? code : remove_old(&r, err);
		if (code < 0 && r.new.x509)
			undo(&r);
		else if (code == 0)
			code = remove_files(dir, err);
	}
	mf_ca_cert_done(&r.old);
	mf_ca_cert_done(&r.new);
	return code;
}

/* One file of a killed rotation; what is in force as well was only copied. */
static int recover_slot(const struct mf_private_dir *dir, enum mf_tls_slot slot,
			const struct mf_ca_stores *stores, const struct mf_ca_cert *in_force,
			struct mf_err *err)
{
	struct mf_ca_cert left;
	struct mf_err why;
	int r = load(dir, slot, &left, err);

	if (r == MF_E_NOENT || r == MF_E_BAD)
		return 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < stores->cnt && r == 0; i++) {
		if (in_force->x509 && X509_cmp(in_force->x509, left.x509) == 0)
			break;
		r = mf_ca_store_remove(&stores->items[i], &left, &why);
		if (r < 0)
			mf_err_set(err, r, "%s: %s", stores->items[i].path, why.msg);
	}
	mf_ca_cert_done(&left);
	return r;
}

int mf_ca_recover(const struct mf_private_dir *dir, const struct mf_ca_stores *stores,
		  struct mf_err *err)
{
	struct mf_ca_cert in_force = { 0 };
	int r = load(dir, MF_TLS_IN_FORCE, &in_force, err);

	if (r == 0 || r == MF_E_NOENT)
		r = recover_slot(dir, MF_TLS_NEXT, stores, &in_force, err);
	if (r == 0)
		r = recover_slot(dir, MF_TLS_FORMER, stores, &in_force, err);
	if (r == 0)
		r = remove_files(dir, err);
	mf_ca_cert_done(&in_force);
	return r;
}
