/* SPDX-License-Identifier: Apache-2.0 */
/* config_int.h - the inside of reading moonfence.yaml: config.c (sections of settings), config_services.c (what is run) */
#ifndef MF_DAEMON_CONFIG_INT_H
#define MF_DAEMON_CONFIG_INT_H

#include "core/base/printf.h"
#include "core/policy/yaml_tree.h"
#include "daemon/config.h"

struct mf_config_parse {
	struct mf_config *c;
	const char *file;
	struct mf_err *err;
	char *memory;
	size_t used; /* of memory, which is as long as all the text and more */
};

/** mf_config_wrong() - Say what is wrong at a node; Return: MF_E_SYNTAX */
int mf_config_wrong(const struct mf_config_parse *p, const struct mf_yaml_node *at, const char *fmt,
		    ...) MF_PRINTF(3, 4);

/** mf_config_unknown() - @key is none of @names (NULL-terminated), one of which may have been meant; @section NULL: none */
int mf_config_unknown(const struct mf_config_parse *p, const char *section,
		      const struct mf_yaml_node *key, const char *const *names);

/* config_services.c */
#define MF_CONFIG_SERVICE_SECTIONS 4
const char *mf_config_service_section(size_t i);
bool mf_config_is_services(const char *section);
int mf_config_take_services(struct mf_config_parse *p, const struct mf_yaml_node *section,
			    const struct mf_yaml_node *node);
void mf_config_services_done(struct mf_config *c);

#endif
