/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - see metrics.h */
#include "core/observe/metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/observe/events.h"

#define SERIES_DEFAULT 256u
#define FAMILIES_MAX   512u
#define LABEL_MAX      128u /* bytes of a label's value; longer ones are cut */
#define COLLECT_MAX    16u

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

static const char *const kind_names[] = { "counter", "gauge", "histogram" };

struct series {
	struct series *next;
	char *labels; // {a="b",c="d"} without the braces, escaped; "" for none
	union {
		struct mf_counter counter;
		struct mf_gauge gauge;
		struct mf_histogram histogram;
	} u;
};

struct family {
	struct family *next;
	char *name, *help;
	enum kind kind;
	uint32_t series_cnt;
	struct series *first, *last;
};

struct mf_metrics {
	pthread_mutex_t lock;
	uint32_t series_max, family_cnt;
	struct family *first, *last;
	_Atomic uint64_t errors;
	struct {
		void (*fn)(void *ctx);
		void *ctx;
	} collect[COLLECT_MAX];
	uint32_t collect_cnt;
	struct series nowhere[3]; // what callers get that made a mistake, one for each kind
};

// For callers without a registry: written to by all of them, read by nobody.
static struct series no_registry[3];

struct mf_metrics *mf_metrics_new(uint32_t series_max)
{
	struct mf_metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	if (pthread_mutex_init(&m->lock, NULL)) {
		free(m);
		return NULL;
	}
	m->series_max = series_max ? series_max : SERIES_DEFAULT;
	return m;
}

static void free_family(struct family *f)
{
	for (struct series *s = f->first, *next; s; s = next) {
		next = s->next;
		free(s->labels);
		free(s);
	}
	free(f->name);
	free(f->help);
	free(f);
}

