typedef int mf_observe_placeholder;
