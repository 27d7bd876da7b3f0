#include "coalesce.h"

#include <errno.h>
#include <string.h>

#include "checksum.h"
#include "packet.h"

#define LONGEST 65535

/* A TCP segment or UDP datagram that is a whole packet without IP options. */
typedef struct {
    const uint8_t *packet;
    size_t size, headers, start;
    uint8_t protocol;
    /* Where the addresses begin; the ports follow them. */
    size_t key;
} Segment;

/* Recognise a TCP segment or a UDP datagram. Return 0 if the packet is anything else. */
static int
recognise(Segment *segment, const uint8_t *packet, size_t size)
{
    if (size < IPV4_HEADER + UDP_HEADER || size > LONGEST)
        return 0;
    if (packet[0] == 0x45) {
        if (packet_word(packet + IPV4_LENGTH) != size
            || packet_word(packet + IPV4_FRAGMENT) & IPV4_IS_FRAGMENT)
            return 0;
        segment->protocol = packet[IPV4_PROTOCOL];
        segment->start = IPV4_HEADER;
        segment->key = IPV4_SOURCE;
    }
    else if (packet[0] >> 4 == 6) {
        if (size < IPV6_HEADER + UDP_HEADER
            || packet_word(packet + IPV6_LENGTH) + (size_t)IPV6_HEADER != size)
            return 0;
        segment->protocol = packet[IPV6_NEXT];
        segment->start = IPV6_HEADER;
        segment->key = IPV6_SOURCE;
    }
    else
        return 0;
    size_t octets = size - segment->start, header = UDP_HEADER;
    if (segment->protocol == TCP_PROTOCOL) {
        if (octets < TCP_HEADER)
            return 0;
        header = (packet[segment->start + TCP_OFFSET] >> 4) * 4u;
        if (header < TCP_HEADER || header > octets)
            return 0;
    }
    else if (segment->protocol != UDP_PROTOCOL
             || packet_word(packet + segment->start + UDP_LENGTH) != octets)
        return 0;
    segment->packet = packet;
    segment->size = size;
    segment->headers = segment->start + header;
    return 1;
}

/* Return the sum of the pseudo-header of a transport protocol with so many octets, header included. */
static uint64_t
pseudo_header(const uint8_t *packet, uint8_t protocol, size_t start, size_t octets)
{
    size_t key = start == IPV4_HEADER ? IPV4_SOURCE : IPV6_SOURCE;
    uint64_t sum = checksum_add(0, packet + key, start - key);

    return sum + packet_network(protocol) + packet_network((uint16_t)octets);
}

/* Return whether a packet may be joined with others: it has data, of TCP no flag but ACK and PSH, and
 * right checksums. The kernel would give a datagram without one a checksum. */
static int
joins(const Coalescing *coalescing, const Segment *segment)
{
    static const uint8_t NONE[2];
    const uint8_t *packet = segment->packet, *transport = packet + segment->start;
    size_t octets = segment->size - segment->start;

    if (segment->size == segment->headers)
        return 0;
    if (segment->protocol == TCP_PROTOCOL
            ? transport[TCP_OFFSET] & 0x0F
                  || (transport[TCP_FLAGS] | TCP_PSH) != (TCP_ACK | TCP_PSH)
            : coalescing->apart || memcmp(transport + VNET_UDP_OFFSET, NONE, 2) == 0)
        return 0;
    if (segment->start == IPV4_HEADER
        && checksum_fold(checksum_add(0, packet, IPV4_HEADER)) != 0xFFFF)
        return 0;
    uint64_t sum = pseudo_header(packet, segment->protocol, segment->start, octets);
    return checksum_fold(checksum_add(sum, transport, octets)) == 0xFFFF;
}

/* Return whether the segment belongs to the flow. */
static int
is_of(const CoalesceFlow *flow, const Segment *segment)
{
    return flow->count && flow->start == segment->start && flow->protocol == segment->protocol
           && memcmp(flow->first + segment->key, segment->packet + segment->key,
                     segment->start + 4 - segment->key)
                  == 0;
}

