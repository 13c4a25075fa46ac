/* Queues of messages: with types, in order, empty ones and long ones; a limit that was made less; a child that waits. */
#include "sysv.h"
#include <sys/msg.h>

#define KEY 0x6d736773
#define LONGEST 8192

static int queue, narrow, waited, from_child[2];
static struct msqid_ds before[2];
static struct {
    long type;
    char text[LONGEST];
} message;
static const struct {
    long type;
    int length;
} sent[] = {{3, 5}, {1, 0}, {3, LONGEST}, {2, 100}, {1, 4060}, {1L << 40, 1}};
#define COUNT (int)(sizeof sent / sizeof *sent)

static void fill(int n) {
    message.type = sent[n].type;
    for (int at = 0; at < sent[n].length; at++)
        message.text[at] = (char)(n * 31 + at);
}

static void send(int to, int n) {
    fill(n);
    if (msgsnd(to, &message, sent[n].length, IPC_NOWAIT))
        abort();
}

static const char *next(int n, long type) {
    static __typeof__(message) got;
    if (msgrcv(queue, &got, LONGEST, type, IPC_NOWAIT) != sent[n].length)
        return "a message is missing, or has another length";
    fill(n);
    return got.type != sent[n].type || memcmp(got.text, message.text, sent[n].length) ? "a message differs" : NULL;
}

static const char *attributes(int id, const struct msqid_ds *old) {
    struct msqid_ds now;
    if (msgctl(id, IPC_STAT, &now))
        return "a queue is gone";
    const char *wrong = differs(&old->msg_perm, &now.msg_perm);
    if (wrong)
        return wrong;
    if (old->msg_qbytes != now.msg_qbytes || old->msg_qnum != now.msg_qnum)
        return "limit or number of messages differs";
    int same = old->msg_lspid == now.msg_lspid && old->msg_lrpid == now.msg_lrpid;
    return same ? NULL : "the last sender or receiver differs";
}

/* By type first, the rest in order; then the queue is as before. */
static const char *messages(void) {
    static const int by_type[] = {1, 4}, rest[] = {0, 2, 3, 5};
    const char *wrong = NULL;
    for (int n = 0; n < 2 && !wrong; n++)
        wrong = next(by_type[n], 1);
    for (int n = 0; n < 4 && !wrong; n++)
        wrong = next(rest[n], 0);
    for (int n = 0; n < COUNT; n++)
        send(queue, n);
    return wrong;
}

static const char *waiting(void) {
    char byte;
    send(waited, 0);
    return read(from_child[0], &byte, 1) == 1 && byte == 'm' ? NULL : "the waiting child got nothing";
}

static const char *check(void) {
    const char *wrong;
    if (!before[0].msg_lrpid) { /* from now on it is we */
        before[0].msg_lrpid = getpid();
        return messages();
    }
    if ((wrong = attributes(queue, &before[0])) || (wrong = attributes(narrow, &before[1])))
        return wrong;
    if ((wrong = messages()) || (wrong = waiting()))
        return wrong;
    if (msgsnd(narrow, &message, 1, IPC_NOWAIT) == 0 || errno != EAGAIN)
        return "a full queue takes another message";
    return msgget(KEY, 0) == queue ? NULL : "the key leads elsewhere";
}

int main(void) {
    block_usr1();
    narrow = msgget(IPC_PRIVATE, 0600);
    queue = msgget(KEY, IPC_CREAT | 0640);
    waited = msgget(KEY + 1, IPC_CREAT | 0600);
    uid_t user = getuid() ? getuid() : 1000; /* another owner than the maker, where that may be */
    struct msqid_ds owner = {.msg_perm = {.uid = user, .gid = user + 1, .mode = 0666}, .msg_qbytes = 16000};
    struct msqid_ds less = {.msg_perm = {.mode = 0600}, .msg_qbytes = 50};
    for (int n = 0; n < COUNT; n++)
        send(queue, n);
    send(narrow, 3);
    if (msgctl(queue, IPC_SET, &owner) || msgctl(narrow, IPC_SET, &less) || pipe(from_child))
        abort();
    if (fork() == 0)
        for (;;)
            if (msgrcv(waited, &message, LONGEST, 0, 0) < 0 || write(from_child[1], "m", 1) != 1)
                _exit(1);
    msgctl(queue, IPC_STAT, &before[0]);
    msgctl(narrow, IPC_STAT, &before[1]);
    serve(check);
}
