/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - counters, gauges and histograms, written as Prometheus text
 *
 *	struct mf_counter *c = mf_metrics_counter(m, "moonfence_dns_queries_total", "DNS queries by verdict",
 *						  (struct mf_label[]){ { "verdict", "deny" } }, 1);
 *	mf_counter_add(c, 1);                        // one relaxed atomic add, from any thread
 *	mf_metrics_write(m, &buf);                   // text format 0.0.4
 *
 * A series is found or made by name and labels under a lock: keep the pointer, it lives as long as the registry. A
 * family takes at most series_max series; more labels than that share one whose label values are "other", so that what
 * an attacker names cannot fill the memory. Nothing here fails: without memory, or for a misused name, a series that
 * nobody sees is returned, and mf_metrics_errors() counts it.
 */
#ifndef MF_OBSERVE_METRICS_H
#define MF_OBSERVE_METRICS_H

#include <stdatomic.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

struct mf_metrics;

struct mf_counter {
	_Atomic uint64_t value;
};

struct mf_gauge {
	_Atomic int64_t value;
};

#define MF_HISTOGRAM_BUCKETS_MAX 24

/* Whole numbers in the unit that is observed (ns, bytes); @scale turns them into the unit of the name (seconds). */
struct mf_histogram {
	uint64_t bounds[MF_HISTOGRAM_BUCKETS_MAX]; /* upper bounds, ascending */
	uint32_t bound_cnt;
	double scale;
	_Atomic uint64_t
		buckets[MF_HISTOGRAM_BUCKETS_MAX + 1]; /* not cumulative; the last is +Inf */
	_Atomic uint64_t sum;
};

#define MF_LABELS_MAX 4

struct mf_label {
	const char *name, *value;
};

/** mf_metrics_new() - @series_max: per family, 0 for 256; NULL without memory */
struct mf_metrics *mf_metrics_new(uint32_t series_max);
void mf_metrics_free(struct mf_metrics *m);

/*
 * Find or make a series. @name and label names are [a-zA-Z_][a-zA-Z0-9_]*, counters end in _total by custom; @help is of
 * the first call; all series of a family have the same kind. Never NULL (unless @m is: then a dummy as well).
 */
struct mf_counter *mf_metrics_counter(struct mf_metrics *m, const char *name, const char *help,
				      const struct mf_label *labels, size_t label_cnt);
struct mf_gauge *mf_metrics_gauge(struct mf_metrics *m, const char *name, const char *help,
				  const struct mf_label *labels, size_t label_cnt);
/** @bounds: ascending upper bounds, at most MF_HISTOGRAM_BUCKETS_MAX; @scale: e.g. 1e-9 for ns shown as seconds */
struct mf_histogram *mf_metrics_histogram(struct mf_metrics *m, const char *name, const char *help,
					  const struct mf_label *labels, size_t label_cnt,
					  const uint64_t *bounds, size_t bound_cnt, double scale);

/** mf_metrics_on_collect() - Call @fn before every mf_metrics_write(), to set gauges; at most 16 */
int mf_metrics_on_collect(struct mf_metrics *m, void (*fn)(void *ctx), void *ctx);

/** mf_metrics_write() - Append all families in the order of their making; check @buf->failed */
void mf_metrics_write(struct mf_metrics *m, struct mf_strbuf *buf);

/**
 * mf_metrics_write_json() - The same as one JSON object: {"families": [{"name", "type", "help", "series": [{"labels", "value"}]}]}
 * A histogram's series has "count", "sum" and "buckets", each with "le" (null: no bound) and the "count" up to it.
 */
void mf_metrics_write_json(struct mf_metrics *m, struct mf_strbuf *buf);

uint64_t mf_metrics_errors(const struct mf_metrics *m);

static inline void mf_counter_add(struct mf_counter *c, uint64_t n)
{
	atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}

static inline uint64_t mf_counter_get(struct mf_counter *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}

static inline void mf_gauge_add(struct mf_gauge *g, int64_t n)
{
	atomic_fetch_add_explicit(&g->value, n, memory_order_relaxed);
}

static inline void mf_gauge_set(struct mf_gauge *g, int64_t value)
{
	atomic_store_explicit(&g->value, value, memory_order_relaxed);
}

/** mf_histogram_observe() - Count @value; a short search over the bounds and two relaxed adds */
void mf_histogram_observe(struct mf_histogram *h, uint64_t value);

#endif