/* Return whether a segment that may be joined is the next one of the flow. */
static int
follows(const CoalesceFlow *flow, const Segment *segment)
{
    const uint8_t *first = flow->first, *next = segment->packet;
    size_t start = flow->start, payload = segment->size - segment->headers;

    if (segment->headers != flow->headers || payload > flow->size - flow->headers
        || flow->headers + flow->payload + payload > LONGEST)
        return 0;
    if (start == IPV4_HEADER) {
        /* The identification of a packet that forbids fragmentation means nothing (RFC 6864). */
        uint16_t identification = packet_word(first + IPV4_IDENTIFICATION);
        if (first[1] != next[1] || memcmp(first + IPV4_FRAGMENT, next + IPV4_FRAGMENT, 4) != 0)
            return 0;
        if (!(packet_word(first + IPV4_FRAGMENT) & IPV4_DONT_FRAGMENT)
            && packet_word(next + IPV4_IDENTIFICATION) != (uint16_t)(identification + flow->count))
            return 0;
    }
    else if (memcmp(first, next, IPV6_LENGTH) != 0 || first[IPV6_NEXT + 1] != next[IPV6_NEXT + 1])
        return 0;
    if (flow->protocol == UDP_PROTOCOL)
        return 1;
    first += start;
    next += start;
    return packet_number(next + TCP_SEQUENCE)
               == (uint32_t)(packet_number(first + TCP_SEQUENCE) + flow->payload)
           && memcmp(first + TCP_ACKNOWLEDGEMENT, next + TCP_ACKNOWLEDGEMENT, 4) == 0
           && memcmp(first + TCP_WINDOW, next + TCP_WINDOW, 2) == 0
           && memcmp(first + TCP_URGENT, next + TCP_URGENT, flow->headers - start - TCP_URGENT) == 0;
}

/* Write a packet as it is. */
static void
write_alone(Coalescing *coalescing, const uint8_t *packet, size_t size)
{
    static const VNet WHOLE;
    struct iovec frame[2] = {{(void *)&WHOLE, VNET_SIZE}, {(void *)packet, size}};
    int vectors = 2;

    if (coalescing->room) {
        uint8_t *begin = (uint8_t *)packet - VNET_SIZE;
        memset(begin, 0, VNET_SIZE);
        frame[0] = (struct iovec){begin, VNET_SIZE + size};
        vectors = 1;
    }
    coalescing->refused += coalescing->write(coalescing->context, frame, vectors) < 0;
}

/* Write the packets of a flow one by one. */
static void
write_apart(Coalescing *coalescing, const CoalesceFlow *flow, int count)
{
    for (int i = 0; i < count; i++) {
        const struct iovec *payload = &flow->vectors[2 + i];
        write_alone(coalescing, (const uint8_t *)payload->iov_base - flow->headers,
                    flow->headers + payload->iov_len);
    }
}

/* Adapt the transport header of several packets that become one, and say in the VNet header how the
 * kernel splits it. */
static void
describe(CoalesceFlow *flow, uint8_t *transport, const struct iovec *last)
{
    const uint8_t *flags = (const uint8_t *)last->iov_base - (flow->headers - flow->start) + TCP_FLAGS;

    flow->vnet = (VNet){
        .flags = VNET_NEEDS_CHECKSUM,
        .kind = VNET_UDP,
        .headers = (uint16_t)flow->headers,
        .segment = (uint16_t)(flow->size - flow->headers),
        .start = (uint16_t)flow->start,
        .offset = VNET_UDP_OFFSET,
    };
    if (flow->protocol == UDP_PROTOCOL) {
        packet_put_word(transport + UDP_LENGTH, (uint16_t)(UDP_HEADER + flow->payload));
        return;
    }
    flow->vnet.kind = flow->start == IPV4_HEADER ? VNET_TCP4 : VNET_TCP6;
    flow->vnet.offset = VNET_TCP_OFFSET;
    transport[TCP_FLAGS] |= *flags & TCP_PSH;
}

