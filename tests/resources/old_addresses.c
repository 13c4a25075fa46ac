/* Calls functions of the vDSO by offsets that the command line gives, and looks whether they tell the truth.
 * Everything else is asked of the kernel by system calls: the C library's own way leads through the vDSO as well. */
#include "../programs/selfcheck.h"
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

enum { CLOCK_GETTIME, GETTIMEOFDAY, TIME, GETCPU, CLOCK_GETRES, GETRANDOM };
static unsigned long place, offset[6];

static void *at(int function) {
    return (void *)(place + offset[function]);
}

static long now(int clock) {
    struct timespec t;
    syscall(SYS_clock_gettime, clock, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static const char *check_clock(int clock) {
    struct timespec t = {0, 0};
    long before = now(clock);
    int failed = ((int (*)(int, struct timespec *))at(CLOCK_GETTIME))(clock, &t);
    long told = t.tv_sec * 1000000000 + t.tv_nsec;
    return failed || told < before || told > now(clock) ? "clock_gettime does not tell the time" : NULL;
}

static const char *check_time_of_day(void) {
    struct timeval t = {0, 0};
    long before = now(CLOCK_REALTIME) / 1000;
    int failed = ((int (*)(struct timeval *, void *))at(GETTIMEOFDAY))(&t, NULL);
    long told = t.tv_sec * 1000000 + t.tv_usec;
    return failed || told < before || told > now(CLOCK_REALTIME) / 1000 ? "gettimeofday does not tell the time" : NULL;
}

static const char *check_seconds(void) {
    long before = now(CLOCK_REALTIME_COARSE) / 1000000000;
    long told = ((time_t (*)(time_t *))at(TIME))(NULL);
    return told < before || told > now(CLOCK_REALTIME) / 1000000000 ? "time does not tell the time" : NULL;
}

static const char *check_rest(void) {
    struct timespec by_vdso = {0, 0}, by_kernel;
    unsigned cpu = ~0u, node = ~0u;
    char random[16];
    if (((int (*)(unsigned *, unsigned *, void *))at(GETCPU))(&cpu, &node, NULL) || cpu != 0)
        return "getcpu does not tell the CPU";
    syscall(SYS_clock_getres, CLOCK_MONOTONIC, &by_kernel);
    if (((int (*)(int, struct timespec *))at(CLOCK_GETRES))(CLOCK_MONOTONIC, &by_vdso) ||
        by_vdso.tv_nsec != by_kernel.tv_nsec)
        return "clock_getres does not tell the resolution";
    if (offset[GETRANDOM] &&
        ((long (*)(void *, size_t, unsigned, void *, size_t))at(GETRANDOM))(random, 16, 0, NULL, 0) != 16)
        return "getrandom gives nothing";
    return NULL;
}

static const char *check(void) {
    const char *wrong = check_clock(CLOCK_MONOTONIC);
    wrong = wrong ? wrong : check_clock(CLOCK_REALTIME);
    wrong = wrong ? wrong : check_time_of_day();
    wrong = wrong ? wrong : check_seconds();
    return wrong ? wrong : check_rest();
}

int main(int count, char **words) {
    block_usr1();
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    sched_setaffinity(0, sizeof first, &first);
    place = getauxval(AT_SYSINFO_EHDR);
    for (int i = 1; i < count && i <= 6; i++)
        offset[i - 1] = strtoul(words[i], NULL, 0);
    serve(check);
}
