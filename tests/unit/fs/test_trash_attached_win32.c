/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_trash_attached_win32.c - what hangs on a file of Windows beside its content: named streams, access lists, holes; and on
 * a directory: attributes, access lists
 *
 * Each goes to the trash and back in every way: moved, copied before a truncation, and copied to another volume. A volume (and
 * wine, which has no streams and no sparse files) that cannot hold it says so, and is left out.
 */
#include "tests/unit/fs/trash_support_win32.h"

#include <sddl.h>
#include <winioctl.h>

/* ---- what hangs on a file ---- */

struct attached {
	const char *what;
	/* Give it to the file; Return: false: the volume of it has none */
	bool (*give)(const char *path);
	/* Fill in what it has, as text */
	void (*tell)(const char *path, char *buf, size_t room);
};

static HANDLE opened(const char *path, DWORD access, DWORD how)
{
	return CreateFileA(path, access, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, how, 0, NULL);
}

static bool write_at(const char *path, DWORD how, LONG off, const char *text)
{
	HANDLE h = opened(path, GENERIC_WRITE, how);
	DWORD put;
	bool ok = h != INVALID_HANDLE_VALUE;

	ok = ok && SetFilePointer(h, off, NULL, FILE_BEGIN) == (DWORD)off &&
	     WriteFile(h, text, (DWORD)strlen(text), &put, NULL);
	if (h != INVALID_HANDLE_VALUE)
		CloseHandle(h);
	return ok;
}

static void tell_streams(const char *path, char *buf, size_t room)
{
	WIN32_FIND_STREAM_DATA found;
	wchar_t wide[MAX_PATH];
	char stream[1400], text[64];
	HANDLE list, h;
	DWORD got;

	MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, MAX_PATH);
	buf[0] = '\0';
	list = FindFirstStreamW(wide, FindStreamInfoStandard, &found, 0);
	if (list == INVALID_HANDLE_VALUE)
		return;
	do {
		snprintf(stream, sizeof(stream), "%s%ls", path, found.cStreamName);
		h = opened(stream, GENERIC_READ, OPEN_EXISTING);
		got = 0;
		if (h != INVALID_HANDLE_VALUE) {
			(void)ReadFile(h, text, sizeof(text) - 1, &got, NULL);
			CloseHandle(h);
		}
		text[got] = '\0';
		snprintf(buf + strlen(buf), room - strlen(buf), "%ls=%s;", found.cStreamName, text);
	} while (FindNextStreamW(list, &found));
	FindClose(list);
}

static bool give_streams(const char *path)
{
	char stream[1400], buf[256];

	snprintf(stream, sizeof(stream), "%s:note", path);
	if (!write_at(stream, CREATE_ALWAYS, 0, "on the side"))
		return false;
	snprintf(stream, sizeof(stream), "%s:Zone.Identifier", path);
	(void)write_at(stream, CREATE_ALWAYS, 0, "[ZoneTransfer]");
	tell_streams(path, buf, sizeof(buf));
	return strstr(buf, ":note:$DATA=on the side;");
}

static void tell_access(const char *path, char *buf, size_t room)
{
	union {
		SECURITY_DESCRIPTOR sd;
		char room[4096];
	} sd;
	DWORD got;
	char *text = NULL;

	buf[0] = '\0';
	if (!GetFileSecurityA(path, DACL_SECURITY_INFORMATION, &sd, sizeof(sd), &got) ||
	    !ConvertSecurityDescriptorToStringSecurityDescriptorA(
		    &sd, SDDL_REVISION_1, DACL_SECURITY_INFORMATION, &text, NULL))
		return;
	snprintf(buf, room, "%s", text);
	LocalFree(text);
}

