/* SPDX-License-Identifier: Apache-2.0 */
/* curl_library_posix.c - see curl_library.h: by dlopen() */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core/base/err.h"
#include "packs/curl_library.h"

/* Of its own SONAME: an ABI that has been kept since 2006. */
static const char *const libraries[] = { "libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib" };

static struct mf_curl api;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool there;

static void load(void)
{
	static const struct {
		const char *name;
		size_t at;
	} functions[] = {
		{ "curl_global_init", offsetof(struct mf_curl, global_init) },
		{ "curl_easy_init", offsetof(struct mf_curl, init) },
		{ "curl_easy_setopt", offsetof(struct mf_curl, setopt) },
		{ "curl_easy_perform", offsetof(struct mf_curl, perform) },
		{ "curl_easy_getinfo", offsetof(struct mf_curl, getinfo) },
		{ "curl_easy_cleanup", offsetof(struct mf_curl, cleanup) },
		{ "curl_easy_strerror", offsetof(struct mf_curl, strerror) },
		{ "curl_slist_append", offsetof(struct mf_curl, append) },
		{ "curl_slist_free_all", offsetof(struct mf_curl, free_all) },
	};
	void *lib = NULL;

	for (size_t i = 0; !lib && i < MF_ARRAY_SIZE(libraries); i++)
		lib = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
	for (size_t i = 0; lib && i < MF_ARRAY_SIZE(functions); i++) {
		void *fn = dlsym(lib, functions[i].name);

		if (!fn)
			return;
		memcpy((char *)&api + functions[i].at, &fn, sizeof(fn));
	}
	there = lib && api.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

const struct mf_curl *mf_curl_load(void)
{
	pthread_once(&once, load);
	return there ? &api : NULL;
}
