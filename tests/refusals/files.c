/* Descriptors. The check of each: it is still what it was, and still there. */
#include "things.h"
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define MAX 64
static struct { int fd; struct stat was; } held[MAX];
static int count;

static const char *hold(int fd) {
    if (fd < 0)
        return missing(fd);
    if (count == MAX || fstat(fd, &held[count].was))
        abort();
    held[count++].fd = fd;
    return NULL;
}

static const char *check(void) {
    struct stat is;
    for (int i = 0; i < count; i++)
        if (fstat(held[i].fd, &is) || is.st_ino != held[i].was.st_ino)
            return "a descriptor is not what it was";
    return NULL;
}

static const char *io_uring(void) {
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER};
    return hold(syscall(SYS_io_uring_setup, 4, &parameters));
}

static const char *perf_event(void) {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes,
                                         .config = PERF_COUNT_SW_DUMMY, .exclude_kernel = 1};
    return hold(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static const char *bpf_map(void) {
    union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_LRU_HASH, .key_size = 4, .value_size = 8, .max_entries = 1};
    return hold(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

static const char *bpf_program(void) {
    struct bpf_insn code[] = {{.code = 0xb7}, {.code = 0x95}}; /* r0 = 0; exit */
    union bpf_attr attributes = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2,
                                 .insns = (uintptr_t)code, .license = (uintptr_t) "GPL"};
    return hold(syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes));
}


static const char *inotify_events(void) {
    int fd = inotify_init();
    if (inotify_add_watch(fd, ".", IN_CREATE) < 0 || close(open("event", O_CREAT | O_RDWR, 0600)))
        return missing(-1);
    return hold(fd);
}

static const char *tcp(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof to;
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (void *)&to, size) || listen(server, 1) || getsockname(server, (void *)&to, &size) ||
        connect(client, (void *)&to, size))
        abort();
    hold(server = accept(server, NULL, NULL));
    if (send(server, "!", 1, MSG_OOB) != 1)
        abort();
    return hold(client);
}

static const char *mptcp(void) { return hold(socket(AF_INET, SOCK_STREAM, 262)); }
static const char *vsock(void) { return hold(socket(AF_VSOCK, SOCK_STREAM, 0)); }
static const char *crypto(void) { return hold(socket(AF_ALG, SOCK_SEQPACKET, 0)); }
static const char *xdp(void) { return hold(socket(AF_XDP, SOCK_RAW, 0)); }
static const char *kvm(void) { return hold(open("/dev/kvm", O_RDWR)); }
static const char *fuse(void) { return hold(open("/dev/fuse", O_RDWR)); }
static const char *disk(void) { return hold(open("/dev/vda", O_RDONLY)); }
static const char *userfault(void) { return hold(syscall(SYS_userfaultfd, O_CLOEXEC)); }
static const char *secret(void) { return hold(syscall(SYS_memfd_secret, 0)); }
static const char *landlock(void) {
    uint64_t rights[2] = {1};
    return hold(syscall(SYS_landlock_create_ruleset, rights, 8, 0));
}
static const char *filesystem(void) { return hold(syscall(SYS_fsopen, "tmpfs", 0)); }
static const char *detached_mount(void) { return hold(syscall(SYS_open_tree, AT_FDCWD, "/tmp", 1)); }
static const char *pressure(void) { /* to be told when tasks wait for a processor */
    int fd = open("/proc/pressure/cpu", O_RDWR);
    return fd >= 0 && write(fd, "some 500000 2000000", 20) != 20 ? missing(-1) : hold(fd);
}
static const char *pidfd_outside(void) { return hold(syscall(SYS_pidfd_open, 1, 0)); }

static const char *directory_notice(void) {
    int fd = open(".", O_RDONLY);
    signal(SIGIO, SIG_IGN);
    if (fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT))
        return missing(-1);
    return hold(fd);
}

#define ROW(name) {#name, name, check}
const struct thing files[] = {
    ROW(io_uring), ROW(perf_event), ROW(bpf_map), ROW(bpf_program), ROW(inotify_events),
    ROW(tcp), ROW(mptcp), ROW(vsock), ROW(crypto), ROW(xdp), ROW(kvm),
    ROW(fuse), ROW(disk), ROW(userfault), ROW(secret), ROW(landlock), ROW(filesystem),
    ROW(detached_mount), ROW(pidfd_outside), ROW(pressure),
    ROW(directory_notice), {0},
};
