/* SPDX-License-Identifier: Apache-2.0 */
/* pack_source.c - moonfence pack source, update: where packs come from, and asking there */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/pack.h"
#include "packs/update.h"

enum {
	OPT_STORE = 1,
	OPT_CHANNEL,
	OPT_CA,
	OPT_CREDENTIALS,
	OPT_JSON,
	OPT_CHECK,
	OPT_FORCE,
	OPT_CANARY,
	OPT_TIMEOUT,
};

/* --- source ------------------------------------------------------------------------------------------------------- */

static const struct mf_option source_options[] = {
	{ OPT_STORE, 's', "store", "DIR", MF_PACK_STORE_OPTION_HELP },
	{ OPT_CHANNEL, 'c', "channel", "NAME",
	  "add: the channel that is followed (default: stable)" },
	{ OPT_CA, 0, "ca", "FILE", "add: certificates that are believed, not the system's" },
	{ OPT_CREDENTIALS, 0, "credentials", "FILE", "add: a file that says USER:PASSWORD" },
	{ OPT_JSON, 'j', "json", NULL, "list: print JSON" },
};

static const struct mf_usage source_usage = {
	.name = "pack source",
	.synopsis = "list | add NAME ADDRESS [OPTION]... | remove NAME",
	.text = "Say where packs come from. ADDRESS is a directory, https://HOST/PATH, oci:DIR (an "
		"image layout)\n"
		"or oci://HOST/REPOSITORY; it has the signed index of the channel, "
		"CHANNEL.mfchannel, and the\n"
		"archives. A directory's or https address may also be one archive, .mfpack. "
		"'pack update' asks.\n"
		"Exit status: 0 good, 1 refused, 2 wrong usage.\n",
	.example = "  moonfence pack trust add channel.pub --name corp-channel --role channel\n"
		   "  moonfence pack source add corp https://packs.example/agents\n"
		   "  moonfence pack update\n",
	.options = source_options,
	.option_cnt = MF_ARRAY_SIZE(source_options),
};

static int write_sources(struct mf_store *store, const struct mf_source_list *list,
			 struct mf_err *err)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_SOURCE_LIST_TEXT_MAX);
	int r = mf_source_list_write(list, &text, err);

	if (r == 0)
		r = mf_store_write_sources(store, text.str, text.len, err);
	mf_strbuf_done(&text);
	return r;
}

static int list_sources(const struct mf_source_list *list, bool json)
{
	json_t *out = json ? json_array() : NULL;
	struct mf_table t;

	mf_table_init(&t, "lll");
	mf_table_add(&t, "NAME");
	mf_table_add(&t, "CHANNEL");
	mf_table_add(&t, "ADDRESS");
	for (size_t i = 0; i < list->cnt; i++) {
		const struct mf_source_entry *e = &list->items[i];

		if (json)
			(void)json_array_append_new(out,
						    json_pack("{s:s, s:s, s:o}", "name", e->name,
							      "channel", e->channel, "address",
							      mf_output_json_text(e->address)));
		mf_table_add(&t, "%s", e->name);
		mf_table_add(&t, "%s", e->channel);
		mf_table_add(&t, "%s", e->address);
	}
	if (!json)
		mf_table_print(&t, stdout, true);
	mf_table_done(&t);
	return json ? mf_output_json(out) : MF_EXIT_GOOD;
}

/* A text into its place, paths made absolute. */
static int put(char *to, size_t size, const char *text, bool path, struct mf_err *err)
{
	char absolute[MF_PATH_MAX];

	if (path)
		text = mf_paths_absolute(text, absolute, sizeof(absolute));
	/* "/C:/dir" is for policies; these are opened, and Windows' own form has no slash before the drive */
	if (path && text && text[0] == '/' && text[1] && text[2] == ':')
		text++;
	if (!text || (size_t)snprintf(to, size, "%s", text) >= size)
		return mf_err_set(err, MF_E_INVAL, "an address or path is too long");
	return 0;
}

static int put_address(struct mf_source_entry *e, const char *address, struct mf_err *err)
{
	static const char layout[] = "oci:";
	size_t head = strncmp(address, layout, strlen(layout)) == 0 ? strlen(layout) : 0;

	if (strstr(address, "://"))
		return put(e->address, sizeof(e->address), address, false, err);
	memcpy(e->address, address, head);
	return put(e->address + head, sizeof(e->address) - head, address + head, true, err);
}

