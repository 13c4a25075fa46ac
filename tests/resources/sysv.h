/* What programs with System V IPC have in common. */
#include "../programs/selfcheck.h"
#include <sys/ipc.h>
#include <sys/wait.h>

/* NULL, or what differs; without its sequence number, which comes from the identifier. */
static inline const char *differs(const struct ipc_perm *a, const struct ipc_perm *b) {
    int same = a->__key == b->__key && a->uid == b->uid && a->gid == b->gid && a->mode == b->mode;
    if (!same)
        return "key, owner or mode differs";
    return a->cuid != b->cuid || a->cgid != b->cgid ? "its maker differs" : NULL;
}
