/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline_new.c - making and ending a pipeline: its options and their limits; see pipeline.h */
#include <inttypes.h>
#include <stdlib.h>

#include "capture/pipeline_internal.h"

static int bad_option(struct mf_err *err, const char *name, uint64_t value, const char *why)
{
	return mf_err_set(err, MF_E_INVAL, "pipeline option %s: %" PRIu64 " %s", name, value, why);
}

#define STANDARD(field, value) (o->field = o->field ? o->field : (value))

static int read_options(struct mf_pipeline *p, const struct mf_pipeline_options *in,
			struct mf_err *err)
{
	struct mf_pipeline_options *o = &p->o;

	if (in->size != sizeof(*in))
		return mf_err_set(err, MF_E_INVAL, "pipeline options of another size");
	*o = *in;
	STANDARD(loopback_port_first, 20000);
	STANDARD(loopback_port_last, 29999);
	STANDARD(fail_threshold, 10);
	STANDARD(fail_recovery, 32);
	STANDARD(hold_ns, 20 * MF_NS_PER_MS);
	STANDARD(hold_packets_max, 4);
	STANDARD(hold_flows_max, 4096);
	STANDARD(hold_bytes_max, 65536);
	STANDARD(owners_max, 65536);
	STANDARD(fragments_max, 256);
	STANDARD(fragment_bytes_max, 1u << 20);
	STANDARD(fragment_ns, 15 * MF_NS_PER_S);
	if ((unsigned)o->scope >= MF_SCOPE_NUM)
		return bad_option(err, "scope", o->scope, "is no scope");
	if ((unsigned)o->method4 >= MF_METHOD_NUM || (unsigned)o->method6 >= MF_METHOD_NUM)
		return bad_option(err, "method4, method6", o->method4 | o->method6,
				  "is no redirect method");
	if ((unsigned)o->unknown_pid >= MF_UNKNOWN_NUM)
		return bad_option(err, "unknown_pid", o->unknown_pid, "is no answer");
	if (o->loopback_port_first > o->loopback_port_last)
		return bad_option(err, "loopback_port_first", o->loopback_port_first,
				  "is greater than loopback_port_last");
	if (o->hold_ns > 10 * MF_NS_PER_S)
		return bad_option(err, "hold_ns", o->hold_ns, "is over 10 s");
	if (o->hold_packets_max > 255)
		return bad_option(err, "hold_packets_max", o->hold_packets_max, "is over 255");
	if (o->owners_max > 1u << 20)
		return bad_option(err, "owners_max", o->owners_max, "is over 1048576");
	if (o->fragments_max > 65536)
		return bad_option(err, "fragments_max", o->fragments_max, "is over 65536");
	return 0;
}

static int check_backend(const struct mf_backend *b, const struct mf_pipeline_ops *ops,
			 struct mf_err *err)
{
	if (!b->name || !b->receive || !b->send ||
	    ((b->caps & MF_BACKEND_HAS_EVENTS) && !b->next_event))
		return mf_err_set(err, MF_E_INVAL, "the backend lacks a function");
	if (!ops->decide)
		return mf_err_set(err, MF_E_INVAL, "the pipeline needs a function that decides");
	return 0;
}

static int make_tables(struct mf_pipeline *p, struct mf_err *err)
{
	int r = 0;

	p->nat = p->o.nat;
	if (!p->nat) {
		r = mf_nat_new(NULL, &p->own_nat, err);
		p->nat = p->own_nat;
	}
	if (!r)
		p->seed = mf_nat_seed(p->nat);
	if (!r && (!(p->pids = mf_pids_new()) || mf_holds_new(&p->o, &p->holds) ||
		   mf_fragments_new(&p->o, &p->fragments)))
		r = mf_err_set(err, MF_E_NOMEM, "out of memory for a pipeline");
	return r;
}

int mf_pipeline_new(const struct mf_pipeline_options *options, const struct mf_backend *backend,
		    const struct mf_pipeline_ops *ops, struct mf_pipeline **ret, struct mf_err *err)
{
	struct mf_pipeline *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return mf_err_set(err, MF_E_NOMEM, "out of memory for a pipeline");
	p->backend = *backend;
	p->ops = *ops;
	p->fail.factor = 1;
	p->next_port = (uint32_t)mf_hash_seed();
	r = read_options(p, options, err);
	if (!r)
		r = check_backend(backend, ops, err);
	if (!r)
		r = make_tables(p, err);
	if (r) {
		mf_pipeline_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void mf_pipeline_free(struct mf_pipeline *p)
{
	if (!p)
		return;
	mf_held_free(p->done);
	mf_fragments_free(p->fragments);
	mf_holds_free(p->holds);
	mf_pids_free(p->pids);
	mf_nat_free(p->own_nat);
	free(p);
}
