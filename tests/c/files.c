/* Writes, reads back, lists and removes files under /work, which the host must give. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scale.h"

enum { FILES = 8, LINES = 50 };

static void name_file(char *name, size_t size, int i) { snprintf(name, size, "/work/part%d.txt", i); }

static uint64_t write_and_read(int i, uint64_t sum)
{
    char name[32], line[64];
    name_file(name, sizeof name, i);
    FILE *file = fopen(name, "w");
    if (!file)
        exit(3);
    for (int row = 0; row < LINES; row++)
        fprintf(file, "row %d of file %d\n", row, i);
    fclose(file);
    file = fopen(name, "r");
    while (file && fgets(line, sizeof line, file))
        sum = fold(sum, strlen(line));
    if (file)
        fclose(file);
    struct stat about;
    return stat(name, &about) == 0 ? fold(sum, (uint64_t)about.st_size) : 0;
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv);
    uint64_t sum = 1;
    int listed = 0;
    for (uint32_t round = 0; round < rounds; round++)
        for (int i = 0; i < FILES; i++)
            sum = write_and_read(i, sum);
    DIR *directory = opendir("/work");
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        listed += strncmp(entry->d_name, "part", 4) == 0;
    if (directory)
        closedir(directory);
    for (int i = 1; i < FILES; i++) {
        char name[32];
        name_file(name, sizeof name, i);
        if (unlink(name))
            return 4;
    }
    printf("listed %d\n", listed);
    return finish("files", sum);
}
