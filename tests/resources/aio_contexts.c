/* Contexts of asynchronous IO: one with events that nobody has fetched, one that went around, one that was never used. */
#include "../programs/selfcheck.h"
#include <linux/aio_abi.h>
#include <sys/syscall.h>

#define WAITING 3

static aio_context_t waiting, around, unused;
static int file;
static char buffers[WAITING][8];

static void submit(aio_context_t context, unsigned long data, void *buffer, long offset) {
    struct iocb request = {.aio_data = data, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (unsigned)file,
                           .aio_buf = (unsigned long)buffer, .aio_nbytes = 8, .aio_offset = offset};
    struct iocb *requests[] = {&request};
    if (syscall(SYS_io_submit, context, 1L, requests) != 1)
        abort();
}

static const char *fetch(aio_context_t context, unsigned long data) {
    struct io_event event;
    struct timespec limit = {20, 0};
    if (syscall(SYS_io_getevents, context, 1L, 1L, &event, &limit) != 1)
        return "an event is missing";
    return event.data != data || event.res != 8 ? "an event differs" : NULL;
}

static void fill(void) {
    for (int n = 0; n < WAITING; n++)
        submit(waiting, 100 + n, buffers[n], 8 * n);
}

static const char *check(void) {
    char buffer[8];
    struct io_event none;
    struct timespec now = {0, 0};
    const char *wrong = NULL;
    for (int n = 0; n < WAITING && !wrong; n++)
        wrong = fetch(waiting, 100 + n);
    if (!wrong && syscall(SYS_io_getevents, waiting, 0L, 1L, &none, &now) != 0)
        wrong = "there is an event too many";
    fill();
    for (int n = 0; n < 300 && !wrong; n++) {
        submit(around, n, buffer, 8 * (n % 4));
        wrong = fetch(around, n);
        if (!wrong && buffer[0] != 'a' + 8 * (n % 4))
            wrong = "a request has read something else";
    }
    submit(unused, 7, buffer, 0);
    return wrong ? wrong : fetch(unused, 7);
}

int main(void) {
    char text[32], buffer[8];
    block_usr1();
    for (int n = 0; n < 32; n++)
        text[n] = (char)('a' + n);
    file = open("data", O_RDWR | O_CREAT, 0600);
    aio_context_t gone = 0;
    if (write(file, text, sizeof text) != sizeof text || syscall(SYS_io_setup, 4, &gone) ||
        syscall(SYS_io_setup, 16, &waiting) || syscall(SYS_io_setup, 1, &around) || syscall(SYS_io_setup, 200, &unused))
        abort();
    syscall(SYS_io_destroy, gone); /* the numbers of the others have a gap before them */
    for (int n = 0; n < 1000; n++) {
        submit(around, n, buffer, 0);
        if (fetch(around, n))
            abort();
    }
    fill();
    serve(check);
}
