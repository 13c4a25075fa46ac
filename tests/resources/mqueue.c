/* POSIX message queues: with and without a name, full, with notification, with a child that waits. */
#include "../programs/selfcheck.h"
#include <mqueue.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LONGEST 8192
#define COUNT 5

static const struct {
    unsigned priority;
    size_t length;
} sent[COUNT] = {{1, 10}, {3, LONGEST}, {3, 5}, {0, 0}, {1, 4100}};
static const int in_order[COUNT] = {1, 2, 0, 4, 3};

static mqd_t named, reading, nameless, waited, told;
static int from_child[2];
static char data[LONGEST], wanted[LONGEST];

static void fill(char *at, int n) {
    for (size_t i = 0; i < sent[n].length; i++)
        at[i] = (char)(n * 37 + i);
}

static mqd_t new(const char *name, int flags, long count, long size) {
    struct mq_attr attr = {.mq_maxmsg = count, .mq_msgsize = size};
    mqd_t queue = mq_open(name, O_CREAT | O_EXCL | flags, 0640, &attr);
    if (queue < 0)
        abort();
    return queue;
}

static void send_all(mqd_t to) {
    for (int n = 0; n < COUNT; n++) {
        fill(data, n);
        if (mq_send(to, data, sent[n].length, sent[n].priority))
            abort();
    }
}

static const char *all(mqd_t from, mqd_t to) {
    for (int n = 0; n < COUNT; n++) {
        unsigned priority;
        ssize_t length = mq_receive(from, data, LONGEST, &priority);
        if (length != (ssize_t)sent[in_order[n]].length || priority != sent[in_order[n]].priority)
            return "a message is missing, or has another length or priority";
        fill(wanted, in_order[n]);
        if (memcmp(data, wanted, length))
            return "a message differs";
    }
    send_all(to);
    return NULL;
}

static const char *limits(void) {
    struct mq_attr attr;
    if (mq_getattr(named, &attr) || attr.mq_maxmsg != COUNT || attr.mq_msgsize != LONGEST || !(attr.mq_flags & O_NONBLOCK))
        return "limits or flags differ";
    if (mq_getattr(reading, &attr) || attr.mq_flags & O_NONBLOCK)
        return "the second description has the flags of the first";
    if (mq_send(reading, "x", 1, 0) == 0 || errno != EBADF)
        return "what was opened for reading sends";
    return mq_send(named, "x", 1, 0) == 0 || errno != EAGAIN ? "a full queue takes another message" : NULL;
}

static const char *name(void) {
    struct stat one, other;
    mqd_t again = mq_open("/replant-named", O_RDONLY);
    if (again < 0 || fstat(again, &one) || fstat(named, &other) || one.st_ino != other.st_ino)
        return "the name leads elsewhere";
    mq_close(again);
    if (one.st_mode != (S_IFREG | 0640) || one.st_uid != getuid())
        return "mode or owner differs";
    return mq_open("/replant-nameless", O_RDONLY) < 0 && errno == ENOENT ? NULL : "a removed name is there";
}

static const char *waiting(void) {
    char byte;
    if (mq_send(waited, "w", 1, 7) || read(from_child[0], &byte, 1) != 1 || byte != 'w')
        return "the waiting child got nothing";
    return NULL;
}

static void ask_to_be_told(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_ptr = &told};
    if (mq_notify(told, &event))
        abort();
}

static const char *notified(void) {
    siginfo_t info;
    sigset_t set;
    struct timespec limit = {20, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    if (mq_send(told, "n", 1, 0) || sigtimedwait(&set, &info, &limit) != SIGRTMIN)
        return "no signal tells of the message";
    if (info.si_code != SI_MESGQ || info.si_value.sival_ptr != &told)
        return "the signal carries another value";
    if (mq_receive(told, data, LONGEST, NULL) != 1)
        return "the message is not there";
    ask_to_be_told();
    return NULL;
}

static const char *check(void) {
    const char *wrong;
    if ((wrong = limits()) || (wrong = name()) || (wrong = all(reading, named)) || (wrong = all(nameless, nameless)))
        return wrong;
    return (wrong = waiting()) ? wrong : notified();
}

int main(void) {
    sigset_t set;
    block_usr1();
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    named = new("/replant-named", O_RDWR | O_NONBLOCK, COUNT, LONGEST);
    reading = mq_open("/replant-named", O_RDONLY);
    nameless = new("/replant-nameless", O_RDWR, 6, LONGEST);
    mq_unlink("/replant-nameless");
    waited = new("/replant-waited", O_RDWR, 2, 100);
    told = new("/replant-told", O_RDWR, 2, LONGEST);
    send_all(named);
    send_all(nameless);
    ask_to_be_told();
    if (pipe(from_child))
        abort();
    if (fork() == 0)
        for (;;)
            if (mq_receive(waited, data, LONGEST, NULL) != 1 || write(from_child[1], data, 1) != 1)
                _exit(1);
    serve(check);
}
