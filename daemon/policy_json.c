/* SPDX-License-Identifier: Apache-2.0 */
/* policy_json.c - see policy_json.h */
#include "daemon/policy_json.h"

#include <stdio.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/sha256.h"

json_t *mf_policy_json_time(uint64_t wall_ns)
{
	time_t seconds = (time_t)(wall_ns / MF_NS_PER_S);
	char text[32];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

static json_t *hash_json(const struct mf_sandbox_source *chunk)
{
	uint8_t hash[MF_SHA256_LEN];
	char text[2 * MF_SHA256_LEN + 1];

	mf_sha256(chunk->text, chunk->len, hash);
	for (size_t i = 0; i < MF_SHA256_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	return json_string(text);
}

/* Text from a file system or a policy need not be UTF-8. */
json_t *mf_policy_json_text(const char *text)
{
	json_t *json = json_string(text);

	return json ? json : json_string("?");
}

json_t *mf_policy_json_policies(struct mf_source_set *set)
{
	json_t *list = json_array();

	for (size_t i = 0; i < mf_source_set_count(set); i++) {
		const struct mf_policy_source *s = mf_source_set_policy(set, i);

		json_array_append_new(list,
				      json_pack("{s:o, s:o, s:o, s:s, s:o, s:I}", "pack",
						mf_policy_json_text(s->pack), "version",
						mf_policy_json_text(s->pack_version), "file",
						mf_policy_json_text(s->chunk.name), "form",
						s->yaml ? "agentsh" : "lua", "sha256",
						hash_json(&s->chunk), "test_files",
						(json_int_t)mf_source_set_test_count(set, i)));
	}
	return list;
}

json_t *mf_policy_json_paths(const struct mf_generation *g)
{
	json_t *list = json_array();

	for (size_t i = 0; i < g->path_cnt; i++)
		json_array_append_new(list, mf_policy_json_text(g->paths[i]));
	return list;
}

static json_t *asker_json(const struct mf_generation_asker *by)
{
	json_t *json = json_pack("{s:s}", "how", by->how);

	if (by->uid >= 0)
		json_object_set_new(json, "uid", json_integer(by->uid));
	if (by->pid > 0)
		json_object_set_new(json, "pid", json_integer(by->pid));
	return json;
}

json_t *mf_policy_json_generation(const struct mf_generation *g, bool active)
{
	json_t *json =
		json_pack("{s:I, s:b, s:o, s:o, s:o}", "number", (json_int_t)g->number, "active",
			  active, "at", mf_policy_json_time(g->wall_ns), "paths",
			  mf_policy_json_paths(g), "policies", mf_policy_json_policies(g->set));

	if (json && g->from)
		json_object_set_new(json, "from", json_integer((json_int_t)g->from));
	if (json && g->by.how)
		json_object_set_new(json, "by", asker_json(&g->by));
	return json;
}
