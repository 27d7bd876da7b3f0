#include "judge.h"

#include <string.h>

#include "packet.h"

/* The first octet of link-local and multicast addresses is at least this. */
#define SPECIAL 0xFE

/* Return what becomes of a packet whose source isn't the usual one. */
static Verdict
judge_source(const Engine *engine, const Session *session, unsigned family, const uint8_t *source)
{
    const Network *network = &session->networks[family];
    size_t size = family ? 16 : 4;

    for (unsigned each = 0; each < network->count; each++) {
        const Source *one = &network->sources[each];
        size_t i = 0;
        while (i < size && (source[i] & one->mask[i]) == one->prefix[i])
            i++;
        if (i == size) {
            /* Unless it is in a narrower network of another. */
            const Place *place = routes_find(&engine->routes, family, source);
            return place != NULL && place->value == session ? PASS : LEAVE;
        }
    }
    return SPOOF;
}

static Verdict
judge_ipv4(const Engine *engine, const Session *session, const Packet *packet)
{
    const Network *network = &session->networks[NETWORK_IPV4];
    const uint8_t *source = packet->octets + IPV4_SOURCE;

    if (packet->size < IPV4_HEADER)
        return LEAVE;
    if (packet->octets[0] == 0x45 && network->sure
        && memcmp(source, network->sources[0].prefix, 4) == 0)
        return PASS;
    return packet->octets[0] >> 4 == 4 ? judge_source(engine, session, NETWORK_IPV4, source) : SPOOF;
}

static Verdict
judge_ipv6(const Engine *engine, const Session *session, const Packet *packet)
{
    const Network *network = &session->networks[NETWORK_IPV6];
    const uint8_t *source = packet->octets + IPV6_SOURCE;

    if (packet->size < IPV6_HEADER || packet->octets[0] >> 4 != 6)
        return SPOOF;
    if (packet->octets[IPV6_DESTINATION] >= SPECIAL)
        return LEAVE;
    if (network->sure && memcmp(source, network->sources[0].prefix, 8) == 0)
        return PASS;
    if (source[0] == 0 || source[0] >= SPECIAL)
        return LEAVE;
    return judge_source(engine, session, NETWORK_IPV6, source);
}

Verdict
judge_packet(const Engine *engine, const Session *session, unsigned protocol, Packet *packet)
{
    packet->network = protocol == PPP_IPV4 ? NETWORK_IPV4 : NETWORK_IPV6;
    if ((protocol != PPP_IPV4 && protocol != PPP_IPV6) || !session->networks[packet->network].open)
        return LEAVE;
    return protocol == PPP_IPV4 ? judge_ipv4(engine, session, packet)
                                : judge_ipv6(engine, session, packet);
}

static int
is_ipv4(const uint8_t *octets, size_t size)
{
    if (size < IPV4_HEADER || octets[0] >> 4 != 4)
        return 0;
    size_t header = (octets[0] & 0x0Fu) * 4, length = packet_word(octets + IPV4_LENGTH);
    return IPV4_HEADER <= header && header <= length && length <= size
           && checksum_fold(checksum_add(0, octets, header)) == 0xFFFF;
}

int
judge_plausible(unsigned protocol, const Packet *packet)
{
    const uint8_t *octets = packet->octets;

    if (protocol == PPP_IPV4)
        return is_ipv4(octets, packet->size);
    return protocol == PPP_IPV6 && packet->size >= IPV6_HEADER && octets[0] >> 4 == 6
           && IPV6_HEADER + (size_t)packet_word(octets + IPV6_LENGTH) <= packet->size;
}
