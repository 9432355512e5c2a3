// SPDX-License-Identifier: Apache-2.0
/*
 * host.c - dev-server detection as a program: each change is a line of JSON
 *
 *	dev_host [--uid UID]... [--every-uid] [--skip PORT] [--taken NAME] [--own PORT] [--tick MS] [--probe MS]
 *
 * A line on its standard input: "stats" prints counters, "list" all servers, "taken NAME" takes a name and has names chosen
 * anew. The end of the input ends it. --own PORT: a listener of this process itself.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxies/dev_servers.h"
#include "proxies/sock.h"

#define TAKEN_MAX 8

static struct event_base *base;
static struct mf_dev_servers *servers;
static char taken[TAKEN_MAX][MF_DEV_NAME_ROOM];
static size_t taken_cnt;

static void say(json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT);

	puts(text ? text : "{}");
	fflush(stdout);
	free(text);
	json_decref(j);
}

static void told(void *ctx, enum mf_dev_change change, const struct mf_dev_server *server)
{
	(void)ctx;
	say(json_pack("{s:s, s:o}", "change", mf_dev_change_name(change), "server",
		      mf_dev_server_to_json(server)));
}

static bool is_taken(void *ctx, const char *name)
{
	(void)ctx;
	for (size_t i = 0; i < taken_cnt; i++)
		if (strcmp(taken[i], name) == 0)
			return true;
	return false;
}

static void take(const char *name)
{
	size_t len = strlen(name);

	if (taken_cnt < TAKEN_MAX && len < sizeof(taken[0]))
		memcpy(taken[taken_cnt++], name, len + 1);
}

static void print_stats(void)
{
	struct mf_dev_servers_stats s = { .size = sizeof(s) };

	mf_dev_servers_get_stats(servers, &s);
	say(json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ticks", (json_int_t)s.ticks,
		      "failed_ticks", (json_int_t)s.failed_ticks, "servers", (json_int_t)s.servers,
		      "left_out", (json_int_t)s.left_out, "probes", (json_int_t)s.probes,
		      "probes_late", (json_int_t)s.probes_late, "look_ups", (json_int_t)s.look_ups,
		      "unowned", (json_int_t)s.unowned));
}

static void print_list(void)
{
	const struct mf_dev_server *s = NULL;
	json_t *all = json_array();

	while ((s = mf_dev_servers_next(servers, s))) {
		if (s->name[0] && mf_dev_servers_find(servers, s->name) != s)
			abort();
		json_array_append_new(all, mf_dev_server_to_json(s));
	}
	say(json_pack("{s:o}", "list", all));
}

static void on_input(evutil_socket_t fd, short what, void *ctx)
{
	static char line[256];
	static size_t len;
	ssize_t n = read(fd, line + len, 1);

	(void)what;
	(void)ctx;
	if (n <= 0) {
		event_base_loopbreak(base);
		return;
	}
	if (line[len] != '\n') {
		len += len < sizeof(line) - 1;
		return;
	}
	line[len] = '\0';
	len = 0;
	if (strcmp(line, "stats") == 0)
		print_stats();
	else if (strcmp(line, "list") == 0)
		print_list();
	else if (strncmp(line, "taken ", 6) == 0) {
		take(line + 6);
		mf_dev_servers_rename(servers);
	}
}

int main(int argc, char **argv)
{
	static uint32_t uids[8];
	static uint16_t skip[8];
	struct mf_dev_servers_options o = { .size = sizeof(o),
					    .uids = uids,
					    .skip_ports = skip,
					    .is_taken = is_taken,
					    .told = told };
	struct mf_err err;
	struct event *input;
	int own = -1;

	if (mf_sock_start() < 0)
		return 1;
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--every-uid") == 0) {
			o.every_uid = true;
			continue;
		}
		i++;
		if (strcmp(argv[i - 1], "--uid") == 0 && o.uid_cnt < 8)
			uids[o.uid_cnt++] = (uint32_t)atoi(value);
		else if (strcmp(argv[i - 1], "--skip") == 0 && o.skip_port_cnt < 8)
			skip[o.skip_port_cnt++] = (uint16_t)atoi(value);
		else if (strcmp(argv[i - 1], "--taken") == 0)
			take(value);
		else if (strcmp(argv[i - 1], "--tick") == 0)
			o.tick_ms = (uint32_t)atoi(value);
		else if (strcmp(argv[i - 1], "--probe") == 0)
			o.probe_ms = (uint32_t)atoi(value);
		else if (strcmp(argv[i - 1], "--own") == 0) {
			struct mf_endpoint at = { .addr = { .family = 4,
							    .bytes = { 127, 0, 0, 1 } },
						  .port = (uint16_t)atoi(value) };

			own = mf_sock_listen(&at, true, 16);
		} else {
			fprintf(stderr, "dev_host: what is %s?\n", argv[i - 1]);
			return 2;
		}
	}
	base = event_base_new();
	if (!base || mf_dev_servers_start(base, &o, &servers, &err) < 0) {
		fprintf(stderr, "dev_host: %s\n", base ? err.msg : "no loop");
		return 1;
	}
	input = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, NULL);
	if (!input || event_add(input, NULL) < 0)
		return 1;
	event_base_dispatch(base);
	event_free(input);
	mf_dev_servers_stop(servers);
	event_base_free(base);
	if (own >= 0)
		mf_sock_close(own);
	return 0;
}
