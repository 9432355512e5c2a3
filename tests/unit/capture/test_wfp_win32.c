/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wfp_win32.c - filters of the Windows Filtering Platform, added to a double that enforces what is documented
 *
 * The double answers with the platform's own codes where a call breaks a rule: unknown layer or sublayer, a missing display
 * name, a condition of the wrong type, an object without its transaction. Its objects go when a dynamic session is closed.
 */
#include "tests/unit/test.h"

#include "capture/wfp_win32.h"

#define FWP_NO_TXN	     0x8032000d
#define FWP_TXN_IN_PROGRESS  0x8032000e
#define FWP_NULL_NAME	     0x80320023
#define FWP_SUBLAYER_UNKNOWN 0x80320007
#define FWP_LAYER_UNKNOWN    0x80320004
#define FWP_TYPE_MISMATCH    0x80320027
#define FWP_WRONG_ACTION     0x80320024
#define ENGINE		     ((HANDLE)0x77)

static const GUID connect4 = {
	0xc38d57d1, 0x05a7, 0x4c33, { 0x90, 0x4f, 0x7f, 0xbc, 0xee, 0xe6, 0x0e, 0x82 }
};
static const GUID connect6 = {
	0x4a72393b, 0x319f, 0x44bc, { 0x84, 0xc3, 0xba, 0x54, 0xdc, 0xb3, 0xb6, 0xb4 }
};
static const GUID app_id = {
	0xd78e1e87, 0x8644, 0x4ea5, { 0x94, 0x37, 0xd8, 0x09, 0xec, 0xef, 0xc9, 0x71 }
};

static struct {
	bool open, dynamic, in_txn, has_sublayer;
	GUID sublayer;
	struct {
		char program[64];
		int family;
	} filters[64];
	unsigned filters_cnt, committed;
	DWORD open_code, sublayer_code, commit_code;
	unsigned fail_filter; /* the nth one is refused */
	int blobs;	      /* given out and not freed */
} bfe;

static DWORD WINAPI engine_open(const wchar_t *server, UINT32 authn, SEC_WINNT_AUTH_IDENTITY_W *id,
				const FWPM_SESSION0 *session, HANDLE *ret)
{
	if (bfe.open_code)
		return bfe.open_code;
	assert_null(server);
	assert_null(id);
	assert_true(authn == 10 || authn == 0xffffffff); // RPC_C_AUTHN_WINNT, _DEFAULT
	assert_false(bfe.open);
	bfe.open = true;
	bfe.dynamic = session && (session->flags & 1);
	*ret = ENGINE;
	return 0;
}

static DWORD WINAPI engine_close(HANDLE engine)
{
	if (engine != ENGINE || !bfe.open)
		return ERROR_INVALID_HANDLE;
	bfe.open = bfe.in_txn = false;
	if (bfe.dynamic) {
		bfe.filters_cnt = bfe.committed = 0;
		bfe.has_sublayer = false;
	}
	return 0;
}

static DWORD WINAPI txn_begin(HANDLE engine, UINT32 flags)
{
	if (engine != ENGINE || flags > 1)
		return ERROR_INVALID_PARAMETER;
	if (bfe.in_txn)
		return FWP_TXN_IN_PROGRESS;
	bfe.in_txn = true;
	return 0;
}

static DWORD WINAPI txn_commit(HANDLE engine)
{
	if (engine != ENGINE || !bfe.in_txn)
		return FWP_NO_TXN;
	bfe.in_txn = false;
	if (bfe.commit_code) {
		bfe.filters_cnt = bfe.committed;
		return bfe.commit_code;
	}
	bfe.committed = bfe.filters_cnt;
	return 0;
}

static DWORD WINAPI txn_abort(HANDLE engine)
{
	if (engine != ENGINE || !bfe.in_txn)
		return FWP_NO_TXN;
	bfe.in_txn = false;
	bfe.filters_cnt = bfe.committed;
	return 0;
}

