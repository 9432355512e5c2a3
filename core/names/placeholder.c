typedef int mf_names_placeholder;