/* Write the packets of a flow as one frame, and forget them. */
static void
flush(Coalescing *coalescing, CoalesceFlow *flow)
{
    int count = flow->count;
    size_t start = flow->start;
    uint8_t *header = flow->header;

    flow->count = 0;
    if (count == 1) {
        write_alone(coalescing, flow->first, flow->size);
        return;
    }
    size_t total = flow->headers + flow->payload;
    memcpy(header, flow->first, flow->headers);
    if (start == IPV4_HEADER) {
        packet_put_word(header + IPV4_LENGTH, (uint16_t)total);
        packet_seal(header, IPV4_HEADER);
    }
    else
        packet_put_word(header + IPV6_LENGTH, (uint16_t)(total - IPV6_HEADER));
    describe(flow, header + start, &flow->vectors[1 + count]);
    uint16_t sum = checksum_fold(pseudo_header(header, flow->protocol, start, total - start));
    memcpy(header + start + flow->vnet.offset, &sum, 2);
    flow->vectors[0] = (struct iovec){&flow->vnet, VNET_SIZE};
    flow->vectors[1] = (struct iovec){header, flow->headers};
    if (coalescing->write(coalescing->context, flow->vectors, 2 + count) >= 0)
        return;
    if (errno == EINVAL && flow->protocol == UDP_PROTOCOL) {
        coalescing->apart = 1;
        write_apart(coalescing, flow, count);
    }
    else
        coalescing->refused += (unsigned)count;
}

/* Append the payload of a segment to a flow, and write the flow if nothing may follow. */
static void
append(Coalescing *coalescing, CoalesceFlow *flow, const Segment *segment)
{
    size_t payload = segment->size - segment->headers;

    flow->vectors[2 + flow->count++]
        = (struct iovec){(void *)(segment->packet + segment->headers), payload};
    flow->payload += payload;
    if (payload < flow->size - flow->headers || flow->count == COALESCE_LIMIT
        || (flow->protocol == TCP_PROTOCOL && segment->packet[segment->start + TCP_FLAGS] & TCP_PSH))
        flush(coalescing, flow);
}

/* Return a flow that has no segments. */
static CoalesceFlow *
unused(Coalescing *coalescing)
{
    for (int i = 0; i < COALESCE_FLOWS; i++)
        if (coalescing->flows[i].count == 0)
            return &coalescing->flows[i];
    CoalesceFlow *flow = &coalescing->flows[coalescing->oldest++ % COALESCE_FLOWS];
    flush(coalescing, flow);
    return flow;
}

void
coalesce_begin(Coalescing *coalescing, CoalesceWrite write, void *context, int room)
{
    coalescing->write = write;
    coalescing->context = context;
    coalescing->room = room;
    coalescing->refused = 0;
    coalescing->oldest = 0;
    for (int i = 0; i < COALESCE_FLOWS; i++)
        coalescing->flows[i].count = 0;
}

void
coalesce_add(Coalescing *coalescing, const uint8_t *packet, size_t size)
{
    Segment segment;
    CoalesceFlow *flow = NULL;

    if (!recognise(&segment, packet, size)) {
        /* It may be a fragment of a flow. */
        coalesce_end(coalescing);
        write_alone(coalescing, packet, size);
        return;
    }
    for (int i = 0; i < COALESCE_FLOWS && flow == NULL; i++)
        if (is_of(&coalescing->flows[i], &segment))
            flow = &coalescing->flows[i];
    int joinable = joins(coalescing, &segment);
    if (flow != NULL) {
        if (joinable && follows(flow, &segment)) {
            append(coalescing, flow, &segment);
            return;
        }
        flush(coalescing, flow);
    }
    if (!joinable) {
        write_alone(coalescing, packet, size);
        return;
    }
    flow = unused(coalescing);
    flow->first = packet;
    flow->size = segment.size;
    flow->headers = segment.headers;
    flow->start = segment.start;
    flow->protocol = segment.protocol;
    flow->payload = 0;
    append(coalescing, flow, &segment);
}

void
coalesce_end(Coalescing *coalescing)
{
    for (int i = 0; i < COALESCE_FLOWS; i++)
        if (coalescing->flows[i].count)
            flush(coalescing, &coalescing->flows[i]);
}
