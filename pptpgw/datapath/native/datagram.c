#define _GNU_SOURCE
#include "datagram.h"

#include <netinet/udp.h>

/* A socket option of Linux that C libraries before glibc 2.31 don't have. */
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

int
datagrams_read(Datagrams *datagrams, int descriptor)
{
    unsigned most = datagrams->several ? DATAGRAM_FEW : DATAGRAM_MESSAGES;

    for (unsigned i = 0; i < most; i++) {
        datagrams->vectors[i] = (struct iovec){datagrams->octets[i], DATAGRAM_LARGEST};
        datagrams->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &datagrams->peers[i],
            .msg_namelen = sizeof datagrams->peers[i],
            .msg_iov = &datagrams->vectors[i],
            .msg_iovlen = 1,
            .msg_control = &datagrams->controls[i],
            .msg_controllen = sizeof datagrams->controls[i],
        };
    }
    int count = recvmmsg(descriptor, datagrams->messages, most, MSG_DONTWAIT, NULL);
    datagrams->count = count > 0 ? (unsigned)count : 0;
    datagrams->number = 0;
    datagrams->at = 0;
    datagrams->several = 0;
    return count;
}

/* Begin to split a message: make the header of its datagrams, and find how many octets they have. */
static void
begin(Datagrams *datagrams)
{
    struct msghdr *message = &datagrams->messages[datagrams->number].msg_hdr;
    const struct sockaddr_in *peer = &datagrams->peers[datagrams->number];
    uint8_t *header = datagrams->headers[datagrams->number];
    int part = 0;

    memset(header, 0, DATAGRAM_HEADER);
    header[0] = 0x45;
    header[IPV4_PROTOCOL] = UDP_PROTOCOL;
    memcpy(header + IPV4_SOURCE, &peer->sin_addr, 4);
    memcpy(header + DATAGRAM_SOURCE_PORT, &peer->sin_port, 2);
    for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each; each = CMSG_NXTHDR(message, each))
        if (each->cmsg_level == IPPROTO_UDP && each->cmsg_type == UDP_GRO)
            memcpy(&part, CMSG_DATA(each), sizeof part);
        else if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo information;
            memcpy(&information, CMSG_DATA(each), sizeof information);
            memcpy(header + IPV4_DESTINATION, &information.ipi_spec_dst, 4);
        }
    datagrams->part = part > 0 ? (size_t)part : DATAGRAM_LARGEST;
    datagrams->several |= part > 0;
}

const uint8_t *
datagrams_next(Datagrams *datagrams, const uint8_t **header, size_t *size)
{
    unsigned number = datagrams->number;

    if (number == datagrams->count)
        return NULL;
    if (datagrams->at == 0)
        begin(datagrams);
    size_t left = datagrams->messages[number].msg_len - datagrams->at;
    const uint8_t *octets = datagrams->octets[number] + datagrams->at;
    *header = datagrams->headers[number];
    *size = left < datagrams->part ? left : datagrams->part;
    datagrams->at += *size;
    if (*size == left) {
        datagrams->number++;
        datagrams->at = 0;
    }
    return octets;
}
