/* SPDX-License-Identifier: Apache-2.0 */
/* wfp_win32.c - two filters for each program file, in a sublayer and a dynamic session of our own */
#include <initguid.h>

#include "capture/wfp_win32.h"

#include <stdbool.h>
#include <stdlib.h>

#include <bcrypt.h>

#include "core/base/win32.h"

/* mingw's headers have none of these. */
DEFINE_GUID(layer_connect4, 0xc38d57d1, 0x05a7, 0x4c33, 0x90, 0x4f, 0x7f, 0xbc, 0xee, 0xe6, 0x0e,
	    0x82);
DEFINE_GUID(layer_connect6, 0x4a72393b, 0x319f, 0x44bc, 0x84, 0xc3, 0xba, 0x54, 0xdc, 0xb3, 0xb6,
	    0xb4);
DEFINE_GUID(condition_app_id, 0xd78e1e87, 0x8644, 0x4ea5, 0x94, 0x37, 0xd8, 0x09, 0xec, 0xef, 0xc9,
	    0x71);

#define SESSION_DYNAMIC	   0x00000001 /* FWPM_SESSION_FLAG_DYNAMIC */
#define CLEAR_ACTION_RIGHT 0x00000008 /* FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT: a hard block */
#define ACTION_BLOCK	   0x00001001 /* FWP_ACTION_BLOCK */
#define WEIGHT_TOP	   15	      /* of a filter that gives a range of weights */
#define AUTHN_WINNT	   10	      /* RPC_C_AUTHN_WINNT */

/* Display names must be there, and are wchar_t *, not const. */
static wchar_t session_name[] = L"moonfence session";
static wchar_t filter_name[] = L"moonfence: no network for a session's program";

struct mf_wfp {
	const struct mf_wfp_api *api;
	struct mf_wfp_api system;
	HMODULE lib;
	HANDLE engine;
	GUID sublayer;
	struct {
		FWP_BYTE_BLOB *id;
	} programs[MF_WFP_PROGRAMS_MAX];
	unsigned cnt;
};

static int fail(struct mf_err *err, const char *what, DWORD code)
{
	char text[256];

	if (code == ERROR_ACCESS_DENIED)
		return mf_err_set(err, MF_E_PERM,
				  "%s: access denied: start moonfence as an elevated administrator",
				  what);
	if (code == 1753) // EPT_S_NOT_REGISTERED
		return mf_err_set(err, MF_E_IO,
				  "%s: the service 'Base Filtering Engine' (BFE) does not run",
				  what);
	if (code == 1764) // RPC_S_CANNOT_SUPPORT: wine's
		return mf_err_set(err, MF_E_UNSUPPORTED, "%s: this system has none", what);
	return mf_err_set(err,
			  code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND ? MF_E_NOENT
										       : MF_E_IO,
			  "%s: %s", what, mf_win32_message(code, text, sizeof(text)));
}

