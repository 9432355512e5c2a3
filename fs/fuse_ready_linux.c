/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_ready_linux.c - device, library and helper of FUSE on this machine */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/fuse_ready.h"
#include "fs/libfuse_linux.h"

static const char *install_hint(void)
{
	static const char *const places[] = { "/etc/os-release", "/usr/lib/os-release" };
	char text[4096];
	ssize_t n = -1;

	for (size_t i = 0; i < MF_ARRAY_SIZE(places) && n < 0; i++) {
		int fd = open(places[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	return mf_fuse_install_hint(text);
}

static int check_device(struct mf_err *err)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), e = errno;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (e == ENOENT || e == ENODEV || e == ENXIO)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "this kernel has no FUSE (/dev/fuse: %s): load it with 'modprobe "
				  "fuse', or give the container --device /dev/fuse",
				  strerror(e));
	return mf_err_set(
		err, MF_E_PERM,
		"this user may not open /dev/fuse (%s): 'chmod 666 /dev/fuse', as systems "
		"have it that let ordinary users mount; in a container --device /dev/fuse",
		strerror(e));
}

static int check_library(struct mf_err *err)
{
	struct mf_err why = { 0 };

	if (mf_libfuse_load(&why) == 0)
		return 0;
	return mf_err_set(err, MF_E_UNSUPPORTED, "libfuse 3 is not here (%.300s): %s", why.msg,
			  install_hint());
}

/* Where libfuse looks for it. */
static int check_helper(struct mf_err *err)
{
	if (geteuid() == 0 || access("/usr/bin/fusermount3", X_OK) == 0 ||
	    access("/bin/fusermount3", X_OK) == 0 ||
	    access("/usr/local/bin/fusermount3", X_OK) == 0)
		return 0;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "ordinary users mount by fusermount3, which is not here: %s",
			  install_hint());
}

int mf_fuse_ready(enum mf_fuse_need need, struct mf_err *err)
{
	int r = need == MF_FUSE_MOUNTED ? 0 : check_device(err);

	if (r == 0)
		r = check_library(err);
	if (r == 0 && need == MF_FUSE_MOUNT)
		r = check_helper(err);
	return r;
}
