/*
 * SHA-1 (FIPS 180-4), in blocks.
 */

#ifndef PPTPGW_SHA1_H
#define PPTPGW_SHA1_H

#include <stdint.h>

/* The number of octets of a block. */
#define SHA1_BLOCK 64

/* Set a state to what it is before the first block. */
void sha1_start(uint32_t state[5]);

/* Add so many blocks at octets to a state, in the fastest way that this processor has. The caller
 * pads the last block, and reads the digest from the words of the state, most significant octet
 * first. */
void sha1_blocks(uint32_t state[5], const uint8_t *octets, unsigned blocks);

/* The same in C that every processor runs. */
void sha1_portable(uint32_t state[5], const uint8_t *octets, unsigned blocks);

/* The same by instructions for SHA-1, and whether this processor has them. Each of sha1x86.c and
 * sha1arm.c has these for its processors, and others have no such instructions. With SHA1_PORTABLE,
 * for tests, nothing has. */
#if defined(SHA1_PORTABLE)
#elif defined(__x86_64__) && defined(__GNUC__)
#define SHA1_INSTRUCTIONS
int sha1_has_instructions(void);
#elif defined(__aarch64__) && defined(__ARM_FEATURE_SHA2)
#define SHA1_INSTRUCTIONS
#define sha1_has_instructions() 1
#endif
#ifdef SHA1_INSTRUCTIONS
void sha1_instructions(uint32_t state[5], const uint8_t *octets, unsigned blocks);
#endif

#endif