static int load(struct mf_wfp *w)
{
	struct mf_wfp_api *a = &w->system;
	const struct {
		const char *name;
		void **at;
	} functions[] = {
		{ "FwpmEngineOpen0", (void **)&a->engine_open },
		{ "FwpmEngineClose0", (void **)&a->engine_close },
		{ "FwpmTransactionBegin0", (void **)&a->transaction_begin },
		{ "FwpmTransactionCommit0", (void **)&a->transaction_commit },
		{ "FwpmTransactionAbort0", (void **)&a->transaction_abort },
		{ "FwpmSubLayerAdd0", (void **)&a->sublayer_add },
		{ "FwpmFilterAdd0", (void **)&a->filter_add },
		{ "FwpmGetAppIdFromFileName0", (void **)&a->app_id_of },
		{ "FwpmFreeMemory0", (void **)&a->free_memory },
	};

	w->lib = LoadLibraryExW(L"fwpuclnt.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
	for (size_t i = 0; w->lib && i < MF_ARRAY_SIZE(functions); i++) {
		FARPROC f = GetProcAddress(w->lib, functions[i].name);

		if (!f)
			return MF_E_UNSUPPORTED;
		memcpy(functions[i].at, &f, sizeof(f));
	}
	w->api = a;
	return w->lib ? 0 : MF_E_UNSUPPORTED;
}

int mf_wfp_new(const struct mf_wfp_api *api, struct mf_wfp **ret, struct mf_err *err)
{
	FWPM_SESSION0 session = { .displayData = { .name = session_name },
				  .flags = SESSION_DYNAMIC,
				  .txnWaitTimeoutInMSec = 5000 };
	FWPM_SUBLAYER0 sublayer = { .displayData = { .name = session_name }, .weight = 0xffff };
	struct mf_wfp *w = calloc(1, sizeof(*w));
	DWORD code;
	int r = 0;

	if (!w)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	w->api = api;
	if (!api && load(w) < 0)
		r = mf_err_set(err, MF_E_UNSUPPORTED,
			       "this Windows has no filtering platform (fwpuclnt.dll)");
	if (r == 0 && BCryptGenRandom(NULL, (UCHAR *)&w->sublayer, sizeof(w->sublayer),
				      BCRYPT_USE_SYSTEM_PREFERRED_RNG) != 0)
		r = mf_err_set(err, MF_E_IO, "no random numbers");
	if (r == 0) {
		code = w->api->engine_open(NULL, AUTHN_WINNT, NULL, &session, &w->engine);
		if (code != ERROR_SUCCESS) {
			w->engine = NULL;
			r = fail(err, "cannot open the filtering platform", code);
		}
	}
	if (r == 0) {
		sublayer.subLayerKey = w->sublayer;
		code = w->api->sublayer_add(w->engine, &sublayer, NULL);
		if (code != ERROR_SUCCESS)
			r = fail(err, "the filtering platform takes no sublayer", code);
	}
	if (r < 0) {
		mf_wfp_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

static bool known(const struct mf_wfp *w, const FWP_BYTE_BLOB *id)
{
	for (unsigned i = 0; i < w->cnt; i++)
		if (w->programs[i].id->size == id->size &&
		    memcmp(w->programs[i].id->data, id->data, id->size) == 0)
			return true;
	return false;
}

static DWORD add_filters(struct mf_wfp *w, FWP_BYTE_BLOB *id)
{
	static const GUID *const layers[] = { &layer_connect4, &layer_connect6 };
	FWPM_FILTER_CONDITION0 condition = { .fieldKey = condition_app_id,
					     .matchType = FWP_MATCH_EQUAL };
	FWPM_FILTER0 filter = { .displayData = { .name = filter_name },
				.flags = CLEAR_ACTION_RIGHT,
				.subLayerKey = w->sublayer,
				.numFilterConditions = 1 };
	DWORD code = ERROR_SUCCESS;

	condition.conditionValue.type = FWP_BYTE_BLOB_TYPE;
	condition.conditionValue.byteBlob = id;
	filter.filterCondition = &condition;
	filter.weight.type = FWP_UINT8;
	filter.weight.uint8 = WEIGHT_TOP;
	filter.action.type = ACTION_BLOCK;
	for (size_t i = 0; i < MF_ARRAY_SIZE(layers) && code == ERROR_SUCCESS; i++) {
		UINT64 filter_id;

		filter.layerKey = *layers[i];
		code = w->api->filter_add(w->engine, &filter, NULL, &filter_id);
	}
	return code;
}

int mf_wfp_block(struct mf_wfp *w, const char *path, struct mf_err *err)
{
	wchar_t *wide;
	FWP_BYTE_BLOB *id = NULL;
	DWORD code;

	if (w->cnt == MF_WFP_PROGRAMS_MAX)
		return mf_err_set(err, MF_E_FULL, "%s: a session blocks at most %d programs", path,
				  MF_WFP_PROGRAMS_MAX);
	wide = mf_win32_wide(path);
	if (!wide)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	code = w->api->app_id_of(wide, &id);
	free(wide);
	if (code != ERROR_SUCCESS)
		return fail(err, path, code);
	if (known(w, id)) {
		w->api->free_memory((void **)&id);
		return MF_E_EXIST;
	}
	code = w->api->transaction_begin(w->engine, 0);
	if (code == ERROR_SUCCESS) {
		code = add_filters(w, id);
		if (code == ERROR_SUCCESS)
			code = w->api->transaction_commit(w->engine);
		else
			(void)w->api->transaction_abort(w->engine);
	}
	if (code != ERROR_SUCCESS) {
		w->api->free_memory((void **)&id);
		return fail(err, "a program's network cannot be blocked", code);
	}
	w->programs[w->cnt++].id = id;
	return 0;
}

unsigned mf_wfp_count(const struct mf_wfp *w)
{
	return w->cnt;
}

void mf_wfp_free(struct mf_wfp *w)
{
	if (!w)
		return;
	if (w->engine)
		(void)w->api->engine_close(w->engine);
	while (w->cnt)
		w->api->free_memory((void **)&w->programs[--w->cnt].id);
	if (w->lib)
		FreeLibrary(w->lib);
	free(w);
}
