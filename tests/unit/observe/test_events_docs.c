// SPDX-License-Identifier: Apache-2.0
// test_events_docs.c - docs/events.md says exactly what the tables of the code say
#include <jansson.h>

#include "core/observe/events.h"
#include "tests/unit/test.h"

static const char *const value_names[] = {
	[MF_EVENT_STR] = "string",
	[MF_EVENT_INT] = "integer",
	[MF_EVENT_BOOL] = "boolean",
	[MF_EVENT_LIST] = "list of strings",
};
_Static_assert(MF_ARRAY_SIZE(value_names) == MF_EVENT_VALUE_NUM, "one name per kind of value");

static int find_type(const char *name)
{
	for (int t = 0; t < MF_EV_NUM; t++)
		if (strcmp(mf_event_type_info(t)->name, name) == 0)
			return t;
	return -1;
}

static bool type_has(int type, const char *name, enum mf_event_value *ret_value)
{
	const struct mf_event_type_info *info = mf_event_type_info(type);

	for (size_t i = 0; i < info->field_cnt; i++) {
		if (strcmp(mf_event_field_name(info->fields[i]), name) != 0)
			continue;
		*ret_value = mf_event_field_value(info->fields[i]);
		return true;
	}
	return false;
}

// What was read of the page.
struct page {
	int type; // whose section this is, -1 before the first
	bool seen[MF_EV_NUM], example[MF_EV_NUM], urgent[MF_EV_NUM];
	size_t rows[MF_EV_NUM];
};

static void read_row(struct page *p, const char *line)
{
	const struct mf_event_type_info *info = mf_event_type_info(p->type);
	char field[64], type[64], meaning[512];
	enum mf_event_value value;

	if (sscanf(line, "| `%63[^`]` | %63[^|] | %511[^|]", field, type, meaning) != 3)
		fail_msg("row is not field, type, meaning: %s", line);
	type[strcspn(type, "|")] = '\0';
	while (*type && type[strlen(type) - 1] == ' ')
		type[strlen(type) - 1] = '\0';
	if (!type_has(p->type, field, &value))
		fail_msg("%s: the code has no field %s", info->name, field);
	if (strcmp(type, value_names[value]) != 0)
		fail_msg("%s.%s is a %s in the code", info->name, field, value_names[value]);
	// In the order of the code, each once.
	if (strcmp(mf_event_field_name(info->fields[p->rows[p->type]++]), field) != 0)
		fail_msg("%s.%s is not in its place", info->name, field);
}

static void read_example(struct page *p, const char *line)
{
	const struct mf_event_type_info *info = mf_event_type_info(p->type);
	json_error_t e;
	json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, &e), *v;
	const char *key;

	if (!j)
		fail_msg("example of %s: %s", info->name, e.text);
	assert_string_equal(json_string_value(json_object_get(j, "type")), info->name);
	json_object_foreach(json_object_get(j, "fields"), key, v)
	{
		enum mf_event_value value;
		bool good;

		if (!type_has(p->type, key, &value))
			fail_msg("example of %s: no field %s", info->name, key);
		good = value == MF_EVENT_STR	? json_is_string(v)
		       : value == MF_EVENT_INT	? json_is_integer(v)
		       : value == MF_EVENT_BOOL ? json_is_boolean(v)
						: json_is_array(v);
		if (!good)
			fail_msg("example of %s: %s has the wrong type", info->name, key);
	}
	p->example[p->type] = true;
	json_decref(j);
}

static void read_heading(struct page *p, const char *line)
{
	char name[64];

	if (sscanf(line, "### `%63[^`]`", name) != 1)
		fail_msg("heading names no type: %s", line);
	p->type = find_type(name);
	if (p->type < 0)
		fail_msg("the code has no type %s", name);
	assert_false(p->seen[p->type]);
	p->seen[p->type] = true;
}

static void the_page_and_the_code_have_the_same_types_and_fields(void **state)
{
	FILE *f = fopen(MF_SOURCE_DIR "/docs/events.md", "r");
	struct page p = { .type = -1 };
	char line[4096];

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "## ", 3) == 0)
			p.type = -1;
		else if (strncmp(line, "### ", 4) == 0)
			read_heading(&p, line);
		else if (p.type >= 0 && strncmp(line, "| `", 3) == 0)
			read_row(&p, line);
		else if (p.type >= 0 && line[0] == '{')
			read_example(&p, line);
		else if (p.type >= 0 && strstr(line, "*Urgent.*"))
			p.urgent[p.type] = true;
	}
	fclose(f);
	for (int t = 0; t < MF_EV_NUM; t++) {
		const struct mf_event_type_info *info = mf_event_type_info(t);

		if (!p.seen[t] || !p.example[t])
			fail_msg("docs/events.md lacks %s or its example", info->name);
		if (p.rows[t] != info->field_cnt)
			fail_msg("docs/events.md has %zu fields of %s, the code %zu", p.rows[t],
				 info->name, info->field_cnt);
		if (p.urgent[t] != info->urgent)
			fail_msg("%s: urgent in one place only", info->name);
	}
}

static void every_field_belongs_to_a_type_and_names_are_unique(void **state)
{
	bool used[MF_EVF_NUM] = { false };

	(void)state;
	for (int t = 0; t < MF_EV_NUM; t++) {
		const struct mf_event_type_info *info = mf_event_type_info(t);

		assert_int_equal(find_type(info->name), t);
		for (size_t i = 0; i < info->field_cnt; i++)
			used[info->fields[i]] = true;
	}
	for (int f = 0; f < MF_EVF_NUM; f++) {
		if (!used[f])
			fail_msg("no type has the field %s", mf_event_field_name(f));
		for (int g = 0; g < f; g++)
			assert_string_not_equal(mf_event_field_name(f), mf_event_field_name(g));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_and_the_code_have_the_same_types_and_fields),
		cmocka_unit_test(every_field_belongs_to_a_type_and_names_are_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
