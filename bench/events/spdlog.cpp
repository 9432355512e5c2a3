/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spdlog.cpp - the peer of bench_events: the same line formatted and written by spdlog's asynchronous logger
 *
 *	spdlog FILE COUNT
 *
 * As bench_events: one core, a queue in which the sender waits for room, one thread that writes. What spdlog formats is the
 * text of the line with its two numbers; it escapes nothing.
 */
#include <sched.h>
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

static double processor_s()
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return double(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + double(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	unsigned long long cnt = argc > 2 ? strtoull(argv[2], nullptr, 10) : 0;
	cpu_set_t may, one;
	int core = 0;

	if (!cnt || sched_getaffinity(0, sizeof(may), &may))
		return 2;
	while (core < CPU_SETSIZE - 1 && !CPU_ISSET(core, &may))
		core++;
	CPU_ZERO(&one);
	CPU_SET(core, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return 2;
	auto begin = std::chrono::steady_clock::now();
	double cpu = processor_s();
	// About as many lines as our 4 MiB hold.
	spdlog::init_thread_pool(8192, 1);
	auto log = spdlog::basic_logger_mt<spdlog::async_factory>("events", argv[1]);
	log->set_pattern("{\"timestamp\":\"%Y-%m-%dT%H:%M:%S.%fZ\",%v}", spdlog::pattern_time_type::utc);
	for (unsigned long long i = 1; i <= cnt; i++)
		log->info("\"id\":\"9f2c11ab-{:012}\",\"type\":\"{}\",\"session_id\":\"{}\",\"source\":\"{}\",\"pid\":{},\"domain\":\"{}\","
			  "\"remote\":\"{}:{}\",\"operation\":\"{}\",\"policy\":{{\"decision\":\"{}\",\"effective_decision\":\"{}\","
			  "\"rule\":\"{}\",\"name\":\"{}\",\"generation\":{},\"origin\":\"{}\"}},"
			  "\"fields\":{{\"bytes_sent\":{},\"bytes_received\":{},\"duration_ms\":{}}}",
			  i, "net_close", "s1", "session", 4321, "api.vendor.example", "api.vendor.example", 443, "connect", "allow",
			  "allow", "network_rules[3] web", "corp-egress", 3, "memo", i, 5120, 812);
	log.reset();
	spdlog::shutdown();
	double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
	printf("{\"wall_s\": %.6f, \"cpu_s\": %.6f}\n", wall, processor_s() - cpu);
	return 0;
}
