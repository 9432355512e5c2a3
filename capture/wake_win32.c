/* SPDX-License-Identifier: Apache-2.0 */
/* wake_win32.c - see wake_win32.h */
#include <winsock2.h>

#include <windows.h>

#include "capture/wake_win32.h"
#include "core/base/win32.h"

int mf_wake_init(struct mf_wake *w, struct mf_err *err)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	SOCKET s = WSASocketW(AF_INET, SOCK_DGRAM, IPPROTO_UDP, NULL, 0,
			      WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	int len = sizeof(sa);
	u_long on = 1;
	char text[256];

	atomic_init(&w->set, false);
	w->fd = -1;
	if (s == INVALID_SOCKET || bind(s, (struct sockaddr *)&sa, sizeof(sa)) != 0 ||
	    getsockname(s, (struct sockaddr *)&sa, &len) != 0 ||
	    connect(s, (struct sockaddr *)&sa, sizeof(sa)) != 0 ||
	    ioctlsocket(s, (long)FIONBIO, &on) != 0) {
		int r = mf_err_set(
			err, MF_E_IO, "cannot make a socket on loopback: %s",
			mf_win32_message((unsigned long)WSAGetLastError(), text, sizeof(text)));

		if (s != INVALID_SOCKET)
			closesocket(s);
		return r;
	}
	w->fd = (int)s;
	return 0;
}

void mf_wake_set(void *wake)
{
	struct mf_wake *w = wake;

	// What cannot be sent was not said: the next one tries again.
	if (!atomic_exchange(&w->set, true) && send((SOCKET)w->fd, "", 1, 0) != 1)
		atomic_store(&w->set, false);
}

void mf_wake_clear(struct mf_wake *w)
{
	char byte;

	while (recv((SOCKET)w->fd, &byte, 1, 0) >= 0)
		;
	// Only now: one that is set from here on sends again.
	atomic_store(&w->set, false);
}

void mf_wake_done(struct mf_wake *w)
{
	if (w->fd >= 0)
		closesocket((SOCKET)w->fd);
	w->fd = -1;
}
