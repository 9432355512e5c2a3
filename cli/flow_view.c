/* SPDX-License-Identifier: Apache-2.0 */
/* flow_view.c - see flow_view.h */
#include "cli/flow_view.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/cond.h"
#include "core/loop/loop_wake.h"
#include "proxies/flow_list.h"

enum { WAIT_MS = 2000 };

struct mf_flow_view {
	struct mf_loop_wake *wake;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	/* under the lock */
	struct mf_proxy *proxy;	  /* NULL: gone */
	struct mf_flow_row *rows; /* where to put them; NULL: nobody asks */
	uint64_t before;
	size_t limit, cnt;
	bool more;
};

static void on_asked(void *ctx)
{
	struct mf_flow_view *v = ctx;

	pthread_mutex_lock(&v->lock);
	if (v->rows && v->proxy) {
		v->cnt = mf_flow_list(v->proxy, v->before, v->rows, v->limit, &v->more);
		v->rows = NULL;
		pthread_cond_signal(&v->answered);
	}
	pthread_mutex_unlock(&v->lock);
}

int mf_flow_view_new(struct event_base *base, struct mf_proxy *proxy, struct mf_flow_view **ret,
		     struct mf_err *err)
{
	struct mf_flow_view *v = calloc(1, sizeof(*v));

	if (v)
		v->wake = mf_loop_wake_new(base, on_asked, v);
	if (!v || !v->wake || pthread_mutex_init(&v->lock, NULL)) {
		if (v)
			mf_loop_wake_free(v->wake);
		free(v);
		return mf_err_set(err, MF_E_NOMEM, "no memory or descriptors are left");
	}
	if (mf_cond_init(&v->answered)) {
		pthread_mutex_destroy(&v->lock);
		mf_loop_wake_free(v->wake);
		free(v);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	v->proxy = proxy;
	*ret = v;
	return 0;
}

void mf_flow_view_close(struct mf_flow_view *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&v->lock);
	v->proxy = NULL;
	pthread_cond_signal(&v->answered);
	pthread_mutex_unlock(&v->lock);
}

void mf_flow_view_free(struct mf_flow_view *v)
{
	if (!v)
		return;
	mf_loop_wake_free(v->wake);
	pthread_cond_destroy(&v->answered);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* Return: whether the loop has filled in @rows */
static bool fetch(struct mf_flow_view *v, uint64_t before, struct mf_flow_row *rows, size_t limit,
		  size_t *ret_cnt, bool *ret_more)
{
	struct timespec until = mf_cond_in_ms(WAIT_MS);
	bool done;

	pthread_mutex_lock(&v->lock);
	v->rows = v->proxy ? rows : NULL;
	done = v->rows != NULL;
	v->before = before;
	v->limit = limit;
	if (done)
		mf_loop_wake(v->wake);
	while (v->rows && v->proxy && mf_cond_wait_until(&v->answered, &v->lock, &until))
		;
	done = done && !v->rows;
	v->rows = NULL; /* they are ours again */
	*ret_cnt = v->cnt;
	*ret_more = v->more;
	pthread_mutex_unlock(&v->lock);
	return done;
}

static void add_place(json_t *row, const char *name, const struct mf_endpoint *at)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	if (at->addr.family)
		json_object_set_new(row, name,
				    json_string(mf_endpoint_format(at, text, sizeof(text))));
}

static json_t *row_json(const struct mf_flow_row *r)
{
	bool tcp = r->proto == MF_TCP;
	json_t *row =
		json_pack("{s:I, s:s, s:s, s:I, s:I, s:I}", "id", (json_int_t)r->id, "proto",
			  mf_proto_name(r->proto), "state", r->state, tcp ? "age_ms" : "idle_ms",
			  (json_int_t)(tcp ? r->age_ms : r->idle_ms), "bytes_to_server",
			  (json_int_t)r->to_server, "bytes_to_client", (json_int_t)r->to_client);

	if (!row)
		return NULL;
	add_place(row, "client", &r->client);
	add_place(row, "server", &r->server);
	add_place(row, "to", &r->to);
	if (*r->host)
		json_object_set_new(row, "host", json_string(r->host));
	return row;
}

json_t *mf_flow_view_ask(void *view, uint64_t before, size_t limit)
{
	struct mf_flow_row *rows = calloc(limit ? limit : 1, sizeof(*rows));
	json_t *list = rows ? json_array() : NULL;
	bool more = false;
	size_t cnt = 0;

	if (!list || !fetch(view, before, rows, limit, &cnt, &more)) {
		json_decref(list);
		free(rows);
		return NULL;
	}
	for (size_t i = 0; i < cnt; i++)
		json_array_append_new(list, row_json(&rows[i]));
	free(rows);
	return json_pack("{s:o, s:b}", "flows", list, "complete", !more);
}
