/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mask.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
/* x86-64-v2, the level of the build contract; no vendor, so that no configure script guesses a family. */
#define CPU_TEXT                                                                                             \
    "vendor_id\t: InterGenOS\ncpu family\t: 6\nmodel\t\t: 0\nmodel name\t: x86-64-v2\nstepping\t: 0\n"       \
    "cpu MHz\t\t: 1000.000\ncache size\t: 1024 KB\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: "      \
    "11\nwp\t\t: yes\n"                                                                                      \
    "flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr "   \
    "sse sse2 "                                                                                              \
    "syscall nx lm pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm\nbugs\t\t:\nbogomips\t: 2000.00\n"
#else
#define CPU_TEXT "BogoMIPS\t: 100.00\n"
#endif

void mask_cpuinfo(unsigned cores, struct buf *ret)
{
    for (unsigned i = 0; i < cores; i++)
        buf_add_format(ret, "processor\t: %u\n" CPU_TEXT "\n", i);
}

void mask_cpu_list(unsigned cores, struct buf *ret)
{
    buf_add_format(ret, cores == 1 ? "0\n" : "0-%u\n", cores - 1);
}

static int write_file(int dirfd, const char *name, struct view content, struct diag *diag)
{
    int fd CLEANUP_CLOSE = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    int error = fd < 0 ? -errno : file_write_all(fd, content.data, content.size);
    return error < 0 ? diag_set(diag, error, "cannot write the masked %s: %s", name, farm_error_text(error))
                     : 0;
}

static int write_cpus(int dirfd, unsigned cores, struct diag *diag)
{
    static const char *const lists[] = {"online", "possible", "present"};
    struct buf text CLEANUP_BUF = BUF_INIT;
    int error = 0;
    mask_cpu_list(cores, &text);
    for (size_t i = 0; error >= 0 && i < ARRAY_SIZE(lists); i++)
        error = write_file(dirfd, lists[i], buf_view(&text), diag);
    for (unsigned i = 0; error >= 0 && i < cores; i++) {
        char name[16];
        snprintf(name, sizeof name, "cpu%u", i);
        if (mkdirat(dirfd, name, 0755) < 0)
            error = diag_errno(diag, "cannot make the masked %s", name);
    }
    return error;
}

int mask_write(const char *dir, unsigned cores, struct diag *diag)
{
    static const char *const dirs[] = {"sys", "sys/devices", "sys/devices/system", "sys/devices/system/cpu"};
    struct buf cpuinfo CLEANUP_BUF = BUF_INIT;
    int dirfd CLEANUP_CLOSE = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return diag_errno(diag, "cannot open %s", dir);
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        if (mkdirat(dirfd, dirs[i], 0755) < 0)
            return diag_errno(diag, "cannot make the masked %s", dirs[i]);
    int cpufd CLEANUP_CLOSE = openat(dirfd, dirs[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cpufd < 0)
        return diag_errno(diag, "cannot open the masked %s", dirs[3]);
    mask_cpuinfo(cores, &cpuinfo);
    int error = write_file(dirfd, "cpuinfo", buf_view(&cpuinfo), diag);
    return error < 0 ? error : write_cpus(cpufd, cores, diag);
}

int mask_choose(unsigned cores, unsigned first, struct buf *ret, struct diag *diag)
{
    cpu_set_t have;
    unsigned usable[CPU_SETSIZE], count = 0;
    if (sched_getaffinity(0, sizeof have, &have) < 0)
        return diag_errno(diag, "cannot read the CPU affinity");
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &have))
            usable[count++] = i;
    if (cores > count)
        return diag_set(diag, FARM_E_UNAVAILABLE, "the job wants %u CPUs and this worker may use %u", cores,
                        count);
    for (unsigned i = 0; i < cores; i++)
        buf_add_format(ret, "%s%u", i > 0 ? "," : "", usable[(first % count + i) % count]);
    return 0;
}