static DWORD WINAPI sublayer_add(HANDLE engine, const FWPM_SUBLAYER0 *s, PSECURITY_DESCRIPTOR sd)
{
	static const GUID none;

	assert_true(engine == ENGINE && !sd);
	if (bfe.sublayer_code)
		return bfe.sublayer_code;
	if (!s->displayData.name || !*s->displayData.name)
		return FWP_NULL_NAME;
	// Nobody else's, and above everybody else's.
	assert_memory_not_equal(&s->subLayerKey, &none, sizeof(none));
	assert_int_equal(s->weight, 0xffff);
	bfe.sublayer = s->subLayerKey;
	bfe.has_sublayer = true;
	return 0;
}

static DWORD WINAPI filter_add(HANDLE engine, const FWPM_FILTER0 *f, PSECURITY_DESCRIPTOR sd,
			       UINT64 *ret_id)
{
	const FWPM_FILTER_CONDITION0 *c = f->filterCondition;
	int family = memcmp(&f->layerKey, &connect4, sizeof(GUID)) == 0	  ? 4
		     : memcmp(&f->layerKey, &connect6, sizeof(GUID)) == 0 ? 6
									  : 0;

	assert_true(engine == ENGINE && !sd);
	if (bfe.fail_filter && --bfe.fail_filter == 0)
		return ERROR_NOT_ENOUGH_MEMORY;
	if (!f->displayData.name || !*f->displayData.name)
		return FWP_NULL_NAME;
	if (!family)
		return FWP_LAYER_UNKNOWN;
	if (!bfe.has_sublayer || memcmp(&f->subLayerKey, &bfe.sublayer, sizeof(GUID)) != 0)
		return FWP_SUBLAYER_UNKNOWN;
	if (f->weight.type != FWP_UINT8 || f->weight.uint8 > 15)
		return FWP_TYPE_MISMATCH;
	if (f->action.type != 0x1001)
		return FWP_WRONG_ACTION;
	// One condition: two of a field would be "or", of two fields "and"; none would block the whole machine.
	if (f->numFilterConditions != 1 || memcmp(&c->fieldKey, &app_id, sizeof(GUID)) != 0 ||
	    c->matchType != FWP_MATCH_EQUAL || c->conditionValue.type != FWP_BYTE_BLOB_TYPE ||
	    !c->conditionValue.byteBlob || !c->conditionValue.byteBlob->size)
		return FWP_TYPE_MISMATCH;
	assert_true(f->flags & 8); // a hard block
	assert_true(bfe.in_txn);
	snprintf(bfe.filters[bfe.filters_cnt].program, 64, "%.60s",
		 (const char *)c->conditionValue.byteBlob->data);
	bfe.filters[bfe.filters_cnt].family = family;
	*ret_id = ++bfe.filters_cnt;
	return 0;
}

/* An id is the path in small letters: what the platform makes of it is its own secret. */
static DWORD WINAPI app_id_of(const wchar_t *file, FWP_BYTE_BLOB **ret)
{
	size_t len = wcslen(file);
	FWP_BYTE_BLOB *b;

	if (wcsstr(file, L"missing"))
		return ERROR_FILE_NOT_FOUND;
	b = malloc(sizeof(*b) + len + 1);
	assert_non_null(b);
	b->data = (UINT8 *)(b + 1);
	b->size = (UINT32)len + 1;
	for (size_t i = 0; i <= len; i++)
		b->data[i] = (UINT8)(file[i] >= 'A' && file[i] <= 'Z' ? file[i] + 32 : file[i]);
	*ret = b;
	bfe.blobs++;
	return 0;
}

static void WINAPI free_memory(void **memory)
{
	assert_non_null(*memory);
	free(*memory);
	*memory = NULL;
	bfe.blobs--;
}

static const struct mf_wfp_api api = { engine_open,  engine_close, txn_begin, txn_commit, txn_abort,
				       sublayer_add, filter_add,   app_id_of, free_memory };