/* One that it has not by being where it is: nobody but administrators and the system may write, nobody else may read. */
static bool give_access(const char *path)
{
	PSECURITY_DESCRIPTOR sd;
	char before[512], after[512];
	bool ok;

	tell_access(path, before, sizeof(before));
	if (!ConvertStringSecurityDescriptorToSecurityDescriptorA("D:P(A;;FA;;;BA)(A;;FA;;;SY)",
								  SDDL_REVISION_1, &sd, NULL))
		return false;
	ok = SetFileSecurityA(path, DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
			      sd);
	LocalFree(sd);
	tell_access(path, after, sizeof(after));
	return ok && *after && strcmp(before, after) != 0;
}

#define FAR_OFF (8 << 20)

static void tell_holes(const char *path, char *buf, size_t room)
{
	DWORD high = 0, got = 0, attrs = GetFileAttributesA(path);
	DWORD low = GetCompressedFileSizeA(path, &high);
	char end[8] = "";
	HANDLE h = opened(path, GENERIC_READ, OPEN_EXISTING);

	if (h != INVALID_HANDLE_VALUE) {
		SetFilePointer(h, FAR_OFF, NULL, FILE_BEGIN);
		(void)ReadFile(h, end, sizeof(end) - 1, &got, NULL);
		CloseHandle(h);
	}
	snprintf(buf, room, "%s, %s, %s", attrs & FILE_ATTRIBUTE_SPARSE_FILE ? "sparse" : "whole",
		 high || low > FAR_OFF / 2 ? "large" : "small", end);
}

static bool give_holes(const char *path)
{
	HANDLE h = opened(path, GENERIC_WRITE, OPEN_EXISTING);
	char buf[64];
	DWORD got;
	bool ok = h != INVALID_HANDLE_VALUE &&
		  DeviceIoControl(h, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &got, NULL);

	if (h != INVALID_HANDLE_VALUE)
		CloseHandle(h);
	if (!ok || !write_at(path, OPEN_EXISTING, FAR_OFF, "end"))
		return false;
	tell_holes(path, buf, sizeof(buf));
	return !strcmp(buf, "sparse, small, end");
}

static const struct attached streams = { "named streams", give_streams, tell_streams };
static const struct attached access_list = { "access lists", give_access, tell_access };
static const struct attached holes = { "holes", give_holes, tell_holes };

/* ---- there and back ---- */

/* Return: false: there is none here */
static bool there_and_back(struct place *p, const struct attached *a, enum mf_trash_how how)
{
	struct mf_trash_target target = { .replace = how == MF_TRASH_COPY };
	char before[1024], after[1024], token[MF_TRASH_TOKEN_MAX];
	struct mf_trash_result result;
	struct mf_err err = { 0 };

	(void)DeleteFileA(host_path(p, "a"));
	write_text(host_path(p, "a"), "content");
	if (!a->give(host_path(p, "a")))
		return false;
	a->tell(host_path(p, "a"), before, sizeof(before));
	assert_int_equal(place_put(p, "/a", how,
				   how == MF_TRASH_COPY ? MF_TRASH_TRUNCATE : MF_TRASH_DELETE,
				   token),
			 0);
	assert_true(mf_trash_token_ok(token));
	if (mf_trash_restore(p->t, token, &target, &result, &err) < 0)
		fail_msg("%s", err.msg);
	a->tell(host_path(p, "a"), after, sizeof(after));
	assert_string_equal(after, before);
	return true;
}

static bool every_way(const struct attached *a)
{
	char second[1300];
	struct place p;
	bool there;

	place_make(&p);
	place_trash(&p, (struct mf_trash_options){ 0 });
	there = there_and_back(&p, a, MF_TRASH_MOVE) && there_and_back(&p, a, MF_TRASH_COPY);
	mf_trash_close(p.t);
	p.t = NULL;
	snprintf(second, sizeof(second), "Z:/dev/shm/mf-attached-%lu",
		 (unsigned long)GetCurrentProcessId());
	if (there && test_make_dir(second) == 0) { /* real Windows: no second volume is known */
		snprintf(p.trash, sizeof(p.trash), "%s/trash", second);
		place_trash(&p, (struct mf_trash_options){ 0 });
		assert_true(there_and_back(&p, a, MF_TRASH_MOVE));
		mf_trash_close(p.t);
		p.t = NULL;
		test_remove_tree(second);
	}
	place_done(&p);
	if (!there)
		print_message("this volume, or wine, has no %s: they are left out\n", a->what);
	return there;
}

