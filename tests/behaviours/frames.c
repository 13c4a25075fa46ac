/* Two handlers deep, on an alternate stack that is in use, each level with other values in its vector registers: all of
 * them return properly, and what they interrupted has its values again. */
#include "../programs/selfcheck.h"
#include <sys/syscall.h>

#define INNER (SIGRTMIN + 1)

static char stack[1 << 16];
static const char *wrong;

/* Send oneself a signal, unblocked, while ymm9 and r13 hold values: 1 if they do so afterwards. */
__attribute__((target("avx"))) static int survives(int number, double first) {
    double before[4] = {first, first + 0.25, first + 0.5, first + 0.75}, after[4] = {0};
    long result = SYS_tgkill, general = 0x1122334455667788L + (long)first, kept = 0;
    asm volatile("vmovupd (%[before]), %%ymm9\n\t"
                 "mov %[general], %%r13\n\t"
                 "syscall\n\t"
                 "vmovupd %%ymm9, (%[after])\n\t"
                 "mov %%r13, %[kept]\n\t"
                 : "+a"(result), [kept] "=&r"(kept)
                 : "D"(getpid()), "S"(gettid()), "d"(number), [before] "r"(before), [after] "r"(after),
                   [general] "r"(general)
                 : "rcx", "r11", "r13", "xmm9", "memory");
    return result == 0 && kept == general && memcmp(before, after, sizeof after) == 0;
}

static void inner(int number) {
    sigset_t set, mask;
    stack_t now;
    (void)number;
    sigaltstack(NULL, &now);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    if (!(now.ss_flags & SS_ONSTACK) || now.ss_sp != stack)
        wrong = "the alternate stack is not in use";
    if (!sigismember(&mask, SIGUSR2) || !sigismember(&mask, INNER) || sigismember(&mask, SIGTERM))
        wrong = "the mask of the handler";
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (access("ready", F_OK))
        write_whole("ready", "ready");
    if (sigwait(&set, &number))
        wrong = "sigwait";
}

static void outer(int number) {
    (void)number;
    if (!survives(INNER, 20))
        wrong = "registers of the outer handler";
}

int main(void) {
    stack_t mine = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = outer, .sa_flags = SA_ONSTACK};
    block_usr1();
    sigaltstack(&mine, NULL);
    sigaction(SIGUSR2, &action, NULL);
    action.sa_handler = inner;
    sigaction(INNER, &action, NULL);
    for (;;) {
        sigset_t mask;
        stack_t now;
        wrong = NULL;
        if (!survives(SIGUSR2, 10))
            wrong = "registers of the program";
        sigprocmask(SIG_BLOCK, NULL, &mask);
        sigaltstack(NULL, &now);
        if (sigismember(&mask, SIGUSR2) || sigismember(&mask, INNER) || !sigismember(&mask, SIGUSR1))
            wrong = "the mask after the handlers";
        if (now.ss_flags)
            wrong = "the alternate stack after the handlers";
        write_whole("verdict", wrong ? wrong : "ok");
    }
}
