#include "sha1.h"

#include <string.h>

#define ROTATE(value, bits) (((value) << (bits)) | ((value) >> (32 - (bits))))

void
sha1_start(uint32_t state[5])
{
    static const uint32_t START[5] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u};

    memcpy(state, START, sizeof START);
}

static void
add_block(uint32_t state[5], const uint8_t *octets)
{
    uint32_t w[16], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)octets[4 * i] << 24 | (uint32_t)octets[4 * i + 1] << 16
               | (uint32_t)octets[4 * i + 2] << 8 | octets[4 * i + 3];

#define EXPAND(i)                                                                                  \
    (w[(i) & 15] = ROTATE(w[((i) + 13) & 15] ^ w[((i) + 8) & 15] ^ w[((i) + 2) & 15] ^ w[(i) & 15], 1))
#define ROUND(f, k, word)                                                                          \
    do {                                                                                           \
        uint32_t sum = ROTATE(a, 5) + (f) + e + (k) + (word);                                      \
        e = d, d = c, c = ROTATE(b, 30), b = a, a = sum;                                           \
    } while (0)

    int i = 0;
    for (; i < 16; i++)
        ROUND((b & c) | (~b & d), 0x5A827999u, w[i]);
    for (; i < 20; i++)
        ROUND((b & c) | (~b & d), 0x5A827999u, EXPAND(i));
    for (; i < 40; i++)
        ROUND(b ^ c ^ d, 0x6ED9EBA1u, EXPAND(i));
    for (; i < 60; i++)
        ROUND((b & c) | (b & d) | (c & d), 0x8F1BBCDCu, EXPAND(i));
    for (; i < 80; i++)
        ROUND(b ^ c ^ d, 0xCA62C1D6u, EXPAND(i));

    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

void
sha1_portable(uint32_t state[5], const uint8_t *octets, unsigned blocks)
{
    for (; blocks > 0; blocks--, octets += SHA1_BLOCK)
        add_block(state, octets);
}

#ifdef SHA1_INSTRUCTIONS

/* The way that was chosen when the program or library was loaded. */
static void (*fastest)(uint32_t *, const uint8_t *, unsigned) = sha1_portable;

__attribute__((constructor)) static void
choose(void)
{
    if (sha1_has_instructions())
        fastest = sha1_instructions;
}

void
sha1_blocks(uint32_t state[5], const uint8_t *octets, unsigned blocks)
{
    fastest(state, octets, blocks);
}

#else

void
sha1_blocks(uint32_t state[5], const uint8_t *octets, unsigned blocks)
{
    sha1_portable(state, octets, blocks);
}

#endif