static void test_streams(void **state)
{
	(void)state;
	if (!every_way(&streams))
		skip();
}

static void test_access_lists(void **state)
{
	(void)state;
	if (!every_way(&access_list))
		skip();
}

static void test_holes(void **state)
{
	(void)state;
	if (!every_way(&holes))
		skip();
}

/* Without the attribute, too: what lies behind a hole is there again, and what is not there is read as zeros. */
static void test_content_behind_a_hole(void **state)
{
	char token[MF_TRASH_TOKEN_MAX], *text;
	struct mf_trash_result result;
	struct mf_err err = { 0 };
	struct place p;
	FILE *f;
	(void)state;

	place_make(&p);
	place_trash(&p, (struct mf_trash_options){ 0 });
	write_text(host_path(&p, "a"), "begin");
	(void)give_holes(host_path(&p, "a"));
	assert_true(write_at(host_path(&p, "a"), OPEN_EXISTING, FAR_OFF, "end"));
	assert_int_equal(place_put(&p, "/a", MF_TRASH_COPY, MF_TRASH_TRUNCATE, token), 0);
	assert_int_equal(mf_trash_restore(p.t, token, &(struct mf_trash_target){ .replace = true },
					  &result, &err),
			 0);
	text = malloc(FAR_OFF + 4);
	f = fopen(host_path(&p, "a"), "rb");
	assert_non_null(text);
	assert_non_null(f);
	assert_int_equal(fread(text, 1, FAR_OFF + 4, f), FAR_OFF + 3);
	fclose(f);
	assert_memory_equal(text, "begin", 6);
	assert_memory_equal(text + FAR_OFF, "end", 3);
	for (size_t i = 5; i < FAR_OFF; i++)
		assert_int_equal(text[i], 0);
	free(text);
	place_done(&p);
}

/* ---- directories, which are made anew ---- */

#define DIR_ATTRS (FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_ATTRIBUTE_READONLY)

static bool give_attributes(const char *path)
{
	return SetFileAttributesA(path, FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM) &&
	       (GetFileAttributesA(path) & DIR_ATTRS) ==
		       (FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM);
}

static void tell_attributes(const char *path, char *buf, size_t room)
{
	snprintf(buf, room, "%#lx", GetFileAttributesA(path) & DIR_ATTRS);
}

static const struct attached attributes = { "attributes of directories", give_attributes,
					    tell_attributes };

static void tell_dir_time(const char *path, FILETIME *ret)
{
	WIN32_FILE_ATTRIBUTE_DATA data;

	assert_true(GetFileAttributesExA(path, GetFileExInfoStandard, &data));
	*ret = data.ftLastWriteTime;
}

