/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "moment.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t moment_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int64_t moment_steady_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

struct moment_text moment_format(int64_t wall_ms)
{
    struct moment_text result;
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(result.text, sizeof result.text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(result.text, sizeof result.text, "invalid-time");
    return result;
}

bool moment_parse(struct view text, int64_t *ret_wall_ms)
{
    if (text.size != 20)
        return false;
    char copy[21];
    memcpy(copy, text.data, 20);
    copy[20] = '\0';
    struct tm parts = {0};
    const char *end = strptime(copy, "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (end == NULL || *end != '\0')
        return false;
    int64_t ms = (int64_t)timegm(&parts) * 1000;
    if (memcmp(moment_format(ms).text, copy, 21) != 0) /* refuses 31 February and other forms of a date */
        return false;
    *ret_wall_ms = ms;
    return true;
}

struct moment_text moment_duration(int64_t ms)
{
    struct moment_text result;
    if (ms < 1000)
        snprintf(result.text, sizeof result.text, "%" PRId64 " ms", ms);
    else if (ms < 60000)
        snprintf(result.text, sizeof result.text, "%" PRId64 ".%" PRId64 " s", ms / 1000, ms % 1000 / 100);
    else if (ms < 3600000)
        snprintf(result.text, sizeof result.text, "%" PRId64 " min %02" PRId64 " s", ms / 60000,
                 ms / 1000 % 60);
    else
        snprintf(result.text, sizeof result.text, "%" PRId64 " h %02" PRId64 " min", ms / 3600000,
                 ms / 60000 % 60);
    return result;
}
