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

int
gre_parse(const uint8_t *packet, size_t size, Frame *frame)
{
    frame->key = FRAME_NO_KEY;
    frame->protocol = 0;
    if (size < ONE_NUMBER || packet[0] != 0x45)
        return FRAME_OTHER;
    uint32_t first = packet_number(packet + HEADER), second = packet_number(packet + HEADER + 4);
    size_t length = second >> 16, start = ONE_NUMBER;

    frame->key = (uint64_t)packet_number(packet + IPV4_SOURCE) << 16 | (second & 0xFFFF);
    if (first == ACKNOWLEDGEMENT && length == 0)
        return FRAME_ACKNOWLEDGEMENT;
    if (first == DATA_ACKNOWLEDGEMENT)
        start = TWO_NUMBERS;
    else if (first != DATA)
        return FRAME_OTHER;
    frame->sequence = packet_number(packet + HEADER + 8);
    if (start + length > size || !frame_read(packet + start, length, frame))
        return FRAME_OTHER;
    return FRAME_FOUND;
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
