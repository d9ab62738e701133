/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "disk.h"

#include "farm.h"
#include "farmlog.h"

#include <stdio.h>
#include <sys/statvfs.h>

/* A build fills gigabytes in a minute, not in seconds; the reserve is there for what comes between two looks. */
enum { LOOK_MS = 2000 };

bool disk_is_low(bool was_low, uint64_t free_bytes, uint64_t reserve_bytes)
{
    uint64_t enough = was_low ? reserve_bytes + reserve_bytes / 8 : reserve_bytes;
    return free_bytes < enough;
}

const char *farm_held(const struct farm *farm)
{
    if (farm->disk.low)
        return farm->disk.text;
    return farm->restored.waits ? farm->restored.text : NULL;
}

void farm_tell_hold(struct farm *farm)
{
    const char *text = farm_held(farm);
    struct core_event event = {.type = CORE_HOLD, .flag = text != NULL, .text = text};
    if (!farm->leaving) /* then it is held for good */
        (void)farm_feed(farm, &event, NULL);
}

static void tell(struct farm *farm, uint64_t free_bytes)
{
    struct disk *disk = &farm->disk;
    snprintf(
        disk->text, sizeof disk->text,
        "the disk under %s has %llu MiB left, less than the reserve of %llu MiB; make room (\"farmctl gc\"), "
        "and work goes on by itself",
        farm->state_path, (unsigned long long)(free_bytes >> 20),
        (unsigned long long)(farm->config.reserve >> 20));
    farm_tell_hold(farm);
    if (disk->low)
        log_error("no new work: %s", disk->text);
    else
        log_event(LOG_LEVEL_INFO, "the disk has room again, work goes on",
                  log_number(FIELD_BYTES, (int64_t)free_bytes));
}

void disk_turn(struct farm *farm)
{
    struct statvfs found;
    int64_t now_ms = moment_steady_ms();
    if (now_ms < farm->disk.due_ms || farm->leaving) /* then work is held already */
        return;
    farm->disk.due_ms = now_ms + LOOK_MS;
    if (fstatvfs(farm->state_dirfd, &found) < 0)
        return;
    uint64_t free_bytes = (uint64_t)found.f_bavail * found.f_frsize;
    bool low = disk_is_low(farm->disk.low, free_bytes, farm->config.reserve);
    if (low == farm->disk.low)
        return;
    farm->disk.low = low;
    tell(farm, free_bytes);
}

int disk_check(const struct farm *farm, struct diag *diag)
{
    return farm->disk.low ? diag_set(diag, FARM_E_UNAVAILABLE, "%s", farm->disk.text) : 0;
}
