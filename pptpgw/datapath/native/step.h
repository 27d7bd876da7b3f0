/*
 * The step of RC4 that rc4.c and streams.c have in common.
 */

#ifndef PPTPGW_STEP_H
#define PPTPGW_STEP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The bits of a number by which the n-th octet in memory is shifted. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define PLACE(n) (56 - 8 * (n))
#else
#define PLACE(n) (8 * (n))
#endif

/* Make the octet of a step, given the i of the step, and update j. */
static inline uint32_t
step(uint32_t *table, unsigned i, unsigned *j)
{
    uint32_t value = table[i];
    *j = (*j + value) & 255;
    uint32_t other = table[*j];
    table[i] = other;
    table[*j] = value;
    return table[(value + other) & 255];
}

/* Eight octets are made before any is used, since a store of an octet into a packet, which may be
 * anywhere, would come between the steps. */
static inline void
apply_eight(const uint8_t *from, uint8_t *to, uint64_t made)
{
    uint64_t octets;

    memcpy(&octets, from, sizeof octets);
    octets ^= made;
    memcpy(to, &octets, sizeof octets);
}

#endif
