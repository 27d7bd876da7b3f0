#include "checksum.h"

#include <string.h>

/* Add eight octets, and a carry where they begin anew. */
static inline uint64_t
carry(uint64_t sum, const uint8_t *octets)
{
    uint64_t word;

    memcpy(&word, octets, sizeof word);
    sum += word;
    return sum + (sum < word);
}

static inline uint64_t
halves(uint64_t sum)
{
    return (sum & 0xFFFFFFFFu) + (sum >> 32);
}

uint64_t
checksum_add(uint64_t sum, const uint8_t *octets, size_t size)
{
    uint64_t one = 0, two = 0, three = 0, four = 0, word = 0;

    /* Four sums don't wait for each other. */
    for (; size >= 32; octets += 32, size -= 32) {
        one = carry(one, octets);
        two = carry(two, octets + 8);
        three = carry(three, octets + 16);
        four = carry(four, octets + 24);
    }
    for (; size >= 8; octets += 8, size -= 8)
        one = carry(one, octets);
    memcpy(&word, octets, size);
    return sum + halves(one) + halves(two) + halves(three) + halves(four) + halves(word);
}

uint16_t
checksum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFFu) + (sum >> 16);
    return (uint16_t)sum;
}
