/* A process tree of a chosen shape that does nothing but exist:
 *   load small | threads N | fds N | vmas N | procs N | heap MIB
 * prints "ready" and then counts in a loop of pauses, so that it can be seen to live on. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static void *sleeper(void *p) {
	for (;;)
		pause();
	return p;
}

static void threads(long n) {
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (pthread_t t; n > 1; n--)
		if (pthread_create(&t, &attr, sleeper, 0))
			abort();
}

static void fds(long n) {
	for (; n > 0; n--)
		if ((n & 1 ? eventfd(n, 0) : open("/dev/null", O_RDWR)) < 0)
			abort();
}

/* half of them with a page of data, no two neighbours alike */
static void vmas(long n) {
	char *at = mmap(0, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		abort();
	for (long i = 0; i < n; i++) {
		if (i & 1)
			at[i * 4096] = i;
		else if (mprotect(at + i * 4096, 4096, PROT_READ))
			abort();
	}
}

static void procs(long n) {
	for (; n > 1; n--)
		if (fork() == 0 && close(1) == 0)
			sleeper(0);
}

static void heap(long mib) {
	char *at = mmap(0, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		abort();
	madvise(at, mib << 20, MADV_NOHUGEPAGE);
	unsigned long x = 88172645463325252UL;
	for (unsigned long *p = (void *)at, *end = (void *)(at + (mib << 20)); p < end; p++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		*p = x;
	}
}

int main(int argc, char **argv) {
	const char *what = argc > 1 ? argv[1] : "small";
	long n = argc > 2 ? atol(argv[2]) : 0;
	if (!strcmp(what, "threads")) threads(n);
	if (!strcmp(what, "fds")) fds(n);
	if (!strcmp(what, "vmas")) vmas(n);
	if (!strcmp(what, "procs")) procs(n);
	if (!strcmp(what, "heap")) heap(n);
	if (write(1, "ready\n", 6) != 6) return 1;
	close(1);
	sleeper(0);
}
