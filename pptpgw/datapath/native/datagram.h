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

/* The octets of the header that goes with each datagram: those of IP and UDP, with addresses and ports,
 * and zeros. */
#define DATAGRAM_HEADER (IPV4_HEADER + UDP_HEADER)
#define DATAGRAM_SOURCE_PORT IPV4_HEADER

/* The most datagrams and octets that are sent as one message. Linux before 6.9 takes no more of the
 * former; IP permits a few octets more. */
#define DATAGRAM_PARTS 64
#define DATAGRAM_OCTETS 65000

/* How many messages are read at once; so few if those before had several datagrams, which stay in the
 * processor's cache then. */
#define DATAGRAM_MESSAGES 64
#define DATAGRAM_FEW 4

/* The most octets of a message, and its memory: messages that begin at multiples of a power of two would
 * displace each other in the cache. */
#define DATAGRAM_LARGEST 65535
#define DATAGRAM_ROOM (DATAGRAM_LARGEST + 1 + 1664)

/* Messages that were read. */
typedef struct {
    unsigned count;
    /* Which one is split, where its next datagram begins, and the octets of all its datagrams but the
     * last. */
    unsigned number;
    size_t at, part;
    /* Whether a message had several. */
    int several;
    struct mmsghdr messages[DATAGRAM_MESSAGES];
    struct iovec vectors[DATAGRAM_MESSAGES];
    struct sockaddr_in peers[DATAGRAM_MESSAGES];
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(int))];
    } controls[DATAGRAM_MESSAGES];
    uint8_t headers[DATAGRAM_MESSAGES][DATAGRAM_HEADER];
    uint8_t octets[DATAGRAM_MESSAGES][DATAGRAM_ROOM];
} Datagrams;

/* Read messages, in place of those before. Return how many, or -1 with errno set. */
int datagrams_read(Datagrams *datagrams, int descriptor);

/* Return the next datagram of the messages, and set its header and its size; NULL if there is none. */
const uint8_t *datagrams_next(Datagrams *datagrams, const uint8_t **header, size_t *size);

/* Return whether datagrams remain of the messages. */
static inline int
datagrams_more(const Datagrams *datagrams)
{
    return datagrams->number < datagrams->count;
}

/* Return the peer that a datagram with a header is from, as address and port in 48 bits. */
static inline uint64_t
datagram_peer(const uint8_t *header)
{
    return (uint64_t)packet_number(header + IPV4_SOURCE) << 16
           | packet_word(header + DATAGRAM_SOURCE_PORT);
}

/* Return whether a datagram with a header is from a peer. */
static inline int
datagram_is_from(const uint8_t *header, const struct sockaddr_in *peer)
{
    return memcmp(header + IPV4_SOURCE, &peer->sin_addr, 4) == 0
           && memcmp(header + DATAGRAM_SOURCE_PORT, &peer->sin_port, 2) == 0;
}

#endif
