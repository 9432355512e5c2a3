typedef int mf_capture_placeholder;
