typedef int mf_proxies_placeholder;
