/* Mappings. The check of each: the memory is there and holds what it held. */
#include "things.h"
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <net/ethernet.h>
#include <arpa/inet.h>
#include <sys/ioctl.h>

#define SIZE 8192
static const char word[] = "what the memory holds";
static char *held[16];
static int count;

static const char *hold(void *at) {
    if (at == MAP_FAILED)
        return missing(-1);
    strcpy(at, word);
    held[count++] = at;
    return NULL;
}

static const char *check(void) {
    for (int i = 0; i < count; i++)
        if (strcmp(held[i], word))
            return "the memory does not hold what it held";
    return NULL;
}

static void *anonymous(void) {
    return mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void *shared(int fd, size_t size, off_t offset) {
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
    int error = errno;
    close(fd);
    errno = error;
    return at;
}

static const char *secret_memory(void) {
    int fd = syscall(SYS_memfd_secret, 0);
    if (fd >= 0 && ftruncate(fd, SIZE))
        abort();
    return hold(shared(fd, SIZE, 0));
}

static const char *userfault_memory(void) {
    void *at = anonymous();
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {{(uintptr_t)at, SIZE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    hold(at);
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
        return missing(-1);
    return missing(ioctl(fd, UFFDIO_REGISTER, &range));
}

static const char *perf_buffer(void) {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes,
                                         .config = PERF_COUNT_SW_DUMMY, .exclude_kernel = 1};
    void *at = shared(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0), SIZE, 0);
    return at == MAP_FAILED ? missing(-1) : NULL;
}

static const char *ring(void) {
    struct io_uring_params parameters = {0};
    int fd = syscall(SYS_io_uring_setup, 4, &parameters);
    void *at = shared(fd, 4096, IORING_OFF_SQES);
    close(fd);
    return at == MAP_FAILED ? missing(-1) : NULL;
}

static const char *packet_ring(void) {
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct tpacket_req request = {4096, 2, 2048, 4};
    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request))
        return missing(-1);
    return shared(fd, 8192, 0) == MAP_FAILED ? missing(-1) : NULL;
}

#define ROW(name) {#name, name, check}
const struct thing memory[] = {
    ROW(secret_memory), ROW(userfault_memory), ROW(perf_buffer), ROW(ring),
    ROW(packet_ring), {0},
};
