/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A build that means harm (THREATS.md W15, W16), linked statically so that it is a whole root by itself.
 *
 *   hostile ATTACK [ARGUMENT]
 *
 * Attacks that must be denied exit 0 when every attempt was, and name on stdout each one that was not (exit 1).
 * Attacks on limits go on until they are stopped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static int breaches;

/* 'got' is a system call's result: anything but failure is a breach. */
static void denied(const char *what, long got)
{
    if (got < 0)
        return;
    printf("breach: %s\n", what);
    breaches++;
}

static void must(const char *what, int holds)
{
    if (holds)
        return;
    printf("breach: not so: %s (%s)\n", what, strerror(errno));
    breaches++;
}

static int try_connect(int family, int type, const void *address, socklen_t size)
{
    int fd = socket(family, type, 0);
    if (fd < 0)
        return -1;
    int result = connect(fd, address, size);
    if (result == 0 && type == SOCK_DGRAM)
        result = (int)send(fd, "x", 1, 0);
    close(fd);
    return result;
}

static void attack_network(const char *port)
{
    struct sockaddr_in loopback = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in name_server = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(0x09090909)}};
    struct sockaddr_vm hypervisor = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 1};
    struct sockaddr_un abstract = {.sun_family = AF_UNIX};
    int length = snprintf(abstract.sun_path + 1, sizeof abstract.sun_path - 1, "farm-test-%s", port);
    denied("connect to the host's loopback", try_connect(AF_INET, SOCK_STREAM, &loopback, sizeof loopback));
    denied("send to a name server", try_connect(AF_INET, SOCK_DGRAM, &name_server, sizeof name_server));
    denied("connect to the hypervisor", try_connect(AF_VSOCK, SOCK_STREAM, &hypervisor, sizeof hypervisor));
    denied("vsock socket", socket(AF_VSOCK, SOCK_STREAM, 0));
    denied("packet socket", socket(AF_PACKET, SOCK_RAW, 0));
    denied("raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    denied("kernel crypto socket", socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0));
    denied("abstract socket of the host",
           try_connect(AF_UNIX, SOCK_STREAM, &abstract,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)));
}

static int try_read(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    int got = (int)read(fd, &byte, 1);
    close(fd);
    return got > 0 ? 0 : -1;
}

/* The secret by its path, and through every process that /proc shows. */
static void attack_keys(const char *secret)
{
    static const char *const doors[] = {"root", "cwd", "root/../../../..", "cwd/../../../../.."};
    char path[4096];
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    denied(secret, try_read(secret));
    while (proc != NULL && (entry = readdir(proc)) != NULL)
        for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++) {
            snprintf(path, sizeof path, "/proc/%s/%s%s", entry->d_name, doors[i], secret);
            denied(path, try_read(path));
        }
    for (int fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/1/fd/%d", fd);
        denied(path, open(path, O_RDONLY));
        snprintf(path, sizeof path, "/proc/self/fd/%d/../secret", fd);
        denied(path, try_read(path));
    }
    denied("memory of process 1", open("/proc/1/mem", O_RDWR));
    denied("environment of process 1", try_read("/proc/1/environ"));
    denied("maps of process 1", try_read("/proc/1/maps"));
    denied("tracing process 1", ptrace(PTRACE_SEIZE, 1, 0, 0));
    char remote[8];
    struct iovec local = {path, sizeof remote}, other = {(void *)0x400000, sizeof remote};
    denied("process_vm_readv of process 1", syscall(SYS_process_vm_readv, 1, &local, 1, &other, 1, 0));
}

static int in_new_namespace(void *arg)
{
    (void)arg;
    return 0;
}

