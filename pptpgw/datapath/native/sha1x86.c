/*
 * SHA-1 by the instructions SHA-NI of x86 processors. The compiler needn't be told to use them: only
 * sha1_instructions() does.
 */

#include "sha1.h"

#if defined(SHA1_INSTRUCTIONS) && defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

int
sha1_has_instructions(void)
{
    unsigned a, b, c, d;

    /* Leaf 1 says in ECX whether there are SSSE3 and SSE4.1, leaf 7 in EBX whether there is SHA. */
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

/* The words 4 * group to 4 * group + 3 of the message schedule. They take the place of the words
 * that are 16 before them, which nothing reads any more. */
#define WORDS(group)                                                                               \
    ((group) < 4 ? words[(group) & 3]                                                              \
                 : (words[(group) & 3] = _mm_sha1msg2_epu32(                                       \
                        _mm_xor_si128(_mm_sha1msg1_epu32(words[(group) & 3], words[((group) + 1) & 3]), \
                                      words[((group) + 2) & 3]),                                   \
                        words[((group) + 3) & 3])))

/* Four rounds, whose function and constant are number f. Afterwards e is the a, b, c and d of before
 * them, from which the next four make their e. */
#define ROUNDS(group, f)                                                                           \
    do {                                                                                           \
        __m128i sum = (group) == 0 ? _mm_add_epi32(e, WORDS(group))                                \
                                   : _mm_sha1nexte_epu32(e, WORDS(group));                         \
        e = abcd;                                                                                  \
        abcd = _mm_sha1rnds4_epu32(abcd, sum, f);                                                  \
    } while (0)

__attribute__((target("sha,ssse3,sse4.1"))) void
sha1_instructions(uint32_t state[5], const uint8_t *octets, unsigned blocks)
{
    const __m128i order = _mm_set_epi64x(0x0001020304050607ll, 0x08090A0B0C0D0E0Fll);
    /* The instructions have a in the highest word, and e alone there. */
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0x1B);
    __m128i e = _mm_set_epi32((int)state[4], 0, 0, 0);

    for (; blocks > 0; blocks--, octets += SHA1_BLOCK) {
        __m128i words[4], abcd_before = abcd, e_before = e;

        for (int i = 0; i < 4; i++) {
            __m128i loaded = _mm_loadu_si128((const __m128i *)(octets + 16 * i));
            words[i] = _mm_shuffle_epi8(loaded, order);
        }
        ROUNDS(0, 0);
        ROUNDS(1, 0);
        ROUNDS(2, 0);
        ROUNDS(3, 0);
        ROUNDS(4, 0);
        ROUNDS(5, 1);
        ROUNDS(6, 1);
        ROUNDS(7, 1);
        ROUNDS(8, 1);
        ROUNDS(9, 1);
        ROUNDS(10, 2);
        ROUNDS(11, 2);
        ROUNDS(12, 2);
        ROUNDS(13, 2);
        ROUNDS(14, 2);
        ROUNDS(15, 3);
        ROUNDS(16, 3);
        ROUNDS(17, 3);
        ROUNDS(18, 3);
        ROUNDS(19, 3);
        abcd = _mm_add_epi32(abcd, abcd_before);
        e = _mm_sha1nexte_epu32(e, e_before);
    }
    _mm_storeu_si128((__m128i *)state, _mm_shuffle_epi32(abcd, 0x1B));
    state[4] = (uint32_t)_mm_extract_epi32(e, 3);
}

#endif
