/* A program that runs from a memory file: it finds itself there, mapped once more for reading, and can be run again. */
#include "../programs/selfcheck.h"
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *self = "/proc/self/exe";
static int again;
static char *view;

static const char *check(void) {
    char link[100] = "";
    struct stat one, other;
    if (readlink(self, link, sizeof link - 1) < 0 || strncmp(link, "/memfd:program", 14))
        return "it runs from another file";
    if (stat(self, &one) || fstat(again, &other) || one.st_ino != other.st_ino)
        return "the file that it was opened from is another one";
    if (memcmp(view, "\177ELF", 4))
        return "the mapping of the file differs";
    pid_t child = fork();
    if (!child) {
        execl(self, "program", "again", (char *)NULL);
        _exit(1);
    }
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7
               ? NULL
               : "it cannot be run again";
}

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "again"))
        return 7;
    if (count == 1) { /* copy oneself, and run the copy */
        static char bytes[1 << 20];
        int from = open(self, O_RDONLY), to = memfd_create("program", MFD_CLOEXEC);
        ssize_t size = read(from, bytes, sizeof bytes);
        if (write(to, bytes, size) != size)
            abort();
        close(from);
        char path[40], *again_words[] = {words[0], "copy", NULL};
        snprintf(path, sizeof path, "/proc/self/fd/%d", to);
        int reading = open(path, O_RDONLY | O_CLOEXEC); /* what is open for writing cannot be run */
        close(to);
        fexecve(reading, again_words, (char *[]){NULL});
        abort();
    }
    block_usr1();
    again = open(self, O_RDONLY);
    view = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, again, 0);
    serve(check);
}
