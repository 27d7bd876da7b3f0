#include "clamp.h"

#include "packet.h"

#define SYN 0x02
#define END_OF_OPTIONS 0
#define NO_OPTION 1
#define MSS_OPTION 2

/* In the word at IPV4_FRAGMENT: where the fragment begins. */
#define OFFSET 0x1FFF

/* Extension headers of IPv6 (RFC 8200 section 4), and how many are looked into. */
#define HOP_BY_HOP 0
#define ROUTING 43
#define FRAGMENT 44
#define DESTINATION_OPTIONS 60
#define EXTENSION 8
#define EXTENSION_LIMIT 6

/* Lower the MSS at an offset of a packet, and update the checksum of its TCP header (RFC 1624). */
static void
lower(uint8_t *packet, size_t start, size_t at, unsigned mss)
{
    uint16_t old = packet_word(packet + at), new = (uint16_t)mss;

    if (old <= mss)
        return;
    packet_put_word(packet + at, new);
    if ((at - start) & 1) {
        /* The MSS lies across two words of the checksum, and counts with its octets swapped. */
        old = (uint16_t)(old << 8 | old >> 8);
        new = (uint16_t)(new << 8 | new >> 8);
    }
    uint32_t total = (uint32_t)(packet_word(packet + start + TCP_CHECKSUM) ^ 0xFFFF)
                     + (uint32_t)(old ^ 0xFFFF) + new;
    total = (total & 0xFFFF) + (total >> 16);
    total = (total & 0xFFFF) + (total >> 16);
    packet_put_word(packet + start + TCP_CHECKSUM, (uint16_t)(total ^ 0xFFFF));
}

/* Lower the MSS of the TCP segment that begins at an offset. */
static void
clamp_segment(uint8_t *packet, size_t size, size_t start, unsigned mss)
{
    if (size < start + TCP_HEADER || !(packet[start + TCP_FLAGS] & SYN))
        return;
    size_t at = start + TCP_HEADER, end = start + (packet[start + TCP_OFFSET] >> 4) * 4u;
    if (end > size)
        end = size;
    while (at + 4 <= end && packet[at] != END_OF_OPTIONS) {
        size_t length = packet[at] == NO_OPTION ? 1 : packet[at + 1];
        if (packet[at] == MSS_OPTION && length == 4) {
            lower(packet, start, at + 2, mss);
            return;
        }
        if (packet[at] != NO_OPTION && length < 2)
            return;
        at += length;
    }
}

static unsigned
fitting(unsigned mtu, unsigned headers)
{
    return mtu > headers ? mtu - headers : 1;
}

static void
clamp_ipv4(uint8_t *packet, size_t size, unsigned mtu)
{
    size_t header = (packet[0] & 0x0Fu) * 4;

    if (packet[IPV4_PROTOCOL] == TCP_PROTOCOL && header >= IPV4_HEADER && size >= header
        && !(packet_word(packet + IPV4_FRAGMENT) & OFFSET))
        clamp_segment(packet, size, header, fitting(mtu, IPV4_HEADER + TCP_HEADER));
}

static int
is_extension(unsigned number)
{
    return number == HOP_BY_HOP || number == ROUTING || number == FRAGMENT
           || number == DESTINATION_OPTIONS;
}

static void
clamp_ipv6(uint8_t *packet, size_t size, unsigned mtu)
{
    unsigned number = packet[IPV6_NEXT];
    size_t at = IPV6_HEADER;

    for (int i = 0; i < EXTENSION_LIMIT && is_extension(number) && size >= at + EXTENSION; i++) {
        if (number == FRAGMENT && (packet[at + 2] || packet[at + 3] & 0xF8))
            return;
        size_t length = number == FRAGMENT ? EXTENSION : (packet[at + 1] + 1u) * 8;
        number = packet[at];
        at += length;
    }
    if (number == TCP_PROTOCOL)
        clamp_segment(packet, size, at, fitting(mtu, IPV6_HEADER + TCP_HEADER));
}

void
clamp_packet(uint8_t *packet, size_t size, unsigned mtu)
{
    if (packet[0] >> 4 == 4)
        clamp_ipv4(packet, size, mtu);
    else
        clamp_ipv6(packet, size, mtu);
}