/* work/d with a file in it; both are removed. @one: the file alone is restored, and d is made on the way. */
static void lose_and_restore_dir(struct place *p, const struct attached *a, bool one)
{
	char before[1024], after[1024], bare[1024], file[MF_TRASH_TOKEN_MAX],
		dir[MF_TRASH_TOKEN_MAX];
	FILETIME was, is;
	struct mf_err err = { 0 };

	a->tell(host_path(p, "d"), before, sizeof(before));
	assert_int_equal(place_put(p, "/d/f", MF_TRASH_MOVE, MF_TRASH_DELETE, file), 0);
	tell_dir_time(host_path(p, "d"), &was);
	assert_int_equal(place_put(p, "/d", MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR, dir), 0);
	assert_false(is_there(host_path(p, "d")));
	/* What a directory has that is only made. */
	assert_true(CreateDirectoryA(host_path(p, "other"), NULL));
	a->tell(host_path(p, "other"), bare, sizeof(bare));
	assert_true(RemoveDirectoryA(host_path(p, "other")));
	assert_string_not_equal(bare, before);
	if (one) {
		struct mf_trash_result result;

		if (mf_trash_restore(p->t, file, &(struct mf_trash_target){ 0 }, &result, &err) < 0)
			fail_msg("%s", err.msg);
	} else {
		struct mf_trash_undone done;
		const struct mf_trash_undo undo = { .session = "s" };

		if (mf_trash_undo(p->t, &undo, &done, &err) < 0)
			fail_msg("%s", err.msg);
		assert_int_equal(done.restored, 2);
		assert_int_equal(done.failed, 0);
	}
	a->tell(host_path(p, "d"), after, sizeof(after));
	assert_string_equal(after, before);
	tell_dir_time(host_path(p, "d"), &is);
	assert_int_equal(CompareFileTime(&was, &is), 0);
	assert_string_equal(read_text(host_path(p, "d/f")), "content");
	/* Nothing of it stays in the trash. */
	assert_int_equal(mf_trash_find(p->t, dir, 0, NULL, NULL, &err), MF_E_NOENT);
}

static bool directories(const struct attached *a)
{
	struct place p;
	bool there;

	place_make(&p);
	place_trash(&p, (struct mf_trash_options){ 0 });
	assert_true(CreateDirectoryA(host_path(&p, "d"), NULL));
	write_text(host_path(&p, "d/f"), "content");
	there = a->give(host_path(&p, "d"));
	if (there) {
		lose_and_restore_dir(&p, a, false);
		lose_and_restore_dir(&p, a, true);
	}
	place_done(&p);
	if (!there)
		print_message("this volume, or wine, has no %s: they are left out\n", a->what);
	return there;
}

static void test_attributes_of_directories(void **state)
{
	(void)state;
	if (!directories(&attributes))
		skip();
}

static void test_access_lists_of_directories(void **state)
{
	(void)state;
	if (!directories(&access_list))
		skip();
}

/* Records without them, as older programs and other volumes leave them, and one with an access list that is none. */
static void test_other_records(void **state)
{
	static const struct {
		const char *from, *put; /* what the record goes on with from there */
		bool refused;
	} cases[] = {
		{ " attributes=", "", false },
		{ " access=", "", false },
		{ " access=", " access=D:(nonsense", true },
	};
	char token[MF_TRASH_TOKEN_MAX], path[1300], text[8192], *at;
	struct mf_err err = { 0 };
	(void)state;

	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct place p;
		size_t n;
		FILE *f;
		int r;

		place_make(&p);
		place_trash(&p, (struct mf_trash_options){ 0 });
		assert_true(CreateDirectoryA(host_path(&p, "d"), NULL));
		assert_int_equal(place_put(&p, "/d", MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR, token), 0);
		snprintf(path, sizeof(path), "%s/moonfence/%s", p.trash, token);
		f = fopen(path, "rb");
		assert_non_null(f);
		n = fread(text, 1, sizeof(text) - 64, f);
		fclose(f);
		text[n] = '\0';
		at = strstr(text, cases[i].from);
		assert_non_null(at);
		strcpy(at, cases[i].put);
		write_text(path, text);
		r = mf_trash_restore(p.t, token, &(struct mf_trash_target){ 0 }, NULL, &err);
		assert_int_equal(r, cases[i].refused ? MF_E_IO : 0);
		assert_true(is_there(host_path(&p, "d")));
		assert_int_equal(is_there(path), cases[i].refused);
		place_done(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_access_lists),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_content_behind_a_hole),
		cmocka_unit_test(test_attributes_of_directories),
		cmocka_unit_test(test_access_lists_of_directories),
		cmocka_unit_test(test_other_records),
	};

	return cmocka_run_group_tests_name("fs_trash_attached_win32", tests, NULL, NULL);
}
