typedef int mf_policy_placeholder;
