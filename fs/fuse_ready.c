/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_ready.c - see fuse_ready.h */
#include "fs/fuse_ready.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define TOLD_EVERYWHERE                                                                        \
	"install FUSE 3: 'apt install fuse3' (Debian, Ubuntu), 'dnf install fuse3' (Fedora), " \
	"'apk add fuse3' (Alpine), 'pacman -S fuse3' (Arch)"

static const struct {
	const char *id, *hint;
} hints[] = {
	{ "debian", "install it with 'apt install fuse3'" },
	{ "ubuntu", "install it with 'apt install fuse3'" },
	{ "fedora", "install it with 'dnf install fuse3'" },
	{ "rhel", "install it with 'dnf install fuse3'" },
	{ "centos", "install it with 'dnf install fuse3'" },
	{ "alpine", "install it with 'apk add fuse3'" },
	{ "arch", "install it with 'pacman -S fuse3'" },
	{ "suse", "install it with 'zypper install fuse3'" },
	{ "opensuse", "install it with 'zypper install fuse3'" },
};

static bool is_word_end(char c)
{
	return !c || strchr(" \t\"'\n\r", c) != NULL;
}

static const char *hint_of(const char *id, size_t len)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(hints); i++)
		if (strlen(hints[i].id) == len && memcmp(hints[i].id, id, len) == 0)
			return hints[i].hint;
	return NULL;
}

/* The first word of KEY's value that we know; the line may be quoted. */
static const char *hint_by(const char *text, const char *key)
{
	const char *hint = NULL;
	size_t key_len = strlen(key);

	while (text && strncmp(text, key, key_len) != 0) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	if (!text)
		return NULL;
	text += key_len;
	while (!hint && *text && *text != '\n') {
		size_t len = 0;

		while (!is_word_end(text[len]))
			len++;
		hint = hint_of(text, len);
		text += len;
		if (*text && *text != '\n')
			text++;
	}
	return hint;
}

const char *mf_fuse_install_hint(const char *os_release)
{
	const char *hint = os_release ? hint_by(os_release, "ID=") : NULL;

	if (!hint && os_release)
		hint = hint_by(os_release, "ID_LIKE=");
	return hint ? hint : TOLD_EVERYWHERE;
}
