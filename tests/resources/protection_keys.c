/* Three keys of which one was given back; an area of each; two threads with different rights. */
#include "../programs/selfcheck.h"
#include <pthread.h>
#include <sys/mman.h>

#define PAGE 4096

static int first, second;
static char *one, *two;
static int pipes[2];
static volatile int go, answer;

static int readable(char *at) {
    char byte;
    return write(pipes[1], at, 1) == 1 && read(pipes[0], &byte, 1) == 1;
}

static char *area(int key) {
    char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at[0] = (char)('0' + key);
    if (pkey_mprotect(at, PAGE, PROT_READ | PROT_WRITE, key))
        abort();
    return at;
}

static const char *rights(void) {
    if (!readable(one) || readable(two))
        return "the first thread may do other things than before";
    pkey_set(second, 0);
    int seen = two[0] == '0' + second && one[0] == '0' + first;
    pkey_set(second, PKEY_DISABLE_ACCESS);
    return seen ? NULL : "contents differ";
}

static void *thread(void *nothing) {
    pkey_set(first, PKEY_DISABLE_ACCESS);
    pkey_set(second, 0);
    for (go = 2;;) {
        while (go != 1)
            usleep(1000);
        answer = readable(two) && !readable(one);
        go = 2;
    }
    return nothing;
}

static const char *check(void) {
    const char *wrong = rights();
    if (wrong)
        return wrong;
    go = 1;
    while (go != 2)
        usleep(1000);
    if (!answer)
        return "the second thread may do other things than before";
    int again = pkey_alloc(0, 0);
    pkey_free(again);
    return again == first + 1 ? NULL : "another key is free than before";
}

int main(void) {
    pthread_t other;
    block_usr1();
    first = pkey_alloc(0, 0);
    int between = pkey_alloc(0, 0);
    second = pkey_alloc(0, 0);
    if (second < 0 || pkey_free(between) || pipe(pipes))
        abort();
    one = area(first);
    two = area(second);
    pthread_create(&other, NULL, thread, NULL);
    while (go != 2)
        usleep(1000);
    pkey_set(second, PKEY_DISABLE_ACCESS);
    serve(check);
}
