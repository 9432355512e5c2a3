/* SPDX-License-Identifier: Apache-2.0 */
/* test_trash_win32.c - the trash of Windows as a library: what comes back as it was, hashes, limits, another volume, the dead */
#include "tests/unit/fs/trash_support_win32.h"

#include "core/base/win32.h"

struct seen {
	char token[MF_TRASH_TOKEN_MAX], sha256[MF_TRASH_HASH_HEX], path[1300], file[256];
	enum mf_trash_op op;
	size_t cnt;
};

static int see(void *ctx, const struct mf_trash_entry *e)
{
	struct seen *s = ctx;

	snprintf(s->token, sizeof(s->token), "%s", e->token);
	snprintf(s->sha256, sizeof(s->sha256), "%s", e->sha256);
	snprintf(s->path, sizeof(s->path), "%s", e->path);
	snprintf(s->file, sizeof(s->file), "%s", e->file);
	s->op = e->op;
	s->cnt++;
	return 0;
}

static struct seen list(struct place *p, struct mf_trash_filter filter)
{
	struct seen s = { .cnt = 0 };
	struct mf_err err = { 0 };

	if (mf_trash_list(p->t, &filter, see, &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static int restore(struct place *p, const char *what, bool replace, struct mf_trash_result *ret)
{
	struct mf_err err = { 0 };
	int r = mf_trash_restore(p->t, what, &(struct mf_trash_target){ .replace = replace }, ret,
				 &err);

	if (r < 0)
		print_message("(%s)\n", err.msg);
	return r;
}

static void test_there_and_back(void **state)
{
	char token[MF_TRASH_TOKEN_MAX];
	struct mf_trash_result result;
	struct place p;
	(void)state;

	place_make(&p);
	place_trash(&p, (struct mf_trash_options){ 0 });
	write_text(host_path(&p, "a.txt"), "content");
	assert_int_equal(place_put(&p, "/a.txt", MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	assert_false(is_there(host_path(&p, "a.txt")));
	/* By its path in any letters, with the filters folding them as well. */
	assert_int_equal(list(&p, (struct mf_trash_filter){ .path = record_path(&p, "A.TXT") }).cnt,
			 1);
	assert_int_equal(list(&p, (struct mf_trash_filter){ .glob = "**/A.*" }).cnt, 1);
	assert_int_equal(list(&p, (struct mf_trash_filter){ .glob = "**/B.*" }).cnt, 0);
	assert_int_equal(list(&p, (struct mf_trash_filter){ .session = "other" }).cnt, 0);
	assert_int_equal(restore(&p, record_path(&p, "A.Txt"), false, &result), 0);
	assert_string_equal(read_text(host_path(&p, "a.txt")), "content");
	assert_int_equal(list(&p, (struct mf_trash_filter){ 0 }).cnt, 0);
	assert_int_equal(restore(&p, token, false, &result), MF_E_NOENT);

	/* Not over what is there, unless told to; then that is kept. */
	assert_int_equal(place_put(&p, "/a.txt", MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	write_text(host_path(&p, "a.txt"), "new");
	assert_int_equal(restore(&p, token, false, &result), MF_E_EXIST);
	assert_int_equal(restore(&p, token, true, &result), 0);
	assert_string_equal(read_text(host_path(&p, "a.txt")), "content");
	assert_int_equal(restore(&p, result.replaced, true, &result), 0);
	assert_string_equal(read_text(host_path(&p, "a.txt")), "new");

	/* A cancelled copy is forgotten; a cancelled move comes back. */
	assert_int_equal(place_put(&p, "/a.txt", MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	assert_int_equal(mf_trash_cancel(p.t, token), 0);
	assert_string_equal(read_text(host_path(&p, "a.txt")), "new");
	place_done(&p);
}

/* Attributes, times and holes of what is copied. */
static void test_copies_are_whole(void **state)
{
	WIN32_FILE_ATTRIBUTE_DATA before, after;
	FILETIME made = { 0x11112222, 0x01d90000 }, written = { 0x33334444, 0x01d91111 };
	char token[MF_TRASH_TOKEN_MAX];
	struct mf_trash_result result;
	struct place p;
	HANDLE h;
	(void)state;

	place_make(&p);
	place_trash(&p, (struct mf_trash_options){ 0 });
	write_text(host_path(&p, "a"), "content");
	h = CreateFileA(host_path(&p, "a"), FILE_WRITE_ATTRIBUTES, 0, NULL, OPEN_EXISTING, 0, NULL);
	assert_true(SetFileTime(h, &made, NULL, &written));
	CloseHandle(h);
	assert_true(SetFileAttributesA(host_path(&p, "a"), FILE_ATTRIBUTE_HIDDEN));
	assert_true(GetFileAttributesExA(host_path(&p, "a"), GetFileExInfoStandard, &before));
	assert_int_equal(place_put(&p, "/a", MF_TRASH_COPY, MF_TRASH_TRUNCATE, token), 0);
	assert_string_equal(read_text(host_path(&p, "a")), "");
	assert_int_equal(restore(&p, token, true, &result), 0);
	assert_string_equal(read_text(host_path(&p, "a")), "content");
	assert_true(GetFileAttributesExA(host_path(&p, "a"), GetFileExInfoStandard, &after));
	assert_int_equal(after.dwFileAttributes, before.dwFileAttributes);
	assert_memory_equal(&after.ftLastWriteTime, &before.ftLastWriteTime, sizeof(FILETIME));
	place_done(&p);
}

static void test_hashes(void **state)
{
	char token[MF_TRASH_TOKEN_MAX], file[1400];
	struct mf_trash_result result;
	struct mf_err err = { 0 };
	struct seen seen;
	struct place p;
	WIN32_FIND_DATAA found;
	HANDLE h;
	(void)state;

	place_make(&p);
	place_trash(&p, (struct mf_trash_options){ .hash_max = 100, .background = true });
	write_text(host_path(&p, "a"), "abc");
	assert_int_equal(place_put(&p, "/a", MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	mf_trash_drain(p.t);
	seen = list(&p, (struct mf_trash_filter){ .hashes = true });
	assert_string_equal(seen.sha256,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	/* Somebody writes into the trash. */
	snprintf(file, sizeof(file), "%s/files/*", p.trash);
	h = FindFirstFileA(file, &found);
	while (found.cFileName[0] == '.')
		assert_true(FindNextFileA(h, &found));
	FindClose(h);
	snprintf(file, sizeof(file), "%s/files/%s", p.trash, found.cFileName);
	write_text(file, "abd");
	assert_int_equal(restore(&p, token, false, &result), MF_E_BAD);
	assert_false(is_there(host_path(&p, "a")));
	assert_int_equal(mf_trash_restore(p.t, token,
					  &(struct mf_trash_target){ .no_verify = true }, &result,
					  &err),
			 0);
	assert_string_equal(read_text(host_path(&p, "a")), "abd");
	/* Nothing of it is left. */
	snprintf(file, sizeof(file), "%s/moonfence/%s.json", p.trash, token);
	assert_false(is_there(file));
	place_done(&p);
}

static void test_limits(void **state)
{
	char token[MF_TRASH_TOKEN_MAX], name[16];
	struct mf_trash_options o = { .keep = { .max_count = 3 } };
	struct mf_trash_purged purged;
	struct mf_err err = { 0 };
	struct place p;
	(void)state;

	place_make(&p);
	place_trash(&p, o);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "/f%d", i);
		write_text(host_path(&p, name + 1), "12345");
		assert_int_equal(place_put(&p, name, MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	}
	mf_trash_tick(p.t);
	assert_int_equal(list(&p, (struct mf_trash_filter){ 0 }).cnt, 3);
	/* The newest are those that stay. */
	assert_int_equal(list(&p, (struct mf_trash_filter){ .path = record_path(&p, "f2") }).cnt,
			 0);
	assert_int_equal(list(&p, (struct mf_trash_filter){ .path = record_path(&p, "f3") }).cnt,
			 1);
	assert_int_equal(mf_trash_purge(p.t, &(struct mf_trash_purge){ .keep = { .max_bytes = 5 } },
					&purged, &err),
			 0);
	assert_int_equal(purged.count, 2);
	assert_int_equal(purged.bytes, 10);
	/* A limit that one file passes alone: no room. */
	mf_trash_close(p.t);
	place_trash(&p, (struct mf_trash_options){ .keep = { .max_bytes = 3 } });
	write_text(host_path(&p, "big"), "12345");
	assert_int_equal(place_put(&p, "/big", MF_TRASH_MOVE, MF_TRASH_DELETE, token), -ENOSPC);
	assert_string_equal(read_text(host_path(&p, "big")), "12345");
	mf_trash_close(p.t);
	place_trash(&p, (struct mf_trash_options){ .keep = { .max_bytes = 3 },
						   .on_full = MF_TRASH_FULL_DELETE });
	assert_int_equal(place_put(&p, "/big", MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	assert_string_equal(token, "");
	assert_false(is_there(host_path(&p, "big")));
	place_done(&p);
}

/* Of each path what it held first, whatever the letters' case. */
static void test_undo(void **state)
{
	const struct mf_winfsp_timespec old[2] = { { 981173106, 0 }, { 981173106, 700 } };
	char token[MF_TRASH_TOKEN_MAX];
	struct mf_trash_undone undone;
	struct mf_winfsp_stat st;
	void *h;
	struct mf_err err = { 0 };
	struct place p;
	(void)state;

	place_make(&p);
	place_trash(&p, (struct mf_trash_options){ 0 });
	assert_int_equal(test_make_dir(host_path(&p, "dir")), 0);
	write_text(host_path(&p, "dir/a"), "first");
	assert_int_equal(place_put(&p, "/dir/a", MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	write_text(host_path(&p, "dir/A"), "second");
	assert_int_equal(place_put(&p, "/dir/a", MF_TRASH_MOVE, MF_TRASH_REPLACE, token), 0);
	assert_int_equal(mf_wsource_open_at(p.src, "/dir", MF_WSOURCE_SET, &h, NULL), 0);
	assert_int_equal(mf_wsource_set_times(h, old), 0);
	mf_wsource_close_handle(h);
	assert_int_equal(place_put(&p, "/dir", MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR, token), 0);
	assert_false(is_there(host_path(&p, "dir")));
	assert_int_equal(
		mf_trash_undo(p.t, &(struct mf_trash_undo){ .session = "s" }, &undone, &err), 0);
	assert_int_equal(undone.failed, 0);
	assert_int_equal(undone.restored, 2);
	assert_string_equal(read_text(host_path(&p, "dir/a")), "first");
	/* What came into it again has not changed its time. */
	assert_int_equal(mf_wsource_open_at(p.src, "/dir", MF_WSOURCE_LOOK, &h, NULL), 0);
	assert_int_equal(mf_wsource_stat(h, &st, NULL), 0);
	assert_int_equal(st.mtime.sec, old[1].sec);
	assert_int_equal(st.mtime.nsec, old[1].nsec);
	mf_wsource_close_handle(h);
	place_done(&p);
}

/* Somebody has put a directory where a file was kept. */
static void test_another_kind(void **state)
{
	char token[MF_TRASH_TOKEN_MAX], kept[1400];
	struct mf_trash_result result;
	struct mf_err err = { 0 };
	struct place p;
	(void)state;

	place_make(&p);
	place_trash(&p, (struct mf_trash_options){ 0 });
	write_text(host_path(&p, "a"), "text");
	assert_int_equal(place_put(&p, "/a", MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	snprintf(kept, sizeof(kept), "%s/files/%s", p.trash,
		 list(&p, (struct mf_trash_filter){ 0 }).file);
	assert_true(DeleteFileA(kept));
	assert_int_equal(test_make_dir(kept), 0);
	assert_int_equal(
		mf_trash_restore(p.t, token, &(struct mf_trash_target){ 0 }, &result, &err),
		MF_E_BAD);
	assert_non_null(strstr(err.msg, "another kind of file"));
	assert_false(is_there(host_path(&p, "a")));
	place_done(&p);
}

/* Trash and files on two volumes: copied, and only then removed. */
static void test_another_volume(void **state)
{
	char token[MF_TRASH_TOKEN_MAX], second[1300];
	WIN32_FILE_ATTRIBUTE_DATA before, after;
	struct mf_trash_result result;
	struct place p;
	FILE *f;
	(void)state;

	place_make(&p);
	snprintf(second, sizeof(second), "Z:/dev/shm/mf-trash-%lu",
		 (unsigned long)GetCurrentProcessId());
	if (test_make_dir(second) != 0) {
		place_done(&p);
		skip(); /* real Windows: no second volume is known */
	}
	snprintf(p.trash, sizeof(p.trash), "%s/trash", second);
	place_trash(&p, (struct mf_trash_options){ 0 });
	f = fopen(host_path(&p, "a"), "wb");
	for (int i = 0; i < 700000; i++)
		fprintf(f, "%d\n", i);
	fclose(f);
	assert_true(GetFileAttributesExA(host_path(&p, "a"), GetFileExInfoStandard, &before));
	assert_int_equal(place_put(&p, "/a", MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	assert_false(is_there(host_path(&p, "a")));
	assert_int_equal(restore(&p, token, false, &result), 0);
	assert_true(GetFileAttributesExA(host_path(&p, "a"), GetFileExInfoStandard, &after));
	assert_int_equal(after.nFileSizeLow, before.nFileSizeLow);
	assert_memory_equal(&after.ftLastWriteTime, &before.ftLastWriteTime, sizeof(FILETIME));
	assert_int_equal(list(&p, (struct mf_trash_filter){ 0 }).cnt, 0);
	/* Over what is there. */
	assert_int_equal(place_put(&p, "/a", MF_TRASH_COPY, MF_TRASH_TRUNCATE, token), 0);
	assert_int_equal(restore(&p, token, true, &result), 0);
	assert_true(GetFileAttributesExA(host_path(&p, "a"), GetFileExInfoStandard, &after));
	assert_int_equal(after.nFileSizeLow, before.nFileSizeLow);
	mf_trash_close(p.t);
	p.t = NULL;
	test_remove_tree(second);
	place_done(&p);
}

/* Two that have the trash open at once: what the other does is left alone. */
static void test_two_at_once(void **state)
{
	char token[MF_TRASH_TOKEN_MAX], file[1400];
	struct mf_trash_repaired repaired;
	struct mf_err err = { 0 };
	struct place p, q;
	(void)state;

	place_make(&p);
	place_at(&q, p.base);
	place_trash(&p, (struct mf_trash_options){ 0 });
	place_trash(&q, (struct mf_trash_options){ 0 });
	write_text(host_path(&p, "a"), "a");
	assert_int_equal(place_put(&p, "/a", MF_TRASH_MOVE, MF_TRASH_DELETE, token), 0);
	/* As if its payload were still to come. */
	snprintf(file, sizeof(file), "%s/moonfence/%s", p.trash, token);
	assert_int_equal(mf_trash_repair(q.t, &repaired, &err), 0);
	assert_int_equal(repaired.looked_at, 1);
	assert_int_equal(repaired.rolled_back, 0);
	assert_true(is_there(file));
	mf_trash_close(q.t);
	mf_wsource_close(q.src);
	place_done(&p);
}

/* What lies in the trash is not believed. */
static void test_hostile_records(void **state)
{
	static const char *const records[] = {
		"",
		"mf1",
		"mf1 how=move op=delete file=../../work/victim path=/C:/x",
		"mf1 how=move op=delete file=x path=relative",
		"mf1 how=move op=delete file=CON path=/C:/../x",
		"mf1 how=move how=move",
	};
	char file[1400], token[MF_TRASH_TOKEN_MAX] = "31ne1fgkhvqj71n0qt3g6l1rfm1s0qkp2v9bfrs";
	struct mf_trash_repaired repaired;
	struct mf_trash_result result;
	struct mf_err err = { 0 };
	struct place p;
	(void)state;

	place_make(&p);
	place_trash(&p, (struct mf_trash_options){ 0 });
	write_text(host_path(&p, "victim"), "v");
	for (size_t i = 0; i < MF_ARRAY_SIZE(records); i++) {
		snprintf(file, sizeof(file), "%s/moonfence/%s", p.trash, token);
		write_text(file, records[i]);
		assert_true(restore(&p, token, true, &result) < 0);
		assert_int_equal(mf_trash_repair(p.t, &repaired, &err), 0);
		assert_int_equal(list(&p, (struct mf_trash_filter){ 0 }).cnt, 0);
	}
	assert_int_equal(restore(&p, "..\\work\\victim", true, &result), MF_E_NOENT);
	assert_int_equal(restore(&p, "x:stream", true, &result), MF_E_NOENT);
	assert_string_equal(read_text(host_path(&p, "victim")), "v");
	place_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_copies_are_whole),
		cmocka_unit_test(test_hashes),	       cmocka_unit_test(test_limits),
		cmocka_unit_test(test_undo),	       cmocka_unit_test(test_another_volume),
		cmocka_unit_test(test_two_at_once),    cmocka_unit_test(test_hostile_records),
		cmocka_unit_test(test_another_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
