/* SPDX-License-Identifier: Apache-2.0 */
/* build.c - see build.h */
#include "packs/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/match/domain_set.h"
#include "core/names/canonical.h"
#include "packs/archive.h"
#include "packs/store.h"

static int add_manifest(struct mf_pack_tree *tree, const struct mf_pack_manifest *m,
			struct mf_err *err)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_PACK_MANIFEST_MAX);
	int r = mf_pack_manifest_write(m, tree, &text, err);

	if (r < 0) {
		mf_strbuf_done(&text);
		return r;
	}
	r = mf_pack_tree_add(tree, MF_PACK_MANIFEST, text.str, text.len, text.str, err);
	return r < 0 ? r : mf_pack_tree_seal(tree, err);
}

static int check_names(const struct mf_pack_tree *tree, const char *dir, struct mf_err *err)
{
	static const char *const ours[] = { MF_PACK_MANIFEST, MF_STORE_SIGNATURE };

	for (size_t i = 0; i < MF_ARRAY_SIZE(ours); i++)
		if (mf_pack_tree_find(tree, ours[i]))
			return mf_err_set(err, MF_E_BAD,
					  "%s/%s: packs have a file of that name themselves", dir,
					  ours[i]);
	return 0;
}

/* One list of names as the image of its set, under the same name: policies do not see the difference. */
static int compile_list(struct mf_pack_tree *tree, const char *path, const char *dir,
			struct mf_err *err)
{
	const struct mf_domain_set_options options = { .canon = mf_name_canon, .for_image = true };
	struct mf_domain_set_builder *b;
	struct mf_domain_set *set;
	struct mf_pack_file *f = NULL;
	char file[4096];
	void *image;
	size_t len;
	int r;

	for (size_t i = 0; i < tree->cnt; i++)
		if (strcmp(tree->files[i].path, path) == 0)
			f = &tree->files[i];
	snprintf(file, sizeof(file), "%s/%s", dir, path);
	if (!f)
		return mf_err_set(err, MF_E_NOENT, "%s/pack.lua: compile: there is no file %s", dir,
				  path);
	r = mf_domain_set_builder_new(&options, &b, err);
	if (r < 0)
		return r;
	r = mf_domain_set_builder_add_text(b, (const char *)f->data, f->len, file, 0, err);
	if (r < 0) {
		mf_domain_set_builder_free(b);
		return r;
	}
	r = mf_domain_set_builder_seal(b, &set, err);
	if (r < 0)
		return r;
	r = mf_domain_set_make_image(set, &image, &len, err);
	mf_domain_set_free(set);
	if (r < 0)
		return r;
	tree->bytes = tree->bytes - f->len + len;
	free(f->owned);
	f->data = f->owned = image;
	f->len = len;
	return 0;
}

int mf_pack_build(const char *dir, struct mf_pack_manifest *ret_manifest, uint8_t **ret_data,
		  size_t *ret_len, struct mf_err *err)
{
	struct mf_pack pack = { .tier = 1 };
	struct mf_pack_tree tree = { 0 };
	char file[4096];
	int r;

	if (snprintf(file, sizeof(file), "%s/pack.lua", dir) >= (int)sizeof(file))
		return mf_err_set(err, MF_E_LIMIT, "the path of %.200s... is too long", dir);
	r = mf_pack_read(dir, &pack, err);
	if (r < 0)
		return r;
	r = mf_pack_manifest_of(&pack, file, ret_manifest, err);
	if (r == 0)
		r = mf_pack_tree_read(dir, &tree, err);
	if (r == 0)
		r = check_names(&tree, dir, err);
	for (size_t i = 0; r == 0 && i < pack.compile_cnt; i++)
		r = compile_list(&tree, pack.compile[i], dir, err);
	mf_pack_done(&pack);
	if (r == 0)
		r = add_manifest(&tree, ret_manifest, err);
	if (r == 0)
		r = mf_pack_archive_write(&tree, ret_data, ret_len, err);
	mf_pack_tree_done(&tree);
	return r;
}
