/* Looks like another build of the vDSO: the same names at other places. Every function lies. */
#define LIE(name)                                                                                                      \
    long __vdso_##name(void) {                                                                                         \
        return -99;                                                                                                    \
    }                                                                                                                  \
    long name(void) __attribute__((weak, alias("__vdso_" #name)));

#ifdef WITH_getrandom
LIE(getrandom)
#endif
LIE(time)
LIE(getcpu)
LIE(clock_getres)
LIE(gettimeofday)
LIE(clock_gettime)