static void programs_are_blocked_for_both_families(void **state)
{
	struct mf_err err = { 0 };
	struct mf_wfp *w = NULL;

	(void)state;
	memset(&bfe, 0, sizeof(bfe));
	assert_int_equal(mf_wfp_new(&api, &w, &err), 0);
	assert_true(bfe.dynamic);
	assert_int_equal(mf_wfp_block(w, "C:\\a.exe", &err), 0);
	assert_int_equal(bfe.committed, 2);
	assert_string_equal(bfe.filters[0].program, "c:\\a.exe");
	assert_string_equal(bfe.filters[1].program, "c:\\a.exe");
	assert_int_equal(bfe.filters[0].family + bfe.filters[1].family, 10);
	// The same file in another spelling has its filters already.
	assert_int_equal(mf_wfp_block(w, "C:\\A.EXE", &err), MF_E_EXIST);
	assert_int_equal(mf_wfp_block(w, "C:\\b.exe", &err), 0);
	assert_int_equal(bfe.committed, 4);
	assert_int_equal(mf_wfp_count(w), 2);
	assert_int_equal(bfe.blobs, 2);
	mf_wfp_free(w);
	assert_int_equal(bfe.committed, 0);
	assert_int_equal(bfe.blobs, 0);
	assert_false(bfe.open);
}

static void half_a_block_is_none(void **state)
{
	struct mf_err err = { 0 };
	struct mf_wfp *w = NULL;

	(void)state;
	memset(&bfe, 0, sizeof(bfe));
	assert_int_equal(mf_wfp_new(&api, &w, &err), 0);
	bfe.fail_filter = 2;
	assert_int_equal(mf_wfp_block(w, "C:\\a.exe", &err), MF_E_IO);
	assert_int_equal(bfe.filters_cnt, 0);
	assert_false(bfe.in_txn);
	bfe.commit_code = ERROR_NOT_ENOUGH_MEMORY;
	assert_int_equal(mf_wfp_block(w, "C:\\a.exe", &err), MF_E_IO);
	bfe.commit_code = 0;
	assert_int_equal(mf_wfp_block(w, "C:\\missing.exe", &err), MF_E_NOENT);
	assert_int_equal(mf_wfp_count(w), 0);
	// And it can be tried again.
	assert_int_equal(mf_wfp_block(w, "C:\\a.exe", &err), 0);
	assert_int_equal(bfe.committed, 2);
	mf_wfp_free(w);
	assert_int_equal(bfe.blobs, 0);
}

static void refusals_say_what_to_do(void **state)
{
	struct mf_err err = { 0 };
	struct mf_wfp *w = NULL;

	(void)state;
	memset(&bfe, 0, sizeof(bfe));
	bfe.open_code = ERROR_ACCESS_DENIED;
	assert_int_equal(mf_wfp_new(&api, &w, &err), MF_E_PERM);
	assert_non_null(strstr(err.msg, "elevated"));
	bfe.open_code = 1753;
	assert_int_equal(mf_wfp_new(&api, &w, &err), MF_E_IO);
	assert_non_null(strstr(err.msg, "Base Filtering Engine"));
	bfe.open_code = 0;
	bfe.sublayer_code = ERROR_NOT_ENOUGH_MEMORY;
	assert_int_equal(mf_wfp_new(&api, &w, &err), MF_E_IO);
	assert_false(bfe.open);
	assert_null(w);
}

static void this_systems_platform_takes_it_or_says_why(void **state)
{
	char path[MAX_PATH];
	struct mf_err err = { 0 };
	struct mf_wfp *w = NULL;
	int r = mf_wfp_new(NULL, &w, &err);

	(void)state;
	// On Windows without elevation: MF_E_PERM; wine has no engine.
	if (r < 0)
		print_message("%d: %s\n", r, err.msg);
	if (r < 0) {
		assert_true(r == MF_E_PERM || r == MF_E_UNSUPPORTED);
		assert_true(err.msg[0]);
		skip();
	}
	assert_true(GetModuleFileNameA(NULL, path, sizeof(path)) > 0);
	r = mf_wfp_block(w, path, &err);
	assert_int_equal(r, 0);
	assert_int_equal(mf_wfp_block(w, path, &err), MF_E_EXIST);
	mf_wfp_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_are_blocked_for_both_families),
		cmocka_unit_test(half_a_block_is_none),
		cmocka_unit_test(refusals_say_what_to_do),
		cmocka_unit_test(this_systems_platform_takes_it_or_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
