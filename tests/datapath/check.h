/*
 * What the programs that test C without Python have in common.
 */

#ifndef PPTPGW_CHECK_H
#define PPTPGW_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* End the program with status 1 after the line number of a check that failed. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: " #condition "\n", __LINE__);                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* What any() makes numbers from: the seed, which isn't 0. */
static uint64_t state;

/* Return a number below the limit, by xorshift64. */
static inline unsigned
any(unsigned limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % limit;
}

#endif
