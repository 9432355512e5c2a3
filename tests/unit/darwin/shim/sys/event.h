/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.h - as much of kqueue as core/policy/dirwatch_darwin.c uses, over inotify, so that its logic runs on Linux
 *
 * Like kqueue, and unlike inotify's own habits: a directory tells of its entries only, not of what is written into them.
 */
#ifndef MF_TESTS_SHIM_EVENT_H
#define MF_TESTS_SHIM_EVENT_H

#include <stdint.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define O_EVTONLY    O_RDONLY
#define EVFILT_VNODE (-4)
#define EV_ADD	     1
#define EV_CLEAR     0x20
#define NOTE_DELETE  1
#define NOTE_WRITE   2
#define NOTE_EXTEND  4
#define NOTE_ATTRIB  8
#define NOTE_RENAME  0x20
#define NOTE_REVOKE  0x40

struct kevent {
	uintptr_t ident;
	int16_t filter;
	uint16_t flags;
	uint32_t fflags;
	intptr_t data;
	void *udata;
};

#define EV_SET(kev, a, b, c, d, e, f) (*(kev) = (struct kevent){ (uintptr_t)(a), b, c, d, e, f })

static inline int kqueue(void)
{
	return inotify_init1(IN_NONBLOCK);
}

static inline int kevent(int kq, const struct kevent *changes, int change_cnt,
			 struct kevent *events, int event_cnt, const struct timespec *timeout)
{
	char buf[4096] __attribute__((aligned(8)));

	(void)timeout;
	for (int i = 0; i < change_cnt; i++) {
		char path[64];
		struct stat st;
		uint32_t mask = IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;

		if (fstat((int)changes[i].ident, &st) < 0)
			return -1;
		mask |= S_ISDIR(st.st_mode) ? IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO
					    : IN_MODIFY;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)changes[i].ident);
		if (inotify_add_watch(kq, path, mask) < 0)
			return -1;
	}
	if (event_cnt && read(kq, buf, sizeof(buf)) > 0) {
		events[0] = (struct kevent){ .filter = EVFILT_VNODE };
		return 1;
	}
	return 0;
}

#endif
