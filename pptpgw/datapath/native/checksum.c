#include "checksum.h"

#include <string.h>

uint64_t
checksum_add(uint64_t sum, const uint8_t *octets, size_t size)
{
    uint64_t other = 0, word;

    for (; size >= sizeof word; octets += sizeof word, size -= sizeof word) {
        memcpy(&word, octets, sizeof word);
        sum += word & 0xFFFFFFFFu;
        other += word >> 32;
    }
    word = 0;
    memcpy(&word, octets, size);
    return sum + other + (word & 0xFFFFFFFFu) + (word >> 32);
}

uint16_t
checksum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFFu) + (sum >> 16);
    return (uint16_t)sum;
}