struct source_request {
	const char *store, *ca, *credentials;
	struct mf_source_entry entry;
	bool json;
};

static int change_sources(struct mf_store *store, const char *path, struct source_request *q,
			  char **words, struct mf_err *err)
{
	struct mf_source_list *list = calloc(1, sizeof(*list));
	struct mf_source_entry *found;
	int r = list ? mf_source_list_read(path, list, err)
		     : mf_err_set(err, MF_E_NOMEM, "out of memory");

	if (r == 0 && strcmp(words[0], "add") == 0) {
		r = put(q->entry.name, sizeof(q->entry.name), words[1], false, err);
		if (r == 0)
			r = put_address(&q->entry, words[2], err);
		if (r == 0 && q->ca)
			r = put(q->entry.ca, sizeof(q->entry.ca), q->ca, true, err);
		if (r == 0 && q->credentials)
			r = put(q->entry.credentials, sizeof(q->entry.credentials), q->credentials,
				true, err);
		if (r == 0)
			r = mf_source_list_add(list, &q->entry, err);
	} else if (r == 0) {
		found = mf_source_list_find(list, words[1]);
		if (found)
			memmove(found, found + 1,
				(size_t)(&list->items[--list->cnt] - found) * sizeof(*found));
		else
			r = mf_err_set(err, MF_E_NOENT, "there is no source \"%s\"", words[1]);
	}
	if (r == 0)
		r = write_sources(store, list, err);
	free(list);
	return r;
}

static int show_sources(const char *path, bool json)
{
	struct mf_source_list *list = calloc(1, sizeof(*list));
	struct mf_err err = { 0 };
	int status;

	if (!list || mf_source_list_read(path, list, &err) < 0)
		status = mf_pack_fail(&err);
	else
		status = list_sources(list, json);
	free(list);
	return status;
}

int mf_cmd_pack_source(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&source_usage, argc, argv);
	struct source_request q = { .entry.channel = MF_PACK_DEFAULT_CHANNEL };
	char place[MF_PATH_MAX];
	const char *value, *word, *path;
	struct mf_store *store;
	struct mf_err err = { 0 };
	int opt, status, r, wanted;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_STORE)
			q.store = value;
		else if (opt == OPT_CA)
			q.ca = value;
		else if (opt == OPT_CREDENTIALS)
			q.credentials = value;
		else if (opt == OPT_JSON)
			q.json = true;
		else if (put(q.entry.channel, sizeof(q.entry.channel), value, false, &err) < 0)
			return mf_options_wrong(&source_usage, "--channel: at most %d bytes",
						MF_PACK_NAME_MAX);
	}
	if (opt < 0)
		return o.status;
	word = o.operand_cnt ? o.operands[0] : "list";
	wanted = strcmp(word, "add") == 0      ? 3
		 : strcmp(word, "remove") == 0 ? 2
		 : strcmp(word, "list") == 0   ? 1
					       : 0;
	if (!wanted || (o.operand_cnt ? o.operand_cnt : 1) != wanted)
		return mf_options_wrong(&source_usage, "list, add NAME ADDRESS or remove NAME?");
	path = mf_pack_place(&source_usage, q.store, place);
	if (!path)
		return MF_EXIT_USAGE;
	if (wanted == 1)
		return show_sources(path, q.json);
	status = mf_pack_open(&source_usage, path, false, &store);
	if (status)
		return status;
	r = change_sources(store, path, &q, o.operands, &err);
	mf_store_close(store);
	return r < 0 ? mf_pack_fail(&err) : MF_EXIT_GOOD;
}

/* --- update ------------------------------------------------------------------------------------------------------- */

static const struct mf_option update_options[] = {
	{ OPT_STORE, 's', "store", "DIR", MF_PACK_STORE_OPTION_HELP },
	{ OPT_CHECK, 0, "check", NULL, "only tell what is new" },
	{ OPT_FORCE, 0, "force", NULL,
	  "ask sources that are to be left alone, and do again what their index says" },
	{ OPT_CANARY, 'c', "canary", "PERCENT",
	  "what is new is for so many sessions of a hundred first: 10%" },
	{ OPT_TIMEOUT, 't', "timeout", "SECONDS", "that one file may take (default: 600)" },
};

