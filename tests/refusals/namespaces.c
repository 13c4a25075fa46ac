/* Other namespaces than those of whoever dumps; each of a process, of its child, or of children to come. */
#include "things.h"
#include <sched.h>

static const char *check(void) { return NULL; }
static const char *own(int flag) { return missing(unshare(flag)); }

static const char *mounts(void) { return own(CLONE_NEWNS); }
static const char *network(void) { return own(CLONE_NEWNET); }
static const char *host_name(void) { return own(CLONE_NEWUTS); }
static const char *ipc(void) { return own(CLONE_NEWIPC); }
static const char *user(void) { return own(CLONE_NEWUSER); }
static const char *cgroup(void) { return own(CLONE_NEWCGROUP); }
static const char *pid_for_children(void) { return own(CLONE_NEWPID); }
static const char *time_for_children(void) { return own(0x80); }

static const char *child_with(int flag) {
    if (unshare(flag))
        return missing(-1);
    return missing(sleeper());
}

static const char *pid(void) { return child_with(CLONE_NEWPID); }
static const char *time(void) { return child_with(0x80); }


#define ROW(name) {#name, name, check}
const struct thing namespaces[] = {
    ROW(mounts), ROW(network), ROW(host_name), ROW(ipc), ROW(user), ROW(cgroup), ROW(pid_for_children),
    ROW(time_for_children), ROW(pid), ROW(time), {0},
};
