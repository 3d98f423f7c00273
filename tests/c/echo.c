/* Standard input to standard output in capitals, arguments and environment to standard error; exits with argc. */
#include <ctype.h>

#include "scale.h"

int main(int argc, char **argv)
{
    int c;
    while ((c = getchar()) != EOF)
        putchar(toupper(c));
    for (int i = 1; i < argc; i++)
        fprintf(stderr, "[%s]\n", argv[i]);
    const char *value = getenv("GREETING");
    fprintf(stderr, "GREETING=%s\n", value ? value : "(none)");
    return argc;
}
