/* SPDX-License-Identifier: Apache-2.0 */
/* libfuse_path_posix.c - see libfuse_path.h */
#include "fs/libfuse_path.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct mf_libfuse_path mf_libfuse_path;

#define AT(member) offsetof(struct mf_libfuse_path, member)

static const struct {
	const char *name;
	size_t at;
} functions[] = {
	{ "fuse_mount", AT(mount) },
	{ "fuse_unmount", AT(unmount) },
	{ "fuse_destroy", AT(destroy) },
	{ "fuse_exit", AT(exit) },
	{ "fuse_get_session", AT(get_session) },
	{ "fuse_get_context", AT(get_context) },
	{ "fuse_set_signal_handlers", AT(set_signal_handlers) },
	{ "fuse_remove_signal_handlers", AT(remove_signal_handlers) },
	{ "fuse_loop_cfg_create", AT(loop_cfg_create) },
	{ "fuse_loop_cfg_destroy", AT(loop_cfg_destroy) },
	{ "fuse_loop_cfg_set_max_threads", AT(loop_cfg_set_max_threads) },
	{ "fuse_loop_cfg_set_idle_threads", AT(loop_cfg_set_idle_threads) },
	{ "fuse_set_log_func", AT(set_log_func) },
	{ "fuse_opt_free_args", AT(opt_free_args) },
};
_Static_assert(MF_ARRAY_SIZE(functions) + 2 ==
		       sizeof(struct mf_libfuse_path) / sizeof(mf_libfuse_path.make),
	       "every function but two, whose names systems have in their own ways");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;

static int find(void *so, const char *name, size_t at, struct mf_libfuse_path *ret)
{
	void *address = dlsym(so, name);

	memcpy((char *)ret + at, &address, sizeof(address));
	return address ? 0 : -1;
}

/* Return: NULL, or the name of a function that it has not */
static const char *find_all(void *so, struct mf_libfuse_path *ret)
{
	const struct mf_libfuse_path_system *s = &mf_libfuse_path_system;

	for (size_t i = 0; i < MF_ARRAY_SIZE(functions); i++)
		if (find(so, functions[i].name, functions[i].at, ret) < 0)
			return functions[i].name;
	if (find(so, s->make, AT(make), ret) < 0)
		return s->make;
	return find(so, s->loop_mt, AT(loop_mt), ret) < 0 ? s->loop_mt : NULL;
}

static int load(struct mf_err *err)
{
	const struct mf_libfuse_path_system *s = &mf_libfuse_path_system;
	struct mf_libfuse_path found = { 0 };
	const char *missing;
	void *so = NULL;
	size_t i;

	for (i = 0; !so && s->libraries[i]; i++)
		so = dlopen(s->libraries[i], RTLD_NOW | RTLD_LOCAL);
	if (!so)
		return mf_err_set(err, MF_E_UNSUPPORTED, "libfuse 3 is not here (%.300s): %s",
				  dlerror(), s->install);
	missing = find_all(so, &found);
	if (missing) {
		dlclose(so);
		return mf_err_set(err, MF_E_UNSUPPORTED, "%s has no %s(): %s", s->libraries[i - 1],
				  missing, s->install);
	}
	mf_libfuse_path = found;
	loaded = true; // for good: its threads may outlive a mount
	return 0;
}

int mf_libfuse_path_load(struct mf_err *err)
{
	int r;

	pthread_mutex_lock(&lock);
	r = loaded ? 0 : load(err);
	pthread_mutex_unlock(&lock);
	return r;
}
