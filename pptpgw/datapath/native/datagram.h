/*
 * Datagrams of a UDP socket. The kernel passes those of one peer that follow each other as one message
 * (UDP_GRO), and sends one message as several datagrams (UDP_SEGMENT): see udp(7) of Linux.
 */

#ifndef PPTPGW_DATAGRAM_H
#define PPTPGW_DATAGRAM_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "packet.h"

/* The octets before each datagram: headers of IP and UDP with addresses and ports, and zeros. */
#define DATAGRAM_HEADER (IPV4_HEADER + UDP_HEADER)
#define DATAGRAM_SOURCE_PORT IPV4_HEADER

/* The most datagrams and octets that are sent as one message. Linux before 6.9 takes no more of the
 * former; IP permits a few octets more. */
#define DATAGRAM_PARTS 64
#define DATAGRAM_OCTETS 65000

/* How many messages are read at once, and the most octets of one. */
#define DATAGRAM_MESSAGES 8
#define DATAGRAM_LARGEST 65535

/* Messages that were read. */
typedef struct {
    unsigned count;
    /* Which one is split, where its next datagram begins, the octets of all its datagrams but the last,
     * and what stands before each. */
    unsigned number;
    size_t at, part;
    uint8_t header[DATAGRAM_HEADER];
    struct mmsghdr messages[DATAGRAM_MESSAGES];
    struct iovec vectors[DATAGRAM_MESSAGES];
    struct sockaddr_in peers[DATAGRAM_MESSAGES];
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(int))];
    } controls[DATAGRAM_MESSAGES];
    uint8_t octets[DATAGRAM_MESSAGES][DATAGRAM_HEADER + DATAGRAM_LARGEST];
} Datagrams;

/* Read messages, when all datagrams of those before were returned. Return how many, or -1 with errno
 * set. */
int datagrams_read(Datagrams *datagrams, int descriptor);

/* Return the next datagram, which begins with DATAGRAM_HEADER octets, and set its size; NULL if there is
 * none. It stays until the next one is asked for. */
uint8_t *datagrams_next(Datagrams *datagrams, size_t *size);

/* Return whether all messages were read that there were. */
static inline int
datagrams_end(const Datagrams *datagrams)
{
    return datagrams->number == datagrams->count && datagrams->count < DATAGRAM_MESSAGES;
}

/* Return whether datagrams remain of the messages. */
static inline int
datagrams_more(const Datagrams *datagrams)
{
    return datagrams->number < datagrams->count;
}

/* Return the peer that sent a datagram, as address and port in 48 bits. */
static inline uint64_t
datagram_peer(const uint8_t *packet)
{
    return (uint64_t)packet_number(packet + IPV4_SOURCE) << 16
           | packet_word(packet + DATAGRAM_SOURCE_PORT);
}

/* Return whether a peer sent a datagram. */
static inline int
datagram_is_from(const uint8_t *packet, const struct sockaddr_in *peer)
{
    return memcmp(packet + IPV4_SOURCE, &peer->sin_addr, 4) == 0
           && memcmp(packet + DATAGRAM_SOURCE_PORT, &peer->sin_port, 2) == 0;
}

#endif
