/* SPDX-License-Identifier: Apache-2.0 */
/* double_int.h - inside the double of WinFsp: dll.c what the product calls, model.c what programs do, check.c what its answers must be, script.c actions from a file */
#ifndef WINFSP_DOUBLE_INT_H
#define WINFSP_DOUBLE_INT_H

#include <pthread.h>

#include "core/base/printf.h"
#include "double.h"
#include "fs/winfsp_abi.h"

enum wfd_phase { WFD_MADE, WFD_MOUNTED, WFD_SERVING, WFD_FAILED, WFD_ENDED, WFD_UNMOUNTED };

struct mf_winfsp_fuse {
	struct mf_winfsp_ops ops;
	void *data; /* given to new, then what init returned */
	enum wfd_phase phase;
	bool exiting;
	uint32_t want;
	wchar_t *folder; /* the mount point that is a directory */
};

/* An action on its way to a thread of the double. */
struct wfd_request {
	struct wfd_request *next;
	uint32_t (*run)(void *arg);
	void *arg;
	int32_t pid;	/* of who creates, opens or renames; MF_WINFSP_NO_PID for all else */
	bool exclusive; /* changes names: alone */
	bool done;
	uint32_t status;
};

struct wfd_double {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_rwlock_t names;
	struct mf_winfsp_fuse *volume;
	struct wfd_request *first, **last;
	struct wfd_file *files;
	char violation[512], options[512];
	unsigned lost_errors, room;
	uint32_t offered;
};
extern struct wfd_double wfd;

/** wfd_breach() - A rule was broken: the first is kept */
void wfd_breach(const char *fmt, ...) MF_PRINTF(1, 2);
/** wfd_do() - Run it on a thread of the double and wait; WFD_IO when there is no volume */
uint32_t wfd_do(uint32_t (*run)(void *arg), void *arg, int32_t pid, bool exclusive);
/** wfd_checked() - A callback's result, checked against what it may return; @max: largest positive one */
int wfd_checked(const char *op, int result, size_t max);
uint32_t wfd_status(int result);
/** wfd_serving() - Whether the calling thread runs a callback; set around each; Return: what it was */
bool wfd_serving(bool now);

/* check.c: a breach for what is wrong */
void wfd_check_ops(const struct mf_winfsp_ops *ops);
void wfd_check_stat(const char *path, const struct mf_winfsp_stat *st);
void wfd_check_statvfs(const struct mf_winfsp_statvfs *vfs);
void wfd_check_name(const char *name);
#define WFD_GUARD 64
/** wfd_guard() - Fill what nobody may write to */
void wfd_guard(void *at, size_t size);
void wfd_check_guard(const char *op, const void *at, size_t size);

/** wfd_probe() - What WinFsp asks at the start; Return: false: the mount fails */
bool wfd_probe(struct mf_winfsp_fuse *f);
/** wfd_play() - The script, if there is one, on a thread of its own */
void wfd_play(void);
/** wfd_play_end() - Nothing of it runs any more: the DLL may be unloaded */
void wfd_play_end(void);
void wfd_drop_files(void);

/* ---- exports: WinFsp's, which the product finds; ours, struct wfd_calls ---- */

#define EXPORT __attribute__((dllexport))
EXPORT struct mf_winfsp_fuse *fsp_fuse3_new(struct mf_winfsp_env *env, struct mf_winfsp_args *args,
					    const struct mf_winfsp_ops *ops, size_t ops_size,
					    void *data);
EXPORT int fsp_fuse3_mount(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f,
			   const char *mountpoint);
EXPORT int fsp_fuse3_loop_mt(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f,
			     const struct mf_winfsp_loop_config *config);
EXPORT void fsp_fuse3_exit(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f);
EXPORT void fsp_fuse3_unmount(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f);
EXPORT void fsp_fuse3_destroy(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f);
EXPORT struct mf_winfsp_context *fsp_fuse3_get_context(struct mf_winfsp_env *env);
EXPORT bool wfd_ready(unsigned timeout_ms);
EXPORT const char *wfd_violation(void);
EXPORT unsigned wfd_lost_errors(void);
EXPORT void wfd_reset(void);
EXPORT const char *wfd_options(void);
EXPORT void wfd_offer(uint32_t capable);
EXPORT void wfd_interrupt(void);
EXPORT void wfd_room(unsigned entries);
EXPORT uint32_t wfd_create(const char *path, enum wfd_disposition how, unsigned access, int32_t pid,
			   struct wfd_file **ret);
EXPORT uint32_t wfd_read(struct wfd_file *f, void *buf, size_t size, int64_t off, size_t *ret_len);
EXPORT uint32_t wfd_write(struct wfd_file *f, const void *buf, size_t size, int64_t off);
EXPORT uint32_t wfd_set_size(struct wfd_file *f, int64_t size);
EXPORT uint32_t wfd_flush(struct wfd_file *f);
EXPORT uint32_t wfd_info(struct wfd_file *f, struct wfd_info *ret);
EXPORT uint32_t wfd_set_mode(struct wfd_file *f, uint32_t mode);
EXPORT uint32_t wfd_set_time(struct wfd_file *f, int64_t mtime);
EXPORT uint32_t wfd_list(struct wfd_file *f, wfd_entry_fn fn, void *ctx);
EXPORT uint32_t wfd_set_delete(struct wfd_file *f);
EXPORT uint32_t wfd_close(struct wfd_file *f);
EXPORT uint32_t wfd_rename(struct wfd_file *f, const char *to, bool replace, int32_t pid);
EXPORT uint32_t wfd_volume(uint64_t *ret_total, uint64_t *ret_free);

#endif
