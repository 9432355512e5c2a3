/* SPDX-License-Identifier: Apache-2.0 */
/* event_stamp.h - the beginning of every line, whose digits are filled in when the event is queued */
#ifndef MF_OBSERVE_EVENT_STAMP_H
#define MF_OBSERVE_EVENT_STAMP_H

#include "core/observe/events.h"

/* Fixed width, so that the place of each digit is known. The id is a random run and a number that counts up. */
#define MF_EVENT_STAMP \
	"{\"timestamp\":\"0000-00-00T00:00:00.000000Z\",\"id\":\"00000000-000000000000\""
#define MF_EVENT_TIME_AT    14u
#define MF_EVENT_RUN_AT	    49u
#define MF_EVENT_NUMBER_AT  58u
#define MF_EVENT_NUMBER_LEN 12u

_Static_assert(sizeof(MF_EVENT_STAMP) - 1 == MF_EVENT_NUMBER_AT + MF_EVENT_NUMBER_LEN + 1,
	       "places in the stamp");

#endif
