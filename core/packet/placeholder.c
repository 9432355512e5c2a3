typedef int mf_packet_placeholder;
