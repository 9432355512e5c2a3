/* SPDX-License-Identifier: Apache-2.0 */
/* pack_publish.c - moonfence pack publish: the signed index of a channel */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/pack.h"
#include "core/base/clock.h"
#include "packs/publish.h"

#define DAY_S	   86400
#define VALID_DAYS 30

enum { OPT_KEY = 1, OPT_CHANNEL, OPT_EXPIRES, OPT_CANARY, OPT_WITHDRAW, OPT_UNSIGNED };

static const struct mf_option options[] = {
	{ OPT_KEY, 'k', "key", "FILE", "the secret key: minisign's without a password" },
	{ OPT_CHANNEL, 'c', "channel", "NAME", "which channel (default: stable)" },
	{ OPT_EXPIRES, 'e', "expires", "TIME",
	  "the index counts until then (default: for 30 days)" },
	{ OPT_CANARY, 0, "canary", "PERCENT",
	  "what is new is for so many sessions of a hundred: 10%" },
	{ OPT_WITHDRAW, 0, "withdraw", NULL, "end the canary; what is for all stays" },
	{ OPT_UNSIGNED, 0, "unsigned", NULL,
	  "write CHANNEL.channel, for 'minisign -S', instead of a signed index" },
};

static const struct mf_usage usage = {
	.name = "pack publish",
	.synopsis = "--key FILE [OPTION]... DIR",
	.text = "Write DIR/CHANNEL.mfchannel: of each pack of the channel the newest archive in "
		"DIR, with its\n"
		"hash; a number that is one higher than before; and a signature. DIR can then be "
		"used as a source\n"
		"('pack source add'), as it is or through a web server. Each archive needs its own "
		"signature\n"
		"beside it. Publish again before the index expires, also when nothing is new.\n"
		"Exit status: 0 good, 1 something is wrong with a file, 2 wrong usage.\n",
	.example = "  moonfence pack publish --key channel.key --canary 10% /srv/packs\n"
		   "  moonfence pack publish --key channel.key /srv/packs\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct request {
	struct mf_publish_options publish;
	const char *key, *dir;
	bool is_unsigned;
};

static int take_option(struct request *q, int opt, const char *value)
{
	switch (opt) {
	case OPT_KEY:
		q->key = value;
		return 0;
	case OPT_CHANNEL:
		q->publish.channel = value;
		return mf_pack_is_id(value)
			       ? 0
			       : mf_options_wrong(&usage, "--channel: '%s' is no name of a channel",
						  value);
	case OPT_EXPIRES:
		return mf_time_parse(value, &q->publish.expires_s) == 0
			       ? 0
			       : mf_options_wrong(&usage,
						  "--expires: '%s' is neither a day such as "
						  "2027-12-31 nor a time such as "
						  "2027-12-31T12:00:00Z",
						  value);
	case OPT_CANARY:
		q->publish.percent = mf_pack_percent(value);
		return q->publish.percent
			       ? 0
			       : mf_options_wrong(&usage, "--canary: 1%% to 99%%, not '%s'", value);
	case OPT_WITHDRAW:
		q->publish.withdraw = true;
		return 0;
	default:
		q->is_unsigned = true;
		return 0;
	}
}

static int write_index(const struct request *q, const struct mf_channel *c,
		       const struct mf_secret_key *key, uint64_t now_s, struct mf_err *err)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_CHANNEL_MAX),
			 out = MF_STRBUF_INIT(MF_CHANNEL_MAX);
	char path[MF_PATH_MAX], comment[MF_PACK_NAME_MAX + 16];
	int r = mf_channel_write(c, &text, err);

	snprintf(comment, sizeof(comment), "%s %u", c->name, c->number);
	if (r == 0 && key)
		r = mf_signature_make(MF_SIGNATURE_MINISIGN, key, comment, now_s, text.str,
				      text.len, &out, err);
	mf_strbuf_add(&out, text.str, text.len);
	if (r == 0 && (size_t)snprintf(path, sizeof(path), "%s/%s%s", q->dir, c->name,
				       key ? MF_CHANNEL_ENDING : ".channel") >= sizeof(path))
		r = mf_err_set(err, MF_E_LIMIT, "the path of %.200s... is too long", q->dir);
	if (r == 0)
		r = out.failed ? mf_err_set(err, MF_E_NOMEM, "out of memory")
			       : mf_pack_output(path, out.str, out.len, err);
	if (r == 0)
		printf("%s: index %u\n", path, c->number);
	mf_strbuf_done(&text);
	mf_strbuf_done(&out);
	return r;
}

static int publish(struct request *q, struct mf_err *err)
{
	uint64_t now_s = mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;
	struct mf_secret_key key = { 0 };
	struct mf_channel *c = calloc(1, sizeof(*c));
	int r = c ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory");

	if (!q->publish.expires_s)
		q->publish.expires_s = now_s + VALID_DAYS * DAY_S;
	if (r == 0 && q->key) {
		r = mf_pack_read_secret(q->key, &key, err);
		q->publish.key = &key.pub;
	}
	if (r == 0 && q->publish.expires_s <= now_s)
		r = mf_err_set(err, MF_E_INVAL, "--expires: that is over already");
	if (r == 0)
		r = mf_publish(q->dir, &q->publish, c, err);
	if (r == 0)
		r = write_index(q, c, q->key ? &key : NULL, now_s, err);
	mf_secret_key_done(&key);
	free(c);
	return r;
}

int mf_cmd_pack_publish(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct request q = { .publish.channel = MF_PACK_DEFAULT_CHANNEL };
	struct mf_err err = { 0 };
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(&q, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (!q.key == !q.is_unsigned)
		return mf_options_wrong(&usage, "with which key? Give --key FILE, or --unsigned");
	if (q.publish.percent && q.publish.withdraw)
		return mf_options_wrong(&usage, "--canary and --withdraw are opposites");
	if (o.operand_cnt != 1)
		return mf_options_wrong(&usage, "which directory? Give one DIR");
	q.dir = o.operands[0];
	return publish(&q, &err) < 0 ? mf_pack_fail(&err) : MF_EXIT_GOOD;
}
