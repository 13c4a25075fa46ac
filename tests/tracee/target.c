/* A process that notices when anything is done to it. Every thread counts its rounds in a page shared with the test,
 * and says there what it found wrong. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS 10
#define SIGNAL (SIGRTMIN + 1)

struct shared {
    atomic_ulong stop;
    atomic_ulong rounds[THREADS];
    atomic_ulong wrong[THREADS]; /* 0, or what was wrong: a line number of this file, errno above it */
    atomic_ulong sent, got, interrupted, strange;
};

static struct shared *shared;
static int pipes[2];

static void wrong(int self, int line, int code) {
    unsigned long none = 0;
    atomic_compare_exchange_strong(&shared->wrong[self], &none, (unsigned long)code << 32 | line);
}
#define CHECK(ok) do { if (!(ok)) wrong(self, __LINE__, errno); } while (0)

/* spin(rounds, stack): all registers hold patterns, flags are set and tested, on a stack of one word at `stack`.
 * Gives 0 if everything was as expected. */
long spin(long rounds, uint64_t *stack);
__asm__(
    "spin:\n"
    "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "    mov %rsp, (%rsi); mov %rsi, %rsp\n"
    "    mov $-101, %rbx; mov $102, %rcx; mov $-103, %rdx; mov $104, %rsi; mov $-105, %rbp; mov $106, %r8\n"
    "    mov $-107, %r9; mov $108, %r10; mov $-109, %r11; mov $110, %r12; mov $-111, %r13; mov $112, %r14\n"
    "    mov $-113, %r15; movq %rbx, %xmm1; movq %rcx, %xmm15\n"
    "1:  stc; nop; nop; nop; nop; jnc 2f\n"
    "    clc; nop; nop; nop; nop; jc 2f\n"
    "    mov $0x7f, %al; add $1, %al; nop; nop; nop; nop; jno 2f; jns 2f; jz 2f\n"
    "    std; nop; nop; cld\n"
    "    cmp $-101, %rbx; jne 2f; cmp $102, %rcx; jne 2f; cmp $-103, %rdx; jne 2f; cmp $104, %rsi; jne 2f\n"
    "    cmp $-105, %rbp; jne 2f; cmp $106, %r8; jne 2f; cmp $-107, %r9; jne 2f; cmp $108, %r10; jne 2f\n"
    "    cmp $-109, %r11; jne 2f; cmp $110, %r12; jne 2f; cmp $-111, %r13; jne 2f; cmp $112, %r14; jne 2f\n"
    "    cmp $-113, %r15; jne 2f\n"
    "    movq %xmm1, %rax; cmp $-101, %rax; jne 2f; movq %xmm15, %rax; cmp $102, %rax; jne 2f\n"
    "    dec %rdi; jnz 1b\n"
    "2:  mov %rdi, %rax\n"
    "    mov (%rsp), %rsp\n"
    "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "    ret\n");

/* rseq_spin(area, rounds): rounds in a restartable sequence, which the kernel aborts at any preemption. A round that
 * finds the sequence disarmed has gone on where it should have been aborted: 1, else 0. */
long rseq_spin(struct rseq *area, long rounds);
__asm__(
    "rseq_spin:\n"
    "    lea 9f(%rip), %rax; mov %rax, 8(%rdi)\n"
    "1:  cmpq $0, 8(%rdi); je 3f; dec %rsi; jnz 1b\n"
    "2:  movq $0, 8(%rdi); xor %eax, %eax; ret\n"
    "3:  mov $1, %eax; ret\n"
    "    .long 0x53053053\n"
    "4:  xor %eax, %eax; ret\n"
    "    .section .data; .balign 32\n"
    "9:  .long 0, 0; .quad 1b, 2b - 1b, 4b\n"
    "    .text\n");

#define CANARIES 64
static void spin_on_canaries(int self) {
    uint64_t area[CANARIES + 1];
    for (int i = 0; i < CANARIES; i++) area[i] = 0xCA0A0000 + i;
    CHECK(spin(20000, &area[CANARIES]) == 0);
    for (int i = 0; i < CANARIES; i++) CHECK(area[i] == 0xCA0A0000 + i);
}

static void on_signal(int number) {
    if (number == SIGNAL) atomic_fetch_add(&shared->got, 1);
    else shared->strange = number;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void block(int how_many) {
    sigset_t set;
    sigemptyset(&set);
    if (how_many) sigaddset(&set, SIGNAL);
    if (how_many > 1) sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static void round_of(int self) {
    static atomic_int word;
    static int epoll = -1;
    struct timespec nap = {0, 5000000};
    double start = now();
    switch (self) {
    case 0: /* signals, on an alternate stack: this thread and the next take them */
    case 1:
        spin_on_canaries(self);
        break;
    case 2: /* all signals blocked */
        spin_on_canaries(self);
        break;
    case 9:
        if (__rseq_size) CHECK(rseq_spin((struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset), 200000) == 0);
        break;
    case 3:
        CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL) == 0);
        CHECK(now() - start >= 0.005);
        break;
    case 4:
        CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &nap, NULL, 0) == -1 && errno == ETIMEDOUT);
        CHECK(now() - start >= 0.005);
        break;
    case 5:
        CHECK(poll(NULL, 0, 5) == 0);
        CHECK(now() - start >= 0.005);
        break;
    case 6:
        if (epoll < 0) epoll = epoll_create1(0);
        struct epoll_event event;
        /* signal(7): any stop ends it with EINTR. We are better than that, but for the moment before we know. */
        if (epoll_wait(epoll, &event, 1, 5) == 0) {
            CHECK(now() - start >= 0.005);
        } else {
            CHECK(errno == EINTR);
            shared->interrupted++;
        }
        break;
    case 7: {
        unsigned long expected = shared->rounds[7], seen;
        ssize_t size = read(pipes[0], &seen, sizeof seen);
        CHECK(size == 0 ? shared->stop : size == sizeof seen && seen == expected);
        break;
    }
    case 8: {
        static unsigned long next;
        CHECK(write(pipes[1], &next, sizeof next) == sizeof next);
        next++;
        union sigval value = {0};
        if (sigqueue(getpid(), SIGNAL, value) == 0) atomic_fetch_add(&shared->sent, 1);
        nap.tv_nsec = 1000000;
        CHECK(nanosleep(&nap, NULL) == 0);
        break;
    }
    }
}

