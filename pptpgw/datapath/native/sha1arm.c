/*
 * SHA-1 by the instructions of ARMv8 processors, if the compiler may use them (-march=armv8-a+crypto).
 */

#include "sha1.h"

#if defined(SHA1_INSTRUCTIONS) && defined(__aarch64__)

#include <arm_neon.h>

/* The words 4 * group to 4 * group + 3 of the message schedule. They take the place of the words
 * that are 16 before them, which nothing reads any more. */
#define WORDS(group)                                                                               \
    ((group) < 4 ? words[(group) & 3]                                                              \
                 : (words[(group) & 3]                                                             \
                    = vsha1su1q_u32(vsha1su0q_u32(words[(group) & 3], words[((group) + 1) & 3],    \
                                                  words[((group) + 2) & 3]),                       \
                                    words[((group) + 3) & 3])))

/* Four rounds with the function of this instruction and the constant k. */
#define ROUNDS(group, instruction, k)                                                              \
    do {                                                                                           \
        uint32x4_t sum = vaddq_u32(WORDS(group), vdupq_n_u32(k));                                  \
        uint32_t next = vsha1h_u32(vgetq_lane_u32(abcd, 0));                                       \
        abcd = instruction(abcd, e, sum);                                                          \
        e = next;                                                                                  \
    } while (0)

void
sha1_instructions(uint32_t state[5], const uint8_t *octets, unsigned blocks)
{
    uint32x4_t abcd = vld1q_u32(state);
    uint32_t e = state[4];

    for (; blocks > 0; blocks--, octets += SHA1_BLOCK) {
        uint32x4_t words[4], abcd_before = abcd;
        uint32_t e_before = e;

        for (int i = 0; i < 4; i++)
            words[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(octets + 16 * i)));
        ROUNDS(0, vsha1cq_u32, 0x5A827999u);
        ROUNDS(1, vsha1cq_u32, 0x5A827999u);
        ROUNDS(2, vsha1cq_u32, 0x5A827999u);
        ROUNDS(3, vsha1cq_u32, 0x5A827999u);
        ROUNDS(4, vsha1cq_u32, 0x5A827999u);
        ROUNDS(5, vsha1pq_u32, 0x6ED9EBA1u);
        ROUNDS(6, vsha1pq_u32, 0x6ED9EBA1u);
        ROUNDS(7, vsha1pq_u32, 0x6ED9EBA1u);
        ROUNDS(8, vsha1pq_u32, 0x6ED9EBA1u);
        ROUNDS(9, vsha1pq_u32, 0x6ED9EBA1u);
        ROUNDS(10, vsha1mq_u32, 0x8F1BBCDCu);
        ROUNDS(11, vsha1mq_u32, 0x8F1BBCDCu);
        ROUNDS(12, vsha1mq_u32, 0x8F1BBCDCu);
        ROUNDS(13, vsha1mq_u32, 0x8F1BBCDCu);
        ROUNDS(14, vsha1mq_u32, 0x8F1BBCDCu);
        ROUNDS(15, vsha1pq_u32, 0xCA62C1D6u);
        ROUNDS(16, vsha1pq_u32, 0xCA62C1D6u);
        ROUNDS(17, vsha1pq_u32, 0xCA62C1D6u);
        ROUNDS(18, vsha1pq_u32, 0xCA62C1D6u);
        ROUNDS(19, vsha1pq_u32, 0xCA62C1D6u);
        abcd = vaddq_u32(abcd, abcd_before);
        e += e_before;
    }
    vst1q_u32(state, abcd);
    state[4] = e;
}

#endif
