/* Calls of the host that must fail, each with its own errno: names, and how often. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scale.h"

static void report(const char *what, int result) { printf("%s: %s\n", what, result < 0 ? strerror(errno) : "done"); }

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv);
    int missing = 0, bad = 0;
    char byte;
    for (uint32_t round = 0; round < rounds; round++) {
        missing += open("/work/not-there", O_RDONLY) < 0 && errno == ENOENT;
        bad += lseek(77, 0, SEEK_SET) < 0 && errno == EBADF;
    }
    printf("missing %d, bad %d\n", missing, bad);
    report("read of descriptor 55", (int)read(55, &byte, 1));
    report("mkdir twice", mkdir("/work/made", 0777) < 0 ? -1 : mkdir("/work/made", 0777));
    report("rmdir", rmdir("/work/made"));
    report("directory opened to write", open("/work", O_WRONLY));
    report("exclusive", open("/work/once", O_CREAT | O_EXCL | O_WRONLY, 0666) < 0
                            ? -1
                            : open("/work/once", O_CREAT | O_EXCL | O_WRONLY, 0666));
    report("outside", open("/etc/passwd", O_RDONLY));
    report("above", open("/work/../secret", O_RDONLY));
    return 0;
}
