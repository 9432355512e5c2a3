/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_posix.c - see daemon.h */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/daemon.h"
#include "core/base/err.h"

bool mf_daemon_is_root(void)
{
	return geteuid() == 0;
}

int mf_daemon_become(const char *user, struct mf_err *err)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		return mf_err_set(err, MF_E_NOENT, "there is no user %s%s%s", user,
				  errno ? ": " : "", errno ? strerror(errno) : "");
	if (initgroups(user, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
		return mf_err_set(err, MF_E_PERM, "cannot become the user %s: %s", user,
				  strerror(errno));
	/* what can be taken back was not given up */
	if (pw->pw_uid != 0 && setuid(0) == 0)
		return mf_err_set(err, MF_E_PERM, "root's rights did not go away");
	return 0;
}

int mf_daemon_reload_signal(void)
{
	return SIGHUP;
}
