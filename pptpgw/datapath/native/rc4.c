#include "rc4.h"

#include "step.h"

static void
count_up(uint32_t table[256])
{
    for (unsigned i = 0; i < 256; i++)
        table[i] = i;
}

/* Mix one octet of a key into a table, given the entry that has its turn, and update j. */
static inline void
mix(uint32_t *restrict table, unsigned i, unsigned *j, uint8_t octet)
{
    uint32_t value = table[i];
    *j = (*j + value + octet) & 255;
    table[i] = table[*j];
    table[*j] = value;
}

#define FOUR(STEP, n) STEP(n); STEP((n) + 1); STEP((n) + 2); STEP((n) + 3)
#define SIXTEEN(STEP) FOUR(STEP, 0); FOUR(STEP, 4); FOUR(STEP, 8); FOUR(STEP, 12)

void
rc4_key(RC4 *restrict rc4, const uint8_t key[RC4_KEY])
{
    unsigned j = 0;

    count_up(rc4->table);
#define STEP(n) mix(rc4->table, i + (n), &j, key[n])
    for (unsigned i = 0; i < 256; i += RC4_KEY) {
        SIXTEEN(STEP);
    }
#undef STEP
    rc4->i = rc4->j = 0;
}

void
rc4_keys(RC4 *restrict one, const uint8_t key[RC4_KEY], RC4 *restrict other,
         const uint8_t other_key[RC4_KEY])
{
    unsigned j = 0, k = 0;

    count_up(one->table);
    count_up(other->table);
#define STEP(n)                                                                                    \
    mix(one->table, i + (n), &j, key[n]);                                                          \
    mix(other->table, i + (n), &k, other_key[n])
    for (unsigned i = 0; i < 256; i += RC4_KEY) {
        SIXTEEN(STEP);
    }
#undef STEP
    one->i = one->j = other->i = other->j = 0;
}

void
rc4_apply(RC4 *restrict rc4, const uint8_t *restrict from, uint8_t *restrict to, size_t length)
{
    uint32_t *restrict table = rc4->table;
    unsigned i = rc4->i, j = rc4->j;
    size_t n = 0;

    for (; n + 8 <= length; n += 8) {
        uint64_t made = 0;
#define STEP(n) made |= (uint64_t)step(table, i = (i + 1) & 255, &j) << PLACE(n)
        STEP(0); STEP(1); STEP(2); STEP(3); STEP(4); STEP(5); STEP(6); STEP(7);
        apply_eight(from + n, to + n, made);
    }
    for (; n < length; n++)
        to[n] = from[n] ^ (uint8_t)step(table, i = (i + 1) & 255, &j);
    rc4->i = (uint8_t)i;
    rc4->j = (uint8_t)j;
}
