/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Written out by hand instead of through libseccomp: it is one table and two argument checks, the same for every job,
 * and the worker carries a library less. The kernel caches the calls that are always allowed, so the length of
 * the table costs nothing.
 */
#include "filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "filter.c: name the audit architecture of this machine"
#endif

#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

/* x32 calls carry this bit in the number and the native architecture in the data. */
enum { X32_BIT = 0x40000000 };

/* ENOSYS where programs have a fallback for older kernels, EPERM where they should not try. */
static const struct {
    int number;
    int error;
} denied[] = {
    /* keyrings belong to the host's user, not to a namespace */
    {SYS_keyctl, EPERM},
    {SYS_add_key, EPERM},
    {SYS_request_key, EPERM},
    /* attack surface that no build needs */
    {SYS_bpf, EPERM},
    {SYS_perf_event_open, EPERM},
    {SYS_userfaultfd, ENOSYS},
    {SYS_io_uring_setup, ENOSYS},
    {SYS_io_uring_enter, ENOSYS},
    {SYS_io_uring_register, ENOSYS},
    {SYS_fanotify_init, EPERM},
    {SYS_open_by_handle_at, EPERM},
    {SYS_kexec_load, EPERM},
    {SYS_kexec_file_load, EPERM},
    {SYS_init_module, EPERM},
    {SYS_finit_module, EPERM},
    {SYS_delete_module, EPERM},
    {SYS_quotactl, EPERM},
    {SYS_acct, EPERM},
    {SYS_syslog, EPERM},
    {SYS_lookup_dcookie, EPERM},
    {SYS_vhangup, EPERM},
    /* other people's processes and mounts; without capabilities they fail anyway */
    {SYS_mount, EPERM},
    {SYS_umount2, EPERM},
    {SYS_pivot_root, EPERM},
    {SYS_fsopen, EPERM},
    {SYS_fsconfig, EPERM},
    {SYS_fsmount, EPERM},
    {SYS_fspick, EPERM},
    {SYS_move_mount, EPERM},
    {SYS_open_tree, EPERM},
    {SYS_mount_setattr, EPERM},
    {SYS_setns, EPERM},
    {SYS_unshare, EPERM},
    {SYS_chroot, EPERM},
    /* memory that belongs to no process and no sized file system: the watchdog could not see it */
    {SYS_memfd_create, ENOSYS},
    {SYS_memfd_secret, ENOSYS},
};

/* Families that network namespaces cover. Others reach the host: AF_VSOCK its hypervisor, AF_ALG its kernel. */
static const unsigned families[] = {AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

/* Pushing characters into a terminal's input, as if its owner had typed them. */
static const unsigned terminal[] = {TIOCSTI, TIOCLINUX};

static void put(struct buf *buf, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false)
{
    struct sock_filter instruction = {code, if_true, if_false, value};
    buf_add(buf, &instruction, sizeof instruction);
}

static void load(struct buf *buf, size_t offset)
{
    put(buf, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void give(struct buf *buf, int error)
{
    put(buf, BPF_RET | BPF_K, error == 0 ? SECCOMP_RET_ALLOW : (uint32_t)(SECCOMP_RET_ERRNO | error), 0, 0);
}

/* Returns 'error' if the loaded value equals 'value'. */
static void deny_equal(struct buf *buf, uint32_t value, int error)
{
    put(buf, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    give(buf, error);
}

/* The lower half of an argument: the kernel takes families and ioctl commands as 32 bits. */
static size_t argument(unsigned index)
{
    size_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
    return offsetof(struct seccomp_data, args) + 8 * index + low;
}

static void check_ioctl(struct buf *buf)
{
    put(buf, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 2 + 2 * ARRAY_SIZE(terminal));
    load(buf, argument(1));
    for (size_t i = 0; i < ARRAY_SIZE(terminal); i++)
        deny_equal(buf, terminal[i], EPERM);
    give(buf, 0);
}

static void check_socket(struct buf *buf)
{
    put(buf, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 2 + 2 * ARRAY_SIZE(families));
    load(buf, argument(0));
    for (size_t i = 0; i < ARRAY_SIZE(families); i++)
        deny_equal(buf, families[i], 0);
    give(buf, EAFNOSUPPORT);
}

void filter_build(struct buf *ret)
{
    load(ret, offsetof(struct seccomp_data, arch));
    /* Programs of another architecture (32-bit ones): as on a kernel without support for them. */
    put(ret, BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
    give(ret, ENOSYS);
    load(ret, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    put(ret, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    give(ret, ENOSYS);
#endif
    for (size_t i = 0; i < ARRAY_SIZE(denied); i++)
        deny_equal(ret, (uint32_t)denied[i].number, denied[i].error);
    check_ioctl(ret);
    check_socket(ret);
    give(ret, 0);
}
