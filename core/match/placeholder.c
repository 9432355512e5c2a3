typedef int mf_match_placeholder;