void mf_metrics_free(struct mf_metrics *m)
{
	if (!m)
		return;
	for (struct family *f = m->first, *next; f; f = next) {
		next = f->next;
		free_family(f);
	}
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static bool is_name(const char *s)
{
	if (!*s || (*s >= '0' && *s <= '9') || strlen(s) > 200)
		return false;
	for (; *s; s++)
		if (!((*s | 32) >= 'a' && (*s | 32) <= 'z') && !(*s >= '0' && *s <= '9') &&
		    *s != '_')
			return false;
	return true;
}

// The value of a label as the format wants it: \, " and newline escaped, and no byte that is not text.
static void add_value(struct mf_strbuf *b, const char *value)
{
	for (size_t i = 0; value[i] && i < LABEL_MAX; i++) {
		switch (value[i]) {
		case '\\':
			mf_strbuf_adds(b, "\\\\");
			break;
		case '"':
			mf_strbuf_adds(b, "\\\"");
			break;
		case '\n':
			mf_strbuf_adds(b, "\\n");
			break;
		default:
			mf_strbuf_addc(b, (uint8_t)value[i] < 32 || (uint8_t)value[i] > 126
						  ? '?'
						  : value[i]);
		}
	}
}

static bool add_labels(struct mf_strbuf *b, const struct mf_label *labels, size_t cnt, bool other)
{
	if (cnt > MF_LABELS_MAX)
		return false;
	for (size_t i = 0; i < cnt; i++) {
		if (!labels[i].name || !is_name(labels[i].name))
			return false;
		mf_strbuf_addf(b, "%s%s=\"", i ? "," : "", labels[i].name);
		add_value(b, other ? "other" : labels[i].value ? labels[i].value : "");
		mf_strbuf_addc(b, '"');
	}
	mf_strbuf_add(b, "", 0);
	return !b->failed;
}

static struct series *find_series(const struct family *f, const char *labels)
{
	for (struct series *s = f->first; s; s = s->next)
		if (strcmp(s->labels, labels) == 0)
			return s;
	return NULL;
}

static struct series *make_series(struct family *f, const char *labels)
{
	struct series *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->labels = strdup(labels);
	if (!s->labels) {
		free(s);
		return NULL;
	}
	if (f->last)
		f->last->next = s;
	else
		f->first = s;
	f->last = s;
	f->series_cnt++;
	return s;
}

static struct family *get_family(struct mf_metrics *m, const char *name, const char *help,
				 enum kind kind)
{
	struct family *f;

	for (f = m->first; f; f = f->next)
		if (strcmp(f->name, name) == 0)
			return f->kind == kind ? f : NULL;
	if (!is_name(name) || m->family_cnt >= FAMILIES_MAX)
		return NULL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->name = strdup(name);
	f->help = strdup(help ? help : "");
	f->kind = kind;
	if (!f->name || !f->help) {
		free_family(f);
		return NULL;
	}
	if (m->last)
		m->last->next = f;
	else
		m->first = f;
	m->last = f;
	m->family_cnt++;
	return f;
}

static struct series *get_series(struct mf_metrics *m, const char *name, const char *help,
				 enum kind kind, const struct mf_label *labels, size_t cnt,
				 bool *ret_made)
{
	struct mf_strbuf b = MF_STRBUF_INIT(4096);
	struct series *s = NULL;
	struct family *f = get_family(m, name, help, kind);

	*ret_made = false;
	if (!f || !add_labels(&b, labels, cnt, false))
		goto out;
	s = find_series(f, b.str ? b.str : "");
	if (!s && cnt && f->series_cnt + 1 >= m->series_max) {
		// The last place is for all that find none.
		mf_strbuf_clear(&b);
		if (!add_labels(&b, labels, cnt, true))
			goto out;
		s = find_series(f, b.str);
	}
	if (!s) {
		s = make_series(f, b.str ? b.str : "");
		*ret_made = s != NULL;
	}
out:
	mf_strbuf_done(&b);
	return s;
}

static struct series *lookup(struct mf_metrics *m, const char *name, const char *help,
			     enum kind kind, const struct mf_label *labels, size_t cnt,
			     const struct mf_histogram *shape)
{
	struct series *s;
	bool made;

	if (!m)
		return &no_registry[kind];
	pthread_mutex_lock(&m->lock);
	s = get_series(m, name, help, kind, labels, cnt, &made);
	if (made && shape) {
		memcpy(s->u.histogram.bounds, shape->bounds, sizeof(shape->bounds));
		s->u.histogram.bound_cnt = shape->bound_cnt;
		s->u.histogram.scale = shape->scale;
	}
	pthread_mutex_unlock(&m->lock);
	if (s)
		return s;
	atomic_fetch_add_explicit(&m->errors, 1, memory_order_relaxed);
	return &m->nowhere[kind];
}

struct mf_counter *mf_metrics_counter(struct mf_metrics *m, const char *name, const char *help,
				      const struct mf_label *labels, size_t label_cnt)
{
	return &lookup(m, name, help, KIND_COUNTER, labels, label_cnt, NULL)->u.counter;
}

struct mf_gauge *mf_metrics_gauge(struct mf_metrics *m, const char *name, const char *help,
				  const struct mf_label *labels, size_t label_cnt)
{
	return &lookup(m, name, help, KIND_GAUGE, labels, label_cnt, NULL)->u.gauge;
}

struct mf_histogram *mf_metrics_histogram(struct mf_metrics *m, const char *name, const char *help,
					  const struct mf_label *labels, size_t label_cnt,
					  const uint64_t *bounds, size_t bound_cnt, double scale)
{
	struct mf_histogram shape = { .scale = scale };

	if (bound_cnt > MF_HISTOGRAM_BUCKETS_MAX)
		bound_cnt = MF_HISTOGRAM_BUCKETS_MAX;
	shape.bound_cnt = (uint32_t)bound_cnt;
	memcpy(shape.bounds, bounds, bound_cnt * sizeof(*bounds));
	return &lookup(m, name, help, KIND_HISTOGRAM, labels, label_cnt, &shape)->u.histogram;
}

void mf_histogram_observe(struct mf_histogram *h, uint64_t value)
{
	uint32_t i = 0;

	while (i < h->bound_cnt && value > h->bounds[i])
		i++;
	atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum, value, memory_order_relaxed);
}

