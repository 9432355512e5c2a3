/* SPDX-License-Identifier: Apache-2.0 */
/* watch_report.h - what a monitor has to say when it ends */
#ifndef MF_CLI_WATCH_REPORT_H
#define MF_CLI_WATCH_REPORT_H

#include "core/base/log.h"
#include "fs/monitor.h"

/** mf_watch_report() - When nobody serves it any more: counts, and a warning for what it could not tell */
void mf_watch_report(const struct mf_monitor *monitor, const struct mf_log *log);

#endif
