/*
 * What the programs that test the thread in C have in common: the sockets at its ends.
 */

#ifndef PPTPGW_ENDS_H
#define PPTPGW_ENDS_H

#define _GNU_SOURCE
#include <string.h>
#include <sys/socket.h>

#include "check.h"
#include "packet.h"
#include "session.h"

/* The ends of a call of PPTP, whose ids are these. */
static Ends
ends_of(unsigned local, unsigned peer)
{
    return (Ends){TUNNEL_GRE, {192, 0, 2, 2}, {192, 0, 2, 1}, local, peer};
}

/* Make a pair of sockets. */
static void
pair(int *one, int *other)
{
    int made[2], size = 1 << 20;

    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, made) == 0);
    setsockopt(made[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(made[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    *one = made[0];
    *other = made[1];
}

/* Write the header of an IPv4 packet of this size, to a call or from it, whose address is 10.0.0.last.
 * The other address is 0.0.0.0, and there is no payload. */
static void
address(uint8_t *octets, size_t size, uint8_t last, int to)
{
    uint8_t *own = octets + (to ? IPV4_DESTINATION : IPV4_SOURCE);

    memset(octets, 0, size);
    octets[0] = 0x45;
    packet_put_word(octets + IPV4_LENGTH, (uint16_t)size);
    own[0] = 10;
    own[3] = last;
    packet_seal(octets, IPV4_HEADER);
}

/* Permit a call the address 10.0.0.last. */
static void
permit(Network *network, uint8_t last)
{
    network->count = 1;
    memset(&network->sources[0], 0, sizeof network->sources[0]);
    network->sources[0].prefix[0] = 10;
    network->sources[0].prefix[3] = last;
    memset(network->sources[0].mask, 255, 4);
}

#endif
