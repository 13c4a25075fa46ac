/* things NAME ...: makes them all, says "ready", or the reason why one cannot be made here in the file "missing". */
#include "../programs/selfcheck.h"
#include "things.h"

static const struct thing *const all[] = {files, memory, tasks, namespaces};
static const struct thing *made[64];
static int count;

static const struct thing *find(const char *name) {
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        for (const struct thing *t = all[i]; t->name; t++)
            if (!strcmp(t->name, name))
                return t;
    abort();
}

static const char *check(void) {
    for (int i = 0; i < count; i++) {
        const char *wrong = made[i]->check();
        if (wrong)
            return wrong;
    }
    return NULL;
}

int main(int argc, char **argv) {
    block_usr1();
    for (int i = 1; i < argc; i++) {
        const struct thing *thing = made[count++] = find(argv[i]);
        const char *reason = thing->make();
        if (reason)
            write_whole("missing", reason);
    }
    serve(check);
}
