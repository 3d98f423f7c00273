/* CRC-32 with a table, one byte at a time: a chain of dependent loads. Prints the usual CRC-32. */
#include "scale.h"

enum { BUFFER = 65536 };

static uint32_t table[256];
static uint8_t buffer[BUFFER];

static uint32_t update(uint32_t crc, const uint8_t *data, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        crc = table[(crc ^ data[i]) & 255] ^ crc >> 8;
    return crc;
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 28, seed = 1;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = value & 1 ? 0xedb88320u ^ value >> 1 : value >> 1;
        table[i] = value;
    }
    for (uint32_t i = 0; i < BUFFER; i++)
        buffer[i] = (uint8_t)next_random(&seed);
    uint32_t crc = 0xffffffffu;
    for (uint32_t round = 0; round < rounds; round++)
        crc = update(crc, buffer, BUFFER);
    printf("crc32 %08x\n", crc ^ 0xffffffffu);
    return 0;
}
