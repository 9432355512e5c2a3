/* SPDX-License-Identifier: Apache-2.0 */
/* libfuse_linux.c - see libfuse_linux.h */
#define MF_LIBFUSE_NAMES_OFF
#include "fs/libfuse_linux.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* The number that the headers belong to: structures changed with it. */
#if FUSE_MAJOR_VERSION == 3 && FUSE_MINOR_VERSION < 17
#define LIBRARY "libfuse3.so.3"
#else
#define LIBRARY "libfuse3.so.4"
#endif

struct mf_libfuse mf_libfuse;

static const struct {
	const char *name;
	size_t at;
	bool extra;
} functions[] = {
#define ROW(name)   { #name, offsetof(struct mf_libfuse, name), false },
#define EXTRA(name) { #name, offsetof(struct mf_libfuse, name), true },
	MF_LIBFUSE_FUNCTIONS(ROW) MF_LIBFUSE_EXTRAS(EXTRA)
#undef ROW
#undef EXTRA
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;

static int load(struct mf_err *err)
{
	struct mf_libfuse found;
	void *so = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	void *address;

	if (!so)
		return mf_err_set(err, MF_E_UNSUPPORTED, "%s", dlerror());
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		address = dlsym(so, functions[i].name);
		if (!address && !functions[i].extra) {
			dlclose(so);
			return mf_err_set(err, MF_E_UNSUPPORTED, "%s is too old: it has no %s()",
					  LIBRARY, functions[i].name);
		}
		memcpy((char *)&found + functions[i].at, &address, sizeof(address));
	}
	mf_libfuse = found;
	loaded = true; // for good: its threads may outlive a mount
	return 0;
}

int mf_libfuse_load(struct mf_err *err)
{
	int r;

	pthread_mutex_lock(&lock);
	r = loaded ? 0 : load(err);
	pthread_mutex_unlock(&lock);
	return r;
}
