/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "facts.h"

#include "file.h"

#include <assert.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The value behind "name<tabs>: " of the first line with that name. */
static struct view cpuinfo_field(struct view text, const char *name)
{
    struct view line;
    size_t size = strlen(name);
    while (view_split(&text, '\n', &line)) {
        if (!view_starts(line, view_text(name)))
            continue;
        size_t at = size;
        while (at < line.size && (line.data[at] == '\t' || line.data[at] == ' '))
            at++;
        if (at + 1 < line.size && line.data[at] == ':')
            return view_of(line.data + at + 2, line.size - at - 2);
    }
    return VIEW_NONE;
}

static bool has_flags(struct view flags, const char *wanted)
{
    struct view rest = view_text(wanted), want;
    while (view_split(&rest, ' ', &want)) {
        struct view all = flags, one;
        bool found = false;
        while (!found && view_split(&all, ' ', &one))
            found = view_equal(one, want);
        if (!found)
            return false;
    }
    return true;
}

/* The levels of the x86-64 psABI, by the kernel's names of the flags. */
static const char *x86_level(struct view flags)
{
    static const struct {
        const char *name, *flags;
    } levels[] = {
        {"x86-64-v2", "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"},
        {"x86-64-v3", "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"},
        {"x86-64-v4", "avx512f avx512bw avx512cd avx512dq avx512vl"},
    };
    const char *level = "x86-64-v1";
    for (size_t i = 0; i < ARRAY_SIZE(levels) && has_flags(flags, levels[i].flags); i++)
        level = levels[i].name;
    return level;
}

static void set_token(char ret[FACTS_TEXT_MAX], struct view text)
{
    if (!view_is_token(text) || text.size >= FACTS_TEXT_MAX)
        text = VIEW("unknown");
    assert(text.data != NULL);
    memcpy(ret, text.data, text.size);
    ret[text.size] = '\0';
}

void facts_cpu(struct view cpuinfo, const char *machine, struct facts *ret)
{
    struct view vendor = cpuinfo_field(cpuinfo, "vendor_id");
    if (vendor.size == 0)
        vendor = cpuinfo_field(cpuinfo, "CPU implementer");
    set_token(ret->cpu_vendor, vendor);
    bool x86 = strcmp(machine, "x86_64") == 0;
    set_token(ret->cpu_level, view_text(x86 ? x86_level(cpuinfo_field(cpuinfo, "flags")) : machine));
}

void facts_kernel(const char *release, struct facts *ret)
{
    size_t dots = 0, size = 0;
    while (release[size] != '\0' &&
           ((release[size] >= '0' && release[size] <= '9') || release[size] == '.')) {
        if (release[size] == '.' && ++dots == 2)
            break;
        size++;
    }
    set_token(ret->kernel, view_of(release, size));
}

static uint64_t usable_cores(void)
{
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (uint64_t)CPU_COUNT(&set);
    return online > 0 ? (uint64_t)online : 1;
}

int facts_read(int state_dirfd, struct facts *ret, struct diag *diag)
{
    /* Some 2 KiB a core; the first core's lines are enough. */
    enum { CPUINFO_MAX = 16 * 1024 * 1024 };
    CLEANUP_BUF struct buf cpuinfo = BUF_INIT;
    struct facts facts = {0};
    struct utsname name;
    struct statvfs disk;
    int error = file_read(AT_FDCWD, "/proc/cpuinfo", CPUINFO_MAX, &cpuinfo, diag);
    if (error < 0)
        return error;
    if (uname(&name) < 0 || fstatvfs(state_dirfd, &disk) < 0)
        return diag_errno(diag, "cannot ask this machine what it has");
    facts_cpu(buf_view(&cpuinfo), name.machine, &facts);
    facts_kernel(name.release, &facts);
    facts.cores = usable_cores();
    facts.memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    facts.disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    *ret = facts;
    return 0;
}
