/* SPDX-License-Identifier: Apache-2.0 */
/* winfsp_scene.h - a mount over the double of WinFsp: a source directory, a trash, policies, and programs that use them */
#ifndef WINFSP_SCENE_H
#define WINFSP_SCENE_H

#include <pthread.h>

#include "fs/mount_winfsp_win32.h"
#include "fs/trash.h"
#include "winfsp_double/double.h"

/* Processes that policies see: name agent.exe; editor.exe. */
#define AGENT  4100
#define EDITOR 4200

struct scene {
	char dir[512], source[600], trash_dir[600], policy[600];
	struct mf_runtime *runtime;
	struct mf_fs_judge *judge;
	struct mf_policy_fs *pfs;
	struct mf_trash *trash;
	struct mf_mount_winfsp *mount;
	struct wfd_calls d;
	pthread_t server;
	bool serving;
	int served;    /* what serve returned */
	unsigned lost; /* errors of deletes that nobody is told of: so many are meant to be */
};

/** scene_install() - Write the registry's value as an installer does; NULL: remove the key. Return: whether it worked */
bool scene_install(const char *folder);
/** scene_reach() - The double's own calls, after something has loaded it */
bool scene_reach(struct wfd_calls *ret);

/** scene_new() - With a policy's Lua text; no mount yet. Asserts */
struct scene *scene_new(const char *lua);
/** scene_mount() - Mount at @at and wait until it answers; @trash: with one */
void scene_mount(struct scene *s, const char *at, bool trash);
/** scene_end() - Unmount, look for broken rules and for deletes that failed without anybody being told, clean up */
void scene_end(struct scene *s);
/** scene_policy() - Another policy, loaded */
void scene_policy(struct scene *s, const char *lua);

/* The source as it is, without the mount. */
void scene_write(struct scene *s, const char *name, const char *text);
/** scene_text() - The content of a file in the source; NULL: not there. Valid until the next call */
const char *scene_text(struct scene *s, const char *name);
bool scene_is_there(struct scene *s, const char *name);
void scene_make_folder(struct scene *s, const char *name);

/* What a program of number @pid does on the mount; the status that it sees. */
uint32_t scene_put(struct scene *s, const char *path, const char *text, int pid); /* replaces */
uint32_t scene_get(struct scene *s, const char *path, int pid, char *buf, size_t room);
uint32_t scene_erase(struct scene *s, const char *path, int pid);
uint32_t scene_make_dir(struct scene *s, const char *path, int pid);
uint32_t scene_move(struct scene *s, const char *from, const char *to, bool replace, int pid);

#endif
