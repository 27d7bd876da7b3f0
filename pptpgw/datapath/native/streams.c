#include "rc4.h"
#include "step.h"

/* The streams begin together, so they have the same i. The two functions below go on up to a multiple
 * of eight octets that the shortest stream has, and return how many octets are done then. */

static size_t
apply_three(Stream *restrict one, Stream *restrict other, Stream *restrict shortest)
{
    uint32_t *restrict a = one->rc4.table, *restrict b = other->rc4.table;
    uint32_t *restrict c = shortest->rc4.table;
    unsigned i = 0, j = 0, k = 0, l = 0;
    size_t n = 0;

    for (; n + 8 <= shortest->size; n += 8) {
        uint64_t first = 0, second = 0, third = 0;
#define STEP(n)                                                                                    \
    do {                                                                                           \
        i = (i + 1) & 255;                                                                         \
        first |= (uint64_t)step(a, i, &j) << PLACE(n);                                             \
        second |= (uint64_t)step(b, i, &k) << PLACE(n);                                            \
        third |= (uint64_t)step(c, i, &l) << PLACE(n);                                             \
    } while (0)
        STEP(0); STEP(1); STEP(2); STEP(3); STEP(4); STEP(5); STEP(6); STEP(7);
#undef STEP
        apply_eight(one->from + n, one->to + n, first);
        apply_eight(other->from + n, other->to + n, second);
        apply_eight(shortest->from + n, shortest->to + n, third);
    }
    one->rc4.i = other->rc4.i = shortest->rc4.i = (uint8_t)i;
    one->rc4.j = (uint8_t)j, other->rc4.j = (uint8_t)k, shortest->rc4.j = (uint8_t)l;
    return n;
}

static size_t
apply_two(Stream *restrict one, Stream *restrict shorter, size_t n)
{
    uint32_t *restrict a = one->rc4.table, *restrict b = shorter->rc4.table;
    unsigned i = one->rc4.i, j = one->rc4.j, k = shorter->rc4.j;

    for (; n + 8 <= shorter->size; n += 8) {
        uint64_t first = 0, second = 0;
#define STEP(n)                                                                                    \
    do {                                                                                           \
        i = (i + 1) & 255;                                                                         \
        first |= (uint64_t)step(a, i, &j) << PLACE(n);                                             \
        second |= (uint64_t)step(b, i, &k) << PLACE(n);                                            \
    } while (0)
        STEP(0); STEP(1); STEP(2); STEP(3); STEP(4); STEP(5); STEP(6); STEP(7);
#undef STEP
        apply_eight(one->from + n, one->to + n, first);
        apply_eight(shorter->from + n, shorter->to + n, second);
    }
    one->rc4.i = shorter->rc4.i = (uint8_t)i;
    one->rc4.j = (uint8_t)j, shorter->rc4.j = (uint8_t)k;
    return n;
}

/* Put the longer of two streams first. */
static void
order(Stream **one, Stream **other)
{
    if ((*one)->size < (*other)->size) {
        Stream *longer = *other;
        *other = *one;
        *one = longer;
    }
}

static void
finish(Stream *stream, size_t done)
{
    rc4_apply(&stream->rc4, stream->from + done, stream->to + done, stream->size - done);
}

void
rc4_streams(Stream *streams, unsigned count)
{
    Stream *sorted[RC4_STREAMS];
    size_t done = 0;

    for (unsigned each = 0; each < count; each++)
        sorted[each] = &streams[each];
    if (count > 1)
        order(&sorted[0], &sorted[1]);
    if (count > 2) {
        order(&sorted[1], &sorted[2]);
        order(&sorted[0], &sorted[1]);
        done = apply_three(sorted[0], sorted[1], sorted[2]);
        finish(sorted[2], done);
    }
    if (count > 1) {
        done = apply_two(sorted[0], sorted[1], done);
        finish(sorted[1], done);
    }
    if (count > 0)
        finish(sorted[0], done);
}