static const struct mf_usage update_usage = {
	.name = "pack update",
	.synopsis = "[--check] [OPTION]... [SOURCE...]",
	.text = "Ask the sources (default: all) and do what the signed indexes of their channels "
		"say, each in one\n"
		"step. An index counts by a key with the role 'channel', until it expires, and "
		"never after a newer\n"
		"one; each archive is let in as 'pack install' does. A source that cannot be had "
		"is left alone for\n"
		"a time that grows; proxies are those of https_proxy and no_proxy.\n"
		"Exit status: 0 good, 1 a source was refused or could not be had, 2 wrong usage.\n",
	.example = "  moonfence pack update --check\n  moonfence pack update --canary 10% corp\n",
	.options = update_options,
	.option_cnt = MF_ARRAY_SIZE(update_options),
};

static void tell(const struct mf_source_entry *source, const struct mf_update_result *result,
		 bool check)
{
	printf("%s: channel %s", source->name, source->channel);
	if (result->number)
		printf(", index %u", result->number);
	if (!result->changed)
		printf(": nothing new");
	else if (!result->item_cnt)
		printf(check ? ": the canary would change" : ": the canary changed");
	for (size_t i = 0; result->changed && i < result->item_cnt; i++) {
		printf("%s %s %s", i ? "," : ":", result->items[i].name, result->items[i].version);
		if (result->items[i].percent)
			printf(" for %u %% of sessions", result->items[i].percent);
	}
	printf("\n");
}

static bool is_asked(const struct mf_options *o, const char *name)
{
	for (int i = 0; i < o->operand_cnt; i++)
		if (strcmp(o->operands[i], name) == 0)
			return true;
	return o->operand_cnt == 0;
}

static int update_all(const struct mf_options *o, const char *path, struct mf_source_list *list,
		      const struct mf_update_options *options)
{
	char stdlib[MF_PATH_MAX];
	const struct mf_store_options store_options = mf_pack_store_options(false, stdlib);
	int status = MF_EXIT_GOOD;

	for (int i = 0; i < o->operand_cnt; i++)
		if (!mf_source_list_find(list, o->operands[i]))
			return mf_options_wrong(&update_usage, "there is no source \"%s\"",
						o->operands[i]);
	if (!list->cnt)
		fprintf(stderr, "moonfence: there are no sources ('moonfence pack source add')\n");
	for (size_t i = 0; i < list->cnt; i++) {
		struct mf_update_result result;
		struct mf_err err = { 0 };

		if (!is_asked(o, list->items[i].name))
			continue;
		if (mf_update(path, &store_options, &list->items[i], options, &result, &err) < 0)
			status = mf_pack_fail(&err);
		else
			tell(&list->items[i], &result, options->check);
	}
	return status;
}

int mf_cmd_pack_update(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&update_usage, argc, argv);
	struct mf_update_options options = { 0 };
	char place[MF_PATH_MAX];
	const char *value, *path = NULL;
	struct mf_source_list *list;
	struct mf_err err = { 0 };
	int opt, status;
	size_t len;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_STORE) {
			path = value;
		} else if (opt == OPT_CHECK) {
			options.check = true;
		} else if (opt == OPT_FORCE) {
			options.force = true;
		} else if (opt == OPT_CANARY) {
			options.percent = mf_pack_percent(value);
			if (!options.percent)
				return mf_options_wrong(&update_usage,
							"--canary: 1%% to 99%%, not '%s'", value);
		} else {
			len = strspn(value, "0123456789");
			options.timeout_s = len && len <= 5 && !value[len]
						    ? (uint32_t)strtoul(value, NULL, 10)
						    : 0;
			if (!options.timeout_s)
				return mf_options_wrong(&update_usage,
							"--timeout: 1 to 99999 seconds, not '%s'",
							value);
		}
	}
	if (opt < 0)
		return o.status;
	path = mf_pack_place(&update_usage, path, place);
	if (!path)
		return MF_EXIT_USAGE;
	list = calloc(1, sizeof(*list));
	if (!list || mf_source_list_read(path, list, &err) < 0)
		status = mf_pack_fail(&err);
	else
		status = update_all(&o, path, list, &options);
	free(list);
	return status;
}
