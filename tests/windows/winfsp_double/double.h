/* SPDX-License-Identifier: Apache-2.0 */
/*
 * double.h - a double of WinFsp's DLL: what programs do to files becomes the calls that WinFsp's FUSE 3 layer makes of it
 *
 * A test loads the product, which loads this DLL through the registry as it would WinFsp's, and plays the programs: each action
 * below is one of Windows', done by a process of a number that the test chooses. The double runs it on one of its own threads
 * and answers with the NTSTATUS that a program would see.
 *
 * It enforces what the real one demands or punishes (a crash, "access denied", a lost error): the first breach is kept as a
 * sentence, which wfd_violation() returns and a test must find NULL.
 */
#ifndef WINFSP_DOUBLE_H
#define WINFSP_DOUBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Statuses that programs see. */
#define WFD_OK		   0x00000000u
#define WFD_END_OF_FILE	   0xc0000011u
#define WFD_NOT_FOUND	   0xc0000034u
#define WFD_COLLISION	   0xc0000035u
#define WFD_DELETE_PENDING 0xc0000056u
#define WFD_DENIED	   0xc0000022u
#define WFD_NOT_EMPTY	   0xc0000101u
#define WFD_INVALID	   0xc000000du
#define WFD_BAD_REQUEST	   0xc0000010u
#define WFD_BUSY	   0x80000011u
#define WFD_DISK_FULL	   0xc000007fu
#define WFD_READ_ONLY	   0xc00000a2u
#define WFD_IS_DIR	   0xc00000bau
#define WFD_NOT_DIR	   0xc0000103u
#define WFD_NAME_TOO_LONG  0xc0000106u
#define WFD_NO_MEMORY	   0xc000009au
#define WFD_IO		   0xc00000e9u

enum wfd_disposition { WFD_OPEN, WFD_CREATE_NEW, WFD_OPEN_ALWAYS, WFD_CREATE_ALWAYS, WFD_TRUNCATE };

#define WFD_READ	    1u
#define WFD_WRITE	    2u
#define WFD_DELETE	    4u /* may delete and rename */
#define WFD_DIRECTORY	    8u /* make a directory */
#define WFD_DELETE_ON_CLOSE 16u

struct wfd_file;

struct wfd_info {
	uint64_t size, ino;
	uint32_t mode, flags;
	int64_t mtime;
	bool dir;
};

typedef void (*wfd_entry_fn)(void *ctx, const char *name);

/* Found with GetProcAddress(); a name is "wfd_" and the member's. Paths: as the layer hands them over ("/a/b", UTF-8). */
struct wfd_calls {
	/* Until the volume answers, or its start failed. Return: whether it does */
	bool (*ready)(unsigned timeout_ms);
	uint32_t (*create)(const char *path, enum wfd_disposition how, unsigned access, int32_t pid,
			   struct wfd_file **ret);
	uint32_t (*close)(struct wfd_file *f);
	uint32_t (*read)(struct wfd_file *f, void *buf, size_t size, int64_t off, size_t *ret_len);
	/* @off -1: to the end of the file */
	uint32_t (*write)(struct wfd_file *f, const void *buf, size_t size, int64_t off);
	uint32_t (*set_size)(struct wfd_file *f, int64_t size);
	uint32_t (*info)(struct wfd_file *f, struct wfd_info *ret);
	uint32_t (*set_mode)(struct wfd_file *f, uint32_t mode);
	uint32_t (*set_time)(struct wfd_file *f, int64_t mtime);
	uint32_t (*flush)(struct wfd_file *f);
	uint32_t (*set_delete)(struct wfd_file *f);
	uint32_t (*rename)(struct wfd_file *f, const char *to, bool replace, int32_t pid);
	uint32_t (*list)(struct wfd_file *f, wfd_entry_fn fn, void *ctx);
	uint32_t (*volume)(uint64_t *ret_total, uint64_t *ret_free);
	/* The first breach of a rule since the start or the last reset, as a sentence; NULL: none */
	const char *(*violation)(void);
	/* Errors of unlink and rmdir that nobody was told */
	unsigned (*lost_errors)(void);
	void (*reset)(void);
	/* The mount's options as they were given; "" before */
	const char *(*options)(void);
	/* Capabilities offered from now on; default: all that WinFsp 2.0 has */
	void (*offer)(uint32_t capable);
	/* Ctrl-C */
	void (*interrupt)(void);
	/* How many entries of a directory fit into what readdir is given; 0: all */
	void (*room)(unsigned entries);
};

/* A file of actions to be played by the double itself once the volume answers; its answers go to the other file. */
#define WFD_ENV_SCRIPT "MF_WINFSP_DOUBLE_SCRIPT"
#define WFD_ENV_OUT    "MF_WINFSP_DOUBLE_OUT"

#endif