static void *thread(void *number) {
    int self = (long)number;
    sigset_t before, after;
    block(self == 2 ? 2 : self > 2);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    sigaltstack(&stack, NULL);
    while (!shared->stop) {
        round_of(self);
        pthread_sigmask(SIG_BLOCK, NULL, &after);
        CHECK(memcmp(&before, &after, 8) == 0);
        shared->rounds[self]++;
    }
    if (self == 8) close(pipes[1]);
    return NULL;
}

int main(int argc, char **argv) {
    int fd = open(argv[1], O_RDWR);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigaction(SIGNAL, &action, NULL);
    if (argc > 2) /* as Go does: a handler for everything that can be harmless */
        for (int number = 1; number < 32; number++)
            if (number != SIGKILL && number != SIGSTOP) sigaction(number, &action, NULL);
    pthread_t threads[THREADS];
    if (pipe(pipes)) return 1;
    block(1);
    for (long i = 1; i < THREADS; i++) pthread_create(&threads[i], NULL, thread, (void *)i);
    thread((void *)0);
    for (int i = 1; i < THREADS; i++) pthread_join(threads[i], NULL);
    block(0);
    for (int i = 0; i < 1000 && shared->got < shared->sent; i++) usleep(1000);
    printf("%lu %lu\n", shared->sent, shared->got);
    return 0;
}
