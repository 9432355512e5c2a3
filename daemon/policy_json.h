/* SPDX-License-Identifier: Apache-2.0 */
/* policy_json.h - generations as the API shows them; each is a new reference, NULL or incomplete without memory */
#ifndef MF_DAEMON_POLICY_JSON_H
#define MF_DAEMON_POLICY_JSON_H

#include <jansson.h>

#include "core/policy/generations.h"

json_t *mf_policy_json_time(uint64_t wall_ns);
/** mf_policy_json_text() - What is no UTF-8 is a question mark */
json_t *mf_policy_json_text(const char *text);
/** mf_policy_json_policies() - A list of PolicyFile */
json_t *mf_policy_json_policies(struct mf_source_set *set);
json_t *mf_policy_json_paths(const struct mf_generation *g);
json_t *mf_policy_json_generation(const struct mf_generation *g, bool active);

#endif
