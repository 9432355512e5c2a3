/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script.c - actions from a file, for programs that cannot be called: "ACTION PID PATH [MORE]" a line, at most one blank
 * between words, MORE to the end of the line
 *
 *	write 42 /a.txt text	make or replace it	read 42 /a.txt		its text
 *	delete 42 /a.txt	file or directory	rename 42 /a.txt /b.txt
 *	list 42 /		names, sorted		mkdir 42 /dir
 *	stop			the mount ends, as by Ctrl-C
 *	stay			it goes on; the script ends
 *
 * Answers, a line each: "ACTION PATH STATUS [text]", and "violation ..." at the end if there was one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "double_int.h"

struct names {
	char *at[64];
	size_t cnt;
};

static void add_name(void *ctx, const char *name)
{
	struct names *n = ctx;

	if (n->cnt < sizeof(n->at) / sizeof(n->at[0]) && name[0] != '.')
		n->at[n->cnt++] = strdup(name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void tell_names(FILE *out, struct names *n)
{
	qsort(n->at, n->cnt, sizeof(n->at[0]), by_name);
	for (size_t i = 0; i < n->cnt; i++) {
		fprintf(out, " %s", n->at[i]);
		free(n->at[i]);
	}
}

static void act(FILE *out, const char *verb, int32_t pid, const char *path, const char *more)
{
	unsigned access = !strcmp(verb, "read") || !strcmp(verb, "list") ? WFD_READ
			  : !strcmp(verb, "write")			 ? WFD_WRITE
			  : !strcmp(verb, "mkdir")			 ? WFD_READ | WFD_DIRECTORY
									 : WFD_DELETE;
	enum wfd_disposition how = !strcmp(verb, "write")   ? WFD_CREATE_ALWAYS
				   : !strcmp(verb, "mkdir") ? WFD_CREATE_NEW
							    : WFD_OPEN;
	char text[4096] = "";
	struct names names = { .cnt = 0 };
	struct wfd_file *f;
	size_t len = 0;
	uint32_t r = wfd_create(path, how, access, pid, &f);

	if (r == WFD_OK) {
		if (!strcmp(verb, "write"))
			r = wfd_write(f, more, strlen(more), 0);
		else if (!strcmp(verb, "read"))
			r = wfd_read(f, text, sizeof(text) - 1, 0, &len);
		else if (!strcmp(verb, "delete"))
			r = wfd_set_delete(f);
		else if (!strcmp(verb, "rename"))
			r = wfd_rename(f, more, true, pid);
		else if (!strcmp(verb, "list"))
			r = wfd_list(f, add_name, &names);
		(void)wfd_close(f);
	}
	fprintf(out, "%s %s %08x", verb, path, r);
	if (len)
		fprintf(out, " %s", text);
	tell_names(out, &names);
	fputc('\n', out);
}

static void *play(void *arg)
{
	FILE *in = fopen(getenv(WFD_ENV_SCRIPT), "rb"), *out = fopen(getenv(WFD_ENV_OUT), "wb");
	char line[4096] = "", verb[16], path[1024];
	int pid, at;

	(void)arg;
	while (in && out && fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\r\n")] = '\0';
		at = (int)strlen(line);
		if (sscanf(line, "%15s %d %1023s%n", verb, &pid, path, &at) == 3)
			act(out, verb, pid, path, line[at] ? line + at + 1 : "");
		else if (!strcmp(line, "stop") || !strcmp(line, "stay"))
			break;
	}
	if (out && *wfd.violation)
		fprintf(out, "violation %s\n", wfd.violation);
	if (out)
		fclose(out);
	if (in)
		fclose(in);
	if (strcmp(line, "stay") != 0)
		wfd_interrupt();
	return NULL;
}

static pthread_t player;
static bool playing;

void wfd_play(void)
{
	if (!getenv(WFD_ENV_SCRIPT) || !getenv(WFD_ENV_OUT))
		return;
	playing = pthread_create(&player, NULL, play, NULL) == 0;
}

void wfd_play_end(void)
{
	if (playing)
		pthread_join(player, NULL);
	playing = false;
}
