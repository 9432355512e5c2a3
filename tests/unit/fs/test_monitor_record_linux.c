/* SPDX-License-Identifier: Apache-2.0 */
/* test_monitor_record_linux.c - fanotify's records taken apart; cut off at each byte they are refused or complete */
#include "tests/unit/test.h"

#include <string.h>

#include "core/base/err.h"
#include "fs/monitor_record_linux.h"

struct record {
	uint8_t bytes[512];
	size_t len;
};

static void add(struct record *r, const void *ptr, size_t len)
{
	memcpy(r->bytes + r->len, ptr, len);
	r->len += len;
}

static void begin(struct record *r, uint64_t mask, int32_t pid)
{
	struct fanotify_event_metadata meta = { .vers = FANOTIFY_METADATA_VERSION,
						.metadata_len = sizeof(meta),
						.mask = mask,
						.fd = FAN_NOFD,
						.pid = pid };

	r->len = 0;
	add(r, &meta, sizeof(meta));
}

/* One info record: file system 8 x 7, handle of @cnt bytes, a name */
static void add_info(struct record *r, uint8_t type, uint8_t byte, uint32_t cnt, const char *name)
{
	struct fanotify_event_info_header head = { .info_type = type };
	uint8_t fsid[8] = { 7, 7, 7, 7, 7, 7, 7, 7 }, handle[64];
	int32_t handle_type = 1;
	size_t name_len = name ? strlen(name) + 1 : 0, pad;

	memset(handle, byte, sizeof(handle));
	head.len = (uint16_t)((sizeof(head) + 16 + cnt + name_len + 3) & ~3u);
	pad = head.len - (sizeof(head) + 16 + cnt + name_len);
	add(r, &head, sizeof(head));
	add(r, fsid, 8);
	add(r, &cnt, 4);
	add(r, &handle_type, 4);
	add(r, handle, cnt);
	if (name)
		add(r, name, name_len);
	add(r, "\0\0\0", pad);
}

static void end(struct record *r)
{
	uint32_t len = (uint32_t)r->len;

	memcpy(r->bytes, &len, sizeof(len));
}

static void a_rename_has_two_names(void **state)
{
	struct mf_monitor_record got;
	struct record r;
	struct mf_span data;

	(void)state;
	begin(&r, FAN_RENAME, 42);
	add_info(&r, 10, 1, 8, "old\nname");
	add_info(&r, 12, 2, 12, "\xff");
	add_info(&r, FAN_EVENT_INFO_TYPE_FID, 3, 8, NULL);
	add_info(&r, 99, 4, 8, "of a later kernel");
	end(&r);
	data = mf_span_of(r.bytes, r.len);
	assert_int_equal(mf_monitor_record_next(&data, &got), 1);
	assert_int_equal(got.pid, 42);
	assert_true(got.mask == FAN_RENAME);
	assert_true(mf_span_eq(got.name, mf_span_str("old\nname")));
	assert_true(mf_span_eq(got.new_name, mf_span_str("\xff")));
	assert_int_equal(got.dir.len, 8 + 8 + 8);
	assert_int_equal(got.new_dir.len, 8 + 8 + 12);
	assert_int_equal(got.object.ptr[16], 3);
	assert_int_equal(mf_monitor_record_next(&data, &got), 0);
}

static void overflow_has_nothing_else(void **state)
{
	struct mf_monitor_record got;
	struct record r;
	struct mf_span data;

	(void)state;
	begin(&r, FAN_Q_OVERFLOW, 0);
	end(&r);
	data = mf_span_of(r.bytes, r.len);
	assert_int_equal(mf_monitor_record_next(&data, &got), 1);
	assert_true(got.mask & FAN_Q_OVERFLOW && !got.dir.len && !got.name.len && !got.object.len);
}

static void what_is_cut_off_is_refused(void **state)
{
	struct mf_monitor_record got;
	struct record r, cut;
	struct mf_span data;

	(void)state;
	begin(&r, FAN_CREATE, 1);
	add_info(&r, FAN_EVENT_INFO_TYPE_DFID_NAME, 1, 8, "name");
	end(&r);
	for (size_t len = 1; len < r.len; len++) {
		data = mf_span_of(r.bytes, len);
		assert_int_equal(mf_monitor_record_next(&data, &got), MF_E_BAD);
	}
	/* Lengths that lead out of it */
	for (size_t at = 0; at < r.len; at++) {
		cut = r;
		cut.bytes[at] = 0xff;
		data = mf_span_of(cut.bytes, cut.len);
		if (mf_monitor_record_next(&data, &got) == 1)
			for (const struct mf_span *s = &got.dir; s <= &got.object; s++)
				assert_true(!s->len || (s->ptr >= cut.bytes &&
							s->ptr + s->len <= cut.bytes + cut.len));
	}
	begin(&r, FAN_CREATE, 1);
	end(&r);
	r.bytes[4] = FANOTIFY_METADATA_VERSION + 1;
	data = mf_span_of(r.bytes, r.len);
	assert_int_equal(mf_monitor_record_next(&data, &got), MF_E_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rename_has_two_names),
		cmocka_unit_test(overflow_has_nothing_else),
		cmocka_unit_test(what_is_cut_off_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
