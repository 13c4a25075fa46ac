/* 200 threads: each waits for its turn on a condition, keeps a value of its own in thread-local storage, and knows its
 * tid; a check makes every one of them run once. */
#include "selfcheck.h"
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

#define THREADS 200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int round_number, arrived, mistakes;
static __thread int own;

static void *run(void *argument) {
    int index = (int)(long)argument, seen = 0;
    pid_t tid = (pid_t)syscall(SYS_gettid);
    own = index * 3;
    pthread_mutex_lock(&lock);
    arrived++;
    pthread_cond_broadcast(&changed);
    for (;;) {
        while (seen == round_number)
            pthread_cond_wait(&changed, &lock);
        seen = round_number;
        mistakes += own != index * 3 || tid != (pid_t)syscall(SYS_gettid);
        arrived++;
        pthread_cond_broadcast(&changed);
    }
    return NULL;
}

static const char *all_arrive(void) {
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    while (arrived < THREADS)
        if (pthread_cond_timedwait(&changed, &lock, &limit))
            return "a thread did not come";
    return mistakes ? "a thread has another tid or lost its storage" : NULL;
}

static const char *check(void) {
    pthread_mutex_lock(&lock);
    arrived = 0;
    round_number++;
    pthread_cond_broadcast(&changed);
    const char *wrong = all_arrive();
    pthread_mutex_unlock(&lock);
    return wrong;
}

int main(void) {
    pthread_attr_t small;
    pthread_t thread;
    block_usr1();
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (long n = 0; n < THREADS; n++)
        if (pthread_create(&thread, &small, run, (void *)n))
            abort();
    pthread_mutex_lock(&lock);
    if (all_arrive())
        abort();
    pthread_mutex_unlock(&lock);
    serve(check);
}
