/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward_page.c - the page of domain forwarding: routes, detected servers, certificates
 *
 * One document without scripts, images or anything else from elsewhere. Everything that a project or a person has named is
 * text of a stranger here: it goes through add_text() and nothing else. Of a project only its directory's own name is
 * told, since every user of the machine may read the page.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "proxies/forward_int.h"

static const char head[] =
	"<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n%s<title>Moonfence</title>\n"
	"<style>\n"
	":root{color-scheme:light dark}\n"
	"body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}\n"
	"table{border-collapse:collapse;width:100%%}\n"
	"th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884}\n"
	"th{font-weight:600}td.n{text-align:right}code{font-size:.95em}\n"
	".good{color:#1a7f37}.bad{color:#c62828;font-weight:600}\n"
	"</style>\n</head>\n<body>\n<h1>Moonfence</h1>\n";

/* Text of a stranger, as content or inside of a quoted attribute. */
static void add_text(struct mf_strbuf *b, const char *text)
{
	for (const char *p = text; *p; p++) {
		switch (*p) {
		case '&':
			mf_strbuf_adds(b, "&amp;");
			break;
		case '<':
			mf_strbuf_adds(b, "&lt;");
			break;
		case '>':
			mf_strbuf_adds(b, "&gt;");
			break;
		case '"':
			mf_strbuf_adds(b, "&quot;");
			break;
		case '\'':
			mf_strbuf_adds(b, "&#39;");
			break;
		default:
			/* control characters have no place in a document */
			mf_strbuf_addc(b, (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p);
		}
	}
}

static void add_cell(struct mf_strbuf *b, const char *text)
{
	mf_strbuf_adds(b, "<td>");
	add_text(b, text);
	mf_strbuf_adds(b, "</td>");
}

/* A canonical name, which has nothing to escape; the port is ours where nothing redirects. */
static void add_link(const struct mf_forward *f, struct mf_strbuf *b, const char *name)
{
	char port[16] = "";

	if (!f->opt.find_original && f->listeners[0].port != 443)
		snprintf(port, sizeof(port), ":%u", f->listeners[0].port);
	mf_strbuf_adds(b, "<td><a href=\"https://");
	add_text(b, name);
	mf_strbuf_addf(b, "%s/\">", port);
	add_text(b, name);
	mf_strbuf_adds(b, "</a></td>");
}

static void add_health(struct mf_forward *f, struct mf_strbuf *b)
{
	static const char *const names[] = { "Proxy", "Certificates", "Rules",
					     "Development servers" };
	_Static_assert(MF_ARRAY_SIZE(names) == MF_FORWARD_PART_NUM, "a name for each part");

	mf_strbuf_adds(b, "<h2>Health</h2>\n<table id=\"health\">\n");
	for (unsigned i = 0; i < MF_FORWARD_PART_NUM; i++) {
		const struct mf_forward_health *h = &f->health[i];

		mf_strbuf_addf(b, "<tr><th>%s</th><td class=\"%s\">%s</td>", names[i],
			       h->ok ? "good" : "bad", h->ok ? "good" : "bad");
		add_cell(b, h->detail);
		mf_strbuf_adds(b, "</tr>\n");
	}
	mf_strbuf_adds(b, "</table>\n");
}

static void add_route(struct mf_forward *f, struct mf_strbuf *b, const struct mf_forward_route *r)
{
	char text[MF_FORWARD_TARGET_TEXT_MAX];

	mf_strbuf_adds(b, "<tr>");
	if (r->wildcard) {
		snprintf(text, sizeof(text), "*.%s", r->name);
		add_cell(b, text);
	} else {
		add_link(f, b, r->name);
	}
	add_cell(b, r->target.host[0] ? mf_forward_target_format(&r->target, text, sizeof(text))
				      : "this page");
	add_cell(b, mf_forward_mode_name(r->target.mode));
	add_cell(b, mf_forward_source_name(r->source));
	mf_strbuf_addf(b, "<td class=\"n\">%llu</td><td class=\"n\">%llu</td></tr>\n",
		       (unsigned long long)r->connections, (unsigned long long)r->failures);
}

static void add_routes(struct mf_forward *f, struct mf_strbuf *b)
{
	mf_strbuf_adds(b,
		       "<h2>Routes</h2>\n<table id=\"routes\">\n<tr><th>Name</th><th>Leads to</th>"
		       "<th>TLS</th><th>Source</th><th>Connections</th><th>Failures</th></tr>\n");
	for (unsigned s = 0; s < MF_FORWARD_SOURCE_NUM; s++)
		for (size_t i = 0; i < mf_forward_routes_count(f->routes, s); i++)
			add_route(f, b, mf_forward_routes_at(f->routes, s, i));
	mf_strbuf_adds(b, "</table>\n");
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static void add_server(struct mf_forward *f, struct mf_strbuf *b, const json_t *server)
{
	const char *project = text_of(server, "project"), *slash = strrchr(project, '/');

	mf_strbuf_adds(b, "<tr>");
	if (*text_of(server, "name"))
		add_link(f, b, text_of(server, "name"));
	else
		add_cell(b, "");
	add_cell(b, text_of(server, "at"));
	add_cell(b, text_of(server, *text_of(server, "title") ? "title" : "kind"));
	add_cell(b, text_of(server, "speech"));
	add_cell(b, slash ? slash + 1 : project);
	mf_strbuf_adds(b, "</tr>\n");
}

static void add_servers(struct mf_forward *f, struct mf_strbuf *b)
{
	json_t *list = f->opt.list_servers ? f->opt.list_servers(f->opt.servers_ctx) : NULL;
	json_t *server;
	size_t i;

	mf_strbuf_adds(b, "<h2>Development servers</h2>\n");
	if (!json_array_size(list)) {
		mf_strbuf_adds(b, "<p>None was detected.</p>\n");
	} else {
		mf_strbuf_adds(b, "<table id=\"servers\">\n<tr><th>Name</th><th>Listens at</th>"
				  "<th>Kind</th><th>Speaks</th><th>Project</th></tr>\n");
		json_array_foreach(list, i, server) add_server(f, b, server);
		mf_strbuf_adds(b, "</table>\n");
	}
	json_decref(list);
}

void mf_forward_write_page(struct mf_forward *f, struct mf_strbuf *b)
{
	mf_strbuf_addf(b, head, "");
	add_health(f, b);
	add_routes(f, b);
	add_servers(f, b);
	mf_strbuf_addf(b,
		       "<p>%u connections are open, %llu came since the start. "
		       "<a href=\"/healthz\">Health</a> and <a href=\"/metrics\">metrics</a> for "
		       "programs.</p>\n</body>\n</html>\n",
		       f->open, (unsigned long long)mf_counter_get(f->accepted));
}

/* What a person can do about it depends on who knows the route. */
static void add_advice(struct mf_strbuf *b, const struct mf_forward_route *r, const char *name)
{
	char target[MF_FORWARD_TARGET_TEXT_MAX];

	mf_forward_target_format(&r->target, target, sizeof(target));
	mf_strbuf_adds(b,
		       "<ul>\n<li>Is it running? Start it in its project's directory, with port ");
	mf_strbuf_addf(b, "%u", r->target.port);
	mf_strbuf_adds(b, " (<code>npm run dev</code>, <code>python3 manage.py runserver</code>, "
			  "<code>bin/rails server</code> ...).</li>\n");
	if (r->source == MF_FORWARD_MANUAL) {
		mf_strbuf_adds(b,
			       "<li>Does it listen somewhere else? <code>moonfence proxy map add ");
		add_text(b, r->wildcard ? "*." : "");
		add_text(b, r->wildcard ? r->name : name);
		mf_strbuf_adds(b, " PORT</code></li>\n");
	}
	mf_strbuf_adds(b, "<li>What else there is: <a href=\"https://" MF_FORWARD_PAGE_NAME
			  "/\">https://" MF_FORWARD_PAGE_NAME
			  "</a>, <code>moonfence proxy list</code>, <code>moonfence "
			  "doctor</code></li>\n</ul>\n");
}

void mf_forward_write_down(struct mf_forward *f, struct mf_span name, struct mf_strbuf *b)
{
	const struct mf_forward_route *r =
		mf_forward_routes_find(f->routes, (const char *)name.ptr, name.len);
	char canon[MF_NAME_ROOM] = "", target[MF_FORWARD_TARGET_TEXT_MAX];

	if (name.len)
		(void)mf_name_canon((const char *)name.ptr, name.len, canon);
	mf_strbuf_addf(b, head, "<meta http-equiv=\"refresh\" content=\"2\">\n");
	mf_strbuf_adds(b, "<h2 class=\"bad\">");
	add_text(b, *canon ? canon : "This name");
	mf_strbuf_adds(b, ": its server cannot be reached</h2>\n");
	if (r) {
		mf_forward_target_format(&r->target, target, sizeof(target));
		mf_strbuf_addf(b, "<p>This name leads to <code id=\"target\">");
		add_text(b, target);
		mf_strbuf_addf(b, "</code> (%s), and a connection there ended with: <b>",
			       mf_forward_source_name(r->source));
		add_text(b, r->error[0] ? r->error : "no answer");
		mf_strbuf_adds(b, "</b>.</p>\n");
		add_advice(b, r, canon);
	} else {
		mf_strbuf_adds(b,
			       "<p>It was there when you asked for it, and is not any more.</p>\n");
	}
	mf_strbuf_adds(b, "<p>This page loads itself again every two seconds, and goes when the "
			  "server is there.</p>\n</body>\n</html>\n");
}
