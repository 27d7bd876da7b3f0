#include "gre.h"

#include "packet.h"

/* Where GRE's header begins, which has flags and version, protocol type, length, call id, and one or
 * two numbers. */
#define HEADER IPV4_HEADER
#define ONE_NUMBER (HEADER + GRE_SHORTEST)
#define TWO_NUMBERS (HEADER + GRE_LONGEST)
#define DATA 0x3001880Bu
#define DATA_ACKNOWLEDGEMENT 0x3081880Bu
#define ACKNOWLEDGEMENT 0x2081880Bu

/* Read the fields of a PPP frame: address and control, which may be missing, and the protocol number.
 * Return 0 if the number isn't valid. */
static int
parse_frame(const uint8_t *at, size_t length, GREFrame *frame)
{
    if (length >= 2 && at[0] == 0xFF && at[1] == 0x03) {
        at += 2;
        length -= 2;
    }
    if (length >= 1 && at[0] & 1) {
        frame->protocol = at[0];
        at += 1;
        length -= 1;
    }
    else if (length >= 2 && at[1] & 1) {
        frame->protocol = packet_word(at);
        at += 2;
        length -= 2;
    }
    else
        return 0;
    frame->information = at;
    frame->length = length;
    return 1;
}

int
gre_parse(const uint8_t *packet, size_t size, GREFrame *frame)
{
    frame->key = GRE_NO_KEY;
    frame->protocol = 0;
    if (size < ONE_NUMBER || packet[0] != 0x45)
        return GRE_OTHER;
    uint32_t first = packet_number(packet + HEADER), second = packet_number(packet + HEADER + 4);
    size_t length = second >> 16, start = ONE_NUMBER;

    frame->key = (uint64_t)packet_number(packet + IPV4_SOURCE) << 16 | (second & 0xFFFF);
    if (first == ACKNOWLEDGEMENT && length == 0)
        return GRE_ACKNOWLEDGEMENT;
    if (first == DATA_ACKNOWLEDGEMENT)
        start = TWO_NUMBERS;
    else if (first != DATA)
        return GRE_OTHER;
    frame->sequence = packet_number(packet + HEADER + 8);
    return start + length <= size && parse_frame(packet + start, length, frame) ? GRE_FRAME
                                                                                : GRE_OTHER;
}

uint8_t *
gre_begin(uint8_t *end, size_t length, uint16_t call, uint32_t sequence, const uint32_t *received)
{
    uint8_t *packet = end - (received == NULL ? GRE_SHORTEST : GRE_LONGEST);

    packet_put_number(packet, received == NULL ? DATA : DATA_ACKNOWLEDGEMENT);
    packet_put_word(packet + 4, (uint16_t)length);
    packet_put_word(packet + 6, call);
    packet_put_number(packet + 8, sequence);
    if (received != NULL)
        packet_put_number(packet + 12, *received - 1);
    return packet;
}

size_t
gre_acknowledge(uint8_t *packet, uint16_t call, uint32_t received)
{
    packet_put_number(packet, ACKNOWLEDGEMENT);
    packet_put_word(packet + 4, 0);
    packet_put_word(packet + 6, call);
    packet_put_number(packet + 8, received - 1);
    return 12;
}
