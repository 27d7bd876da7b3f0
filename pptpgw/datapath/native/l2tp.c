#include "l2tp.h"

#include "packet.h"

/* The bits of the first two octets: a control message; a length, sequence numbers and an offset are
 * there; the version. */
#define T 0x8000u
#define L 0x4000u
#define S 0x0800u
#define O 0x0200u
#define VERSION_BITS 0x000Fu
#define VERSION 2u

int
l2tp_parse(const uint8_t *message, size_t size, Frame *frame)
{
    const uint8_t *ids = message + 2;
    size_t start = L2TP_SHORTEST, end = size;

    frame->key = FRAME_NO_KEY;
    frame->protocol = 0;
    if (size < L2TP_SHORTEST)
        return FRAME_OTHER;
    unsigned flags = packet_word(message);
    if (flags & T)
        return FRAME_CONTROL;
    if ((flags & VERSION_BITS) != VERSION)
        return FRAME_OTHER;
    if (flags & L) {
        start += 2;
        ids += 2;
        end = packet_word(message + 2);
    }
    start += (flags & S ? 4 : 0) + (flags & O ? 2 : 0);
    if (end > size || start > end)
        return FRAME_OTHER;
    frame->sequence = flags & S ? packet_word(ids + 4) : L2TP_NO_NUMBER;
    if (flags & O)
        start += packet_word(message + start - 2);
    if (start > end)
        return FRAME_OTHER;
    frame->key = packet_number(ids);
    return frame_read(message + start, end - start, frame) ? FRAME_FOUND : FRAME_OTHER;
}

uint8_t *
l2tp_begin(uint8_t *end, uint32_t ids, uint32_t number)
{
    uint8_t *message = end - (number == L2TP_NO_NUMBER ? L2TP_SHORTEST : L2TP_LONGEST);

    packet_put_word(message, number == L2TP_NO_NUMBER ? VERSION : S | VERSION);
    packet_put_number(message + 2, ids);
    if (number != L2TP_NO_NUMBER) {
        packet_put_word(message + 6, (uint16_t)number);
        /* What is Nr of control messages is reserved here. */
        packet_put_word(message + 8, 0);
    }
    return message;
}