int mf_metrics_on_collect(struct mf_metrics *m, void (*fn)(void *ctx), void *ctx)
{
	int r = MF_E_FULL;

	if (!m)
		return MF_E_INVAL;
	pthread_mutex_lock(&m->lock);
	if (m->collect_cnt < COLLECT_MAX) {
		m->collect[m->collect_cnt].fn = fn;
		m->collect[m->collect_cnt++].ctx = ctx;
		r = 0;
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

static void write_histogram(struct mf_strbuf *b, const struct family *f, struct series *s)
{
	struct mf_histogram *h = &s->u.histogram;
	const char *comma = s->labels[0] ? "," : "";
	uint64_t total = 0;

	for (uint32_t i = 0; i <= h->bound_cnt; i++) {
		total += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		mf_strbuf_addf(b, "%s_bucket{%s%sle=\"", f->name, s->labels, comma);
		if (i < h->bound_cnt)
			mf_strbuf_addf(b, "%.9g", (double)h->bounds[i] * h->scale);
		else
			mf_strbuf_adds(b, "+Inf");
		mf_strbuf_addf(b, "\"} %llu\n", (unsigned long long)total);
	}
	mf_strbuf_addf(b, s->labels[0] ? "%s_sum{%s} " : "%s_sum%s ", f->name, s->labels);
	mf_strbuf_addf(b, "%.9g\n",
		       (double)atomic_load_explicit(&h->sum, memory_order_relaxed) * h->scale);
	mf_strbuf_addf(b, s->labels[0] ? "%s_count{%s} " : "%s_count%s ", f->name, s->labels);
	mf_strbuf_addf(b, "%llu\n", (unsigned long long)total);
}

static void write_help(struct mf_strbuf *b, const char *help)
{
	for (; *help; help++) {
		if (*help == '\\')
			mf_strbuf_adds(b, "\\\\");
		else if (*help == '\n')
			mf_strbuf_adds(b, "\\n");
		else
			mf_strbuf_addc(b, *help);
	}
}

static void write_family(struct mf_strbuf *b, struct family *f)
{
	mf_strbuf_addf(b, "# HELP %s ", f->name);
	write_help(b, f->help);
	mf_strbuf_addf(b, "\n# TYPE %s %s\n", f->name, kind_names[f->kind]);
	for (struct series *s = f->first; s; s = s->next) {
		if (f->kind == KIND_HISTOGRAM) {
			write_histogram(b, f, s);
			continue;
		}
		mf_strbuf_addf(b, s->labels[0] ? "%s{%s} " : "%s%s ", f->name, s->labels);
		if (f->kind == KIND_COUNTER)
			mf_strbuf_addf(b, "%llu\n",
				       (unsigned long long)mf_counter_get(&s->u.counter));
		else
			mf_strbuf_addf(b, "%lld\n",
				       (long long)atomic_load_explicit(&s->u.gauge.value,
								       memory_order_relaxed));
	}
}

// Not under the lock: a callback may make series. Entries are only ever added.
static void collect(struct mf_metrics *m)
{
	uint32_t cnt;

	pthread_mutex_lock(&m->lock);
	cnt = m->collect_cnt;
	pthread_mutex_unlock(&m->lock);
	for (uint32_t i = 0; i < cnt; i++)
		m->collect[i].fn(m->collect[i].ctx);
}

void mf_metrics_write(struct mf_metrics *m, struct mf_strbuf *buf)
{
	collect(m);
	pthread_mutex_lock(&m->lock);
	for (struct family *f = m->first; f; f = f->next)
		write_family(buf, f);
	pthread_mutex_unlock(&m->lock);
}

uint64_t mf_metrics_errors(const struct mf_metrics *m)
{
	return atomic_load_explicit(&m->errors, memory_order_relaxed);
}

/* --- JSON -------------------------------------------------------------------------------------------------------- */

static void json_text(struct mf_strbuf *b, const char *text, size_t len)
{
	char out[512];
	size_t used;

	mf_strbuf_addc(b, '"');
	while (len) {
		mf_strbuf_add(b, out, mf_json_escape(text, len, out, sizeof(out), &used));
		if (!used)
			break;
		text += used;
		len -= used;
	}
	mf_strbuf_addc(b, '"');
}

/* a="b",c="d": values are escaped as Prometheus wants it, which JSON reads in the same way. */
static void json_labels(struct mf_strbuf *b, const char *p)
{
	mf_strbuf_adds(b, "{\"labels\":{");
	while (*p) {
		size_t name = strcspn(p, "="), len = 1;

		mf_strbuf_addc(b, '"');
		mf_strbuf_add(b, p, name);
		mf_strbuf_adds(b, "\":\"");
		p += name + 1; /* at the quote */
		for (; p[len] && p[len] != '"'; len++) {
			bool escaped = p[len] == '\\' && p[len + 1];

			mf_strbuf_addc(b, (unsigned char)p[len] < 0x20 ? '?' : p[len]);
			if (escaped)
				mf_strbuf_addc(b, p[++len]);
		}
		mf_strbuf_addc(b, '"');
		p += len + (p[len] == '"');
		if (*p == ',') {
			mf_strbuf_addc(b, ',');
			p++;
		}
	}
	mf_strbuf_adds(b, "},");
}

static void json_histogram(struct mf_strbuf *b, struct mf_histogram *h)
{
	uint64_t total = 0;

	mf_strbuf_adds(b, "\"buckets\":[");
	for (uint32_t i = 0; i <= h->bound_cnt; i++) {
		total += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		mf_strbuf_adds(b, i ? ",{\"le\":" : "{\"le\":");
		if (i < h->bound_cnt)
			mf_strbuf_addf(b, "%.9g", (double)h->bounds[i] * h->scale);
		else
			mf_strbuf_adds(b, "null");
		mf_strbuf_addf(b, ",\"count\":%llu}", (unsigned long long)total);
	}
	mf_strbuf_addf(b, "],\"sum\":%.9g,\"count\":%llu}",
		       (double)atomic_load_explicit(&h->sum, memory_order_relaxed) * h->scale,
		       (unsigned long long)total);
}

static void json_family(struct mf_strbuf *b, struct family *f)
{
	mf_strbuf_addf(b, "{\"name\":\"%s\",\"type\":\"%s\",\"help\":", f->name,
		       kind_names[f->kind]);
	json_text(b, f->help, strlen(f->help));
	mf_strbuf_adds(b, ",\"series\":[");
	for (struct series *s = f->first; s; s = s->next) {
		json_labels(b, s->labels);
		if (f->kind == KIND_HISTOGRAM)
			json_histogram(b, &s->u.histogram);
		else if (f->kind == KIND_COUNTER)
			mf_strbuf_addf(b, "\"value\":%llu}",
				       (unsigned long long)mf_counter_get(&s->u.counter));
		else
			mf_strbuf_addf(b, "\"value\":%lld}",
				       (long long)atomic_load_explicit(&s->u.gauge.value,
								       memory_order_relaxed));
		if (s->next)
			mf_strbuf_addc(b, ',');
	}
	mf_strbuf_adds(b, "]}");
}

void mf_metrics_write_json(struct mf_metrics *m, struct mf_strbuf *buf)
{
	collect(m);
	mf_strbuf_adds(buf, "{\"families\":[");
	pthread_mutex_lock(&m->lock);
	for (struct family *f = m->first; f; f = f->next) {
		if (f != m->first)
			mf_strbuf_addc(buf, ',');
		json_family(buf, f);
	}
	pthread_mutex_unlock(&m->lock);
	mf_strbuf_adds(buf, "]}\n");
}
