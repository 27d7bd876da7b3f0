#include "segment.h"

#include <string.h>

#include "checksum.h"
#include "packet.h"
#include "vnet.h"

/* Return whether the packet, of size octets, is IP with this transport protocol at start. Its length
 * fields must agree with size, and it must be no fragment. */
static int
carries(const uint8_t *packet, size_t size, size_t start, unsigned protocol, unsigned kind)
{
    if (size < IPV4_HEADER)
        return 0;
    if (packet[0] >> 4 == 4)
        return kind != VNET_TCP6 && start >= IPV4_HEADER && start == (packet[0] & 0x0Fu) * 4u
               && packet[IPV4_PROTOCOL] == protocol && packet_word(packet + IPV4_LENGTH) == size
               && !(packet_word(packet + IPV4_FRAGMENT) & IPV4_IS_FRAGMENT);
    /* Extension headers may precede the transport header. Every packet gets the same. */
    return packet[0] >> 4 == 6 && kind != VNET_TCP4 && start >= IPV6_HEADER && size >= IPV6_HEADER
           && (start > IPV6_HEADER || packet[IPV6_NEXT] == protocol)
           && packet_word(packet + IPV6_LENGTH) + (size_t)IPV6_HEADER == size;
}

/* Read what a packet is to be split into. Return -1 if that is impossible. */
static int
begin_split(Segments *segments, unsigned kind, size_t segment)
{
    const uint8_t *transport = segments->packet + segments->start;
    size_t header = UDP_HEADER, room;

    if (kind != VNET_TCP4 && kind != VNET_TCP6 && kind != VNET_UDP)
        return -1;
    if (!segments->incomplete
        || segments->offset != (kind == VNET_UDP ? VNET_UDP_OFFSET : VNET_TCP_OFFSET)
        || !carries(segments->packet, segments->size, segments->start,
                    kind == VNET_UDP ? UDP_PROTOCOL : TCP_PROTOCOL, kind))
        return -1;
    /* That there is room for the checksum is known already. */
    room = segments->size - segments->start;
    if (kind != VNET_UDP) {
        if (room < TCP_HEADER)
            return -1;
        header = (transport[TCP_OFFSET] >> 4) * 4u;
        if (header < TCP_HEADER)
            return -1;
    }
    if (room <= header || segment == 0 || room - header > segment * SEGMENT_LIMIT)
        return -1;
    segments->headers = segments->at = segments->start + header;
    segments->segment = segment;
    return 0;
}

int
segment_begin(Segments *segments, const uint8_t *frame, size_t size)
{
    VNet vnet;

    if (size <= VNET_SIZE)
        return -1;
    memcpy(&vnet, frame, VNET_SIZE);
    size -= VNET_SIZE;
    *segments = (Segments){
        .packet = frame + VNET_SIZE,
        .size = size,
        .headers = size,
        .start = vnet.start,
        .offset = vnet.offset,
        .incomplete = vnet.flags & VNET_NEEDS_CHECKSUM,
    };
    if (segments->incomplete && segments->start + segments->offset + 2 > size)
        return -1;
    unsigned kind = vnet.kind & ~(unsigned)VNET_ECN;
    return kind == VNET_WHOLE ? 0 : begin_split(segments, kind, vnet.segment);
}

void
segment_whole(Segments *segments, const uint8_t *packet, size_t size)
{
    *segments = (Segments){.packet = packet, .size = size, .headers = size};
}

size_t
segment_size(const Segments *segments)
{
    if (segments->segment == 0)
        return segments->made ? 0 : segments->size;
    size_t rest = segments->size - segments->at;
    if (rest == 0)
        return 0;
    return segments->headers + (rest < segments->segment ? rest : segments->segment);
}

/* Adapt the headers of one of several packets, all but the transport's checksum. */
static void
adapt(const Segments *segments, uint8_t *packet, size_t size)
{
    uint8_t *transport = packet + segments->start;
    size_t before = segments->at - segments->headers;

    if (packet[0] >> 4 == 4) {
        packet_put_word(packet + IPV4_LENGTH, (uint16_t)size);
        packet_put_word(packet + IPV4_IDENTIFICATION,
                        (uint16_t)(packet_word(packet + IPV4_IDENTIFICATION) + segments->made));
        packet_seal(packet, segments->start);
    }
    else
        packet_put_word(packet + IPV6_LENGTH, (uint16_t)(size - IPV6_HEADER));
    if (segments->offset == VNET_UDP_OFFSET) {
        packet_put_word(transport + UDP_LENGTH, (uint16_t)(size - segments->start));
        return;
    }
    packet_put_number(transport + TCP_SEQUENCE,
                      packet_number(transport + TCP_SEQUENCE) + (uint32_t)before);
    if (before + (size - segments->headers) < segments->size - segments->headers)
        transport[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (before)
        transport[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

void
segment_make(Segments *segments, uint8_t *packet)
{
    size_t size = segment_size(segments), payload = size - segments->headers;
    uint8_t *transport = packet + segments->start;
    uint64_t sum = 0;

    memcpy(packet, segments->packet, segments->headers);
    memcpy(packet + segments->headers, segments->packet + segments->at, payload);
    if (segments->segment) {
        adapt(segments, packet, size);
        /* The pseudo-header, whose sum is where the checksum will be, has the length of the whole. */
        sum = (uint64_t)packet_network((uint16_t)(size - segments->start))
              + (uint16_t)~packet_network((uint16_t)(segments->size - segments->start));
    }
    if (segments->incomplete) {
        sum = checksum_add(sum, transport, size - segments->start);
        uint16_t word = (uint16_t)~checksum_fold(sum);
        /* In UDP zero means that there is no checksum. */
        if (word == 0 && segments->offset == VNET_UDP_OFFSET)
            word = 0xFFFF;
        memcpy(transport + segments->offset, &word, 2);
    }
    segments->at += payload;
    segments->made++;
}
