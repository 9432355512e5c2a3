/* SPDX-License-Identifier: Apache-2.0 */
/* test_fuse_ready.c - which words install FUSE on whose system */
#include "tests/unit/test.h"

#include <string.h>

#include "fs/fuse_ready.h"

static void says(const char *os_release, const char *command)
{
	assert_non_null(strstr(mf_fuse_install_hint(os_release), command));
	if (os_release)
		assert_null(strstr(mf_fuse_install_hint(os_release), "(Debian"));
}

static void each_distribution_has_its_own_command(void **state)
{
	(void)state;
	says("PRETTY_NAME=\"Debian GNU/Linux 12\"\nNAME=\"Debian "
	     "GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
	     "apt install fuse3");
	says("NAME=\"Fedora Linux\"\nVERSION=\"41\"\nID=fedora\nVARIANT_ID=server\n",
	     "dnf install fuse3");
	says("NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.3", "apk add fuse3");
	says("NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n", "pacman -S fuse3");
	says("ID='opensuse-tumbleweed'\nID_LIKE=\"opensuse suse\"\n", "zypper install fuse3");
}

static void a_derivative_has_that_of_what_it_is_like(void **state)
{
	(void)state;
	says("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt install fuse3");
	says("ID_LIKE=\"rhel centos fedora\"\nID=\"rocky\"\n", "dnf install fuse3");
	says("ID=manjaro\nID_LIKE=arch\n", "pacman -S fuse3");
}

static void unknown_ones_are_told_of_all(void **state)
{
	static const char *const texts[] = { NULL,
					     "",
					     "ID=",
					     "ID=\n",
					     "ID=\"",
					     "ID=plan9\n",
					     "debian",
					     "VERSION_ID=debian\n",
					     "ID=debianish\n",
					     "NAME=x\nID_LIKE=\"" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *hint = mf_fuse_install_hint(texts[i]);

		for (const char *const *c =
			     (const char *const[]){ "apt ", "dnf ", "apk ", "pacman ", NULL };
		     *c; c++)
			assert_non_null(strstr(hint, *c));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_distribution_has_its_own_command),
		cmocka_unit_test(a_derivative_has_that_of_what_it_is_like),
		cmocka_unit_test(unknown_ones_are_told_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