static void attack_kernel(const char *argument)
{
    static char stack[65536];
    (void)argument;
    denied("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    denied("bind mount", mount("/", "/tmp", NULL, MS_BIND, NULL));
    denied("remount", mount("none", "/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
    denied("umount /proc/cpuinfo", umount2("/proc/cpuinfo", MNT_DETACH));
    denied("unshare user", unshare(CLONE_NEWUSER));
    denied("unshare mount", unshare(CLONE_NEWNS));
    denied("clone user", clone(in_new_namespace, stack + sizeof stack, CLONE_NEWUSER | SIGCHLD, NULL));
    denied("clone pid", clone(in_new_namespace, stack + sizeof stack, CLONE_NEWPID | SIGCHLD, NULL));
    denied("chroot", chroot("/tmp"));
    denied("keyring", syscall(SYS_keyctl, 0, -3, 1));
    denied("add key", syscall(SYS_add_key, "user", "x", "x", 1, -3));
    denied("bpf", syscall(SYS_bpf, 0, NULL, 0));
    denied("perf", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    denied("userfaultfd", syscall(SYS_userfaultfd, 0));
    denied("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
    denied("memfd", syscall(SYS_memfd_create, "x", 0));
    denied("open by handle", syscall(SYS_open_by_handle_at, 0, NULL, 0));
    denied("device node", mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0)));
    denied("other uid", chown("/tmp", 1000, 1000));
    denied("becoming another uid", setuid(1000));
    denied("hostname", sethostname("x", 1));
    denied("negative nice", setpriority(PRIO_PROCESS, 0, -5));
    denied("terminal input", ioctl(0, TIOCSTI, "x"));
    denied("kernel log", syscall(SYS_syslog, 3, stack, sizeof stack));
    denied("sysctl", open("/proc/sys/kernel/core_pattern", O_WRONLY));
    denied("user namespaces sysctl", open("/proc/sys/user/max_user_namespaces", O_WRONLY));
    denied("sysrq", open("/proc/sysrq-trigger", O_WRONLY));
    denied("swap", syscall(SYS_swapon, "/tmp/x", 0));
    errno = 0;
    must("ioctl with a dirty upper half is still filtered",
         syscall(SYS_ioctl, 0, 0x100000000 | TIOCSTI, "x") < 0 && errno == EPERM);
}

static void attack_files(const char *readonly)
{
    char path[256];
    snprintf(path, sizeof path, "%s/x", readonly);
    denied("write to a read-only bind", open(path, O_WRONLY | O_CREAT, 0600));
    denied("write to /dev", open("/dev/x", O_WRONLY | O_CREAT, 0600));
    denied("write to /sys", open("/sys/x", O_WRONLY | O_CREAT, 0600));
    denied("write to /proc/cpuinfo", open("/proc/cpuinfo", O_WRONLY));
    denied("/dev/mem", open("/dev/mem", O_RDONLY));
    denied("/dev/vda", open("/dev/vda", O_RDONLY));
    denied("/etc/passwd of the host", open("/etc/passwd", O_RDONLY));
    denied("/oldroot", open("/oldroot", O_RDONLY));
    denied("/newroot", open("/newroot", O_RDONLY));
    must("the root itself can be written", open("/x", O_WRONLY | O_CREAT, 0600) >= 0);
}

/* Descriptors, processes, name, CPUs: only what is ours. */
static void attack_view(const char *worker_pid)
{
    struct utsname name;
    cpu_set_t cpus;
    char text[64] = "";
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    must("descriptors 0 to 2 and no others", count == 2 + 3 + 1);
    dir = opendir("/proc");
    count = 0;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
    must("two processes", count == 2);
    must("the worker cannot be signalled", kill(atoi(worker_pid), 0) < 0 && errno == ESRCH);
    must("host name", uname(&name) == 0 && strcmp(name.nodename, "intergenos") == 0);
    must("one CPU by affinity", sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1);
    must("one CPU by sysconf", sysconf(_SC_NPROCESSORS_CONF) == 1 && sysconf(_SC_NPROCESSORS_ONLN) == 1);
    int fd = open("/sys/devices/system/cpu/online", O_RDONLY);
    must("one CPU by sysfs", fd >= 0 && read(fd, text, sizeof text - 1) == 2 && strcmp(text, "0\n") == 0);
    must("ASLR is off", ((unsigned long)personality(0xffffffff) & ADDR_NO_RANDOMIZE) != 0);
    must("umask 022", umask(0) == 022);
    must("stdin is empty", read(0, text, 1) == 0);
    must("uid and gid 0", getuid() == 0 && getgid() == 0);
    must("environment", getenv("A") != NULL && strcmp(getenv("A"), "1") == 0 && getenv("PATH") == NULL &&
                            getenv("HOME") == NULL);
    for (int number = 1; number < 32; number++)
        must("signals as in a fresh login",
             number == SIGKILL || number == SIGSTOP || signal(number, SIG_DFL) == SIG_DFL);
    sigset_t blocked;
    must("no signal blocked", sigprocmask(SIG_BLOCK, NULL, &blocked) == 0 && sigisemptyset(&blocked));
    must("process 1 lives", kill(1, SIGKILL) == 0 && getppid() == 1);
}

static void attack_forks(const char *argument)
{
    (void)argument;
    for (;;)
        if (fork() < 0)
            usleep(1000);
}

static void eat(int flags)
{
    for (;;) {
        size_t size = 1 << 20;
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            exit(3);
        memset(memory, 1, size);
    }
}

static void attack_memory(const char *kind)
{
    if (strcmp(kind, "private") == 0)
        eat(MAP_PRIVATE);
    if (strcmp(kind, "shared") == 0)
        eat(MAP_SHARED);
    if (strcmp(kind, "many") == 0)
        for (int i = 0; i < 8; i++)
            if (fork() == 0) {
                char *memory = malloc(24 << 20);
                memset(memory, 1, 24 << 20);
                __asm__ volatile(""
                                 :
                                 : "r"(memory)
                                 : "memory"); /* or the compiler sees that nobody reads it */
                pause();
            }
    if (strcmp(kind, "sysv") == 0)
        for (;;) {
            int id = shmget(IPC_PRIVATE, 1 << 20, 0600);
            char *memory = shmat(id, NULL, 0);
            if (memory == (char *)-1)
                exit(3);
            memset(memory, 1, 1 << 20);
            shmdt(memory);
        }
    pause();
}

static void fill(int fd, size_t most)
{
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    for (size_t done = 0; done < most; done += sizeof block)
        if (write(fd, block, sizeof block) < 0) {
            printf("write: %s\n", strerror(errno));
            exit(errno == ENOSPC ? 28 : 3);
        }
}

static void attack_disk(const char *kind)
{
    char path[64];
    if (strcmp(kind, "tmp") == 0)
        fill(open("/tmp/x", O_WRONLY | O_CREAT, 0600), SIZE_MAX / 2);
    if (strcmp(kind, "shm") == 0)
        fill(open("/dev/shm/x", O_WRONLY | O_CREAT, 0600), SIZE_MAX / 2);
    if (strcmp(kind, "one") == 0)
        fill(open("/x", O_WRONLY | O_CREAT, 0600), SIZE_MAX / 2);
    for (int i = 0;; i++) {
        snprintf(path, sizeof path, "%s/f%d", strcmp(kind, "bind") == 0 ? "/work" : "", i);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        if (fd < 0)
            exit(4);
        if (strcmp(kind, "deleted") == 0)
            unlink(path);
        fill(fd, 4 << 20);
        if (strcmp(kind, "deleted") != 0)
            close(fd);
        if (strcmp(kind, "deleted") == 0 && i > 200)
            pause();
    }
}

static void attack_time(const char *argument)
{
    (void)argument;
    signal(SIGTERM, SIG_IGN);
    for (;;)
        pause();
}

static void attack_log(const char *argument)
{
    (void)argument;
    for (;;)
        puts("a line of sixty-four bytes, as any other line of a build's log.");
}

/* Outlives its step and goes on writing; holds a lock for as long as it lives. */
static void attack_daemon(const char *path)
{
    if (fork() > 0) {
        while (access("/work/ready", F_OK) < 0)
            usleep(1000);
        exit(0);
    }
    setsid();
    for (int i = 1; i < 32; i++)
        signal(i, SIG_IGN);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    flock(fd, LOCK_EX);
    open("/work/ready", O_WRONLY | O_CREAT, 0600);
    for (;;) {
        if (write(fd, "x", 1) < 0)
            exit(3);
        usleep(1000);
    }
}

static void attack_hold(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    flock(fd, LOCK_EX);
    printf("held\n");
    fflush(stdout);
    pause();
}

/* What makes a tree hard to remove. */
static void attack_mess(const char *argument)
{
    (void)argument;
    if (chdir("/work") < 0)
        exit(3);
    mkdir("sealed", 0700);
    close(open("sealed/file", O_WRONLY | O_CREAT, 0));
    chmod("sealed", 0);
    if (symlink("/", "everything") < 0 || mkdir("a:b,c\\d", 0311) < 0)
        exit(3);
    for (int i = 0; i < 3000; i++)
        if (mkdir("0123456789", 0700) < 0 || chdir("0123456789") < 0)
            exit(4);
    close(open("bottom", O_WRONLY | O_CREAT, 0));
}

static void attack_exit(const char *status)
{
    exit(atoi(status));
}

static void attack_crash(const char *number)
{
    raise(atoi(number));
}

static void attack_sleep(const char *ms)
{
    usleep((useconds_t)atoi(ms) * 1000);
}

static const struct {
    const char *name;
    void (*run)(const char *argument);
} attacks[] = {
    {"network", attack_network}, {"keys", attack_keys},   {"kernel", attack_kernel}, {"files", attack_files},
    {"view", attack_view},       {"forks", attack_forks}, {"memory", attack_memory}, {"disk", attack_disk},
    {"time", attack_time},       {"log", attack_log},     {"daemon", attack_daemon}, {"hold", attack_hold},
    {"mess", attack_mess},       {"exit", attack_exit},   {"crash", attack_crash},   {"sleep", attack_sleep}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof attacks / sizeof attacks[0]; i++)
        if (strcmp(argv[1], attacks[i].name) == 0) {
            attacks[i].run(argc > 2 ? argv[2] : "");
            return breaches > 0;
        }
    return 2;
}
