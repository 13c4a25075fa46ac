/* The vDSO stays where it was and works: clocks move on without a system call, signal frames return through it. */
#include "selfcheck.h"
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>

static unsigned long place;
static struct timespec last;
static volatile int caught;

static void on_signal(int number) {
    caught = number;
}

static const char *check_clock(void) {
    struct timespec by_vdso, by_kernel;
    clock_gettime(CLOCK_MONOTONIC, &by_vdso);
    syscall(228, CLOCK_MONOTONIC, &by_kernel); /* SYS_clock_gettime: not through the vDSO */
    long apart = (by_kernel.tv_sec - by_vdso.tv_sec) * 1000000000L + by_kernel.tv_nsec - by_vdso.tv_nsec;
    if (by_vdso.tv_sec < last.tv_sec || (by_vdso.tv_sec == last.tv_sec && by_vdso.tv_nsec < last.tv_nsec))
        return "the clock ran backwards";
    if (apart < 0 || apart > 10000000000L)
        return "the vDSO's clock is not the kernel's";
    last = by_vdso;
    return NULL;
}

static const char *check_name(void) {
    char line[512];
    unsigned long start;
    FILE *maps = fopen("/proc/self/maps", "re");
    const char *wrong = "there is no [vdso] where it was";
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "[vdso]") && sscanf(line, "%lx-", &start) == 1 && start == place)
            wrong = NULL;
    fclose(maps);
    return wrong;
}

static const char *check(void) {
    if (getauxval(AT_SYSINFO_EHDR) != place)
        return "the auxiliary vector has another place";
    if (memcmp((void *)place, "\177ELF", 4))
        return "there is no vDSO at its place";
    caught = 0;
    raise(SIGUSR2);
    if (caught != SIGUSR2)
        return "the handler did not run";
    const char *wrong = check_clock();
    return wrong ? wrong : check_name();
}

int main(void) {
    block_usr1();
    place = getauxval(AT_SYSINFO_EHDR);
    signal(SIGUSR2, on_signal);
    serve(check);
}
