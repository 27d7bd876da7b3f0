#define _GNU_SOURCE
#include "message.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/ioctl.h>

#include "datagram.h"

/* A socket option of Linux that C libraries before glibc 2.31 don't have. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* The most packets of a session that are left to Python while it hasn't read all that was. */
#define LEFT_MOST 256

void
message_address(struct msghdr *message, const Port *port, Session *session, struct iovec *vector,
                Control *control)
{
    struct in_pktinfo information = {.ipi_spec_dst = session->local};

    memset(message, 0, sizeof *message);
    message->msg_iov = vector;
    message->msg_iovlen = 1;
    if (!port->addressed)
        return;
    memset(control, 0, sizeof *control);
    control->header.cmsg_level = IPPROTO_IP;
    control->header.cmsg_type = IP_PKTINFO;
    control->header.cmsg_len = CMSG_LEN(sizeof information);
    memcpy(CMSG_DATA(&control->header), &information, sizeof information);
    message->msg_name = &session->peer;
    message->msg_namelen = sizeof session->peer;
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(sizeof information);
}

void
message_split(struct msghdr *message, Control *control, uint16_t size)
{
    struct cmsghdr *header
        = (struct cmsghdr *)(control->octets + CMSG_SPACE(sizeof(struct in_pktinfo)));

    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(header), &size, sizeof size);
    message->msg_controllen = sizeof control->octets;
}

/* Return whether another packet may be left to Python. All sessions share one queue, in which none may
 * have so many packets that there is no room for those of others. Those that Python has read don't count
 * once it has read all: it is looked once for each batch, before the first of its packets is passed on. */
static int
permitted(Left *left, Leaving *leaving)
{
    Port *port = left->port;
    int queued;

    if (!left->looked) {
        left->looked = 1;
        if (ioctl(port->left, SIOCOUTQ, &queued) == 0 && queued == 0)
            port->round++;
    }
    if (leaving->round != port->round)
        *leaving = (Leaving){port->round, 0};
    return leaving->count++ < LEFT_MOST;
}

void
left_flush(Engine *engine, Left *left)
{
    for (int i = 0; i < left->count;) {
        unsigned count = (unsigned)(left->count - i);
        int sent = sendmmsg(left->port->left, left->messages + i, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0) {
            /* Python is so busy that the socket is full. */
            engine_event(engine, NOT_LEFT, 0, count);
            break;
        }
        i += sent;
    }
    left->count = 0;
    left->looked = 0;
}

void
left_add(Engine *engine, Left *left, Port *port, Session *session, const uint8_t *header,
         const uint8_t *packet, size_t size)
{
    if (left->count == BATCH || left->port != port)
        left_flush(engine, left);
    left->port = port;
    Leaving *leaving = &port->others;
    if (session != NULL)
        leaving = port == &engine->tun ? &session->outward[engine->number].leaving
                                       : &session->leaving;
    if (!port->used || !permitted(left, leaving)) {
        engine_dropped(engine, session);
        return;
    }
    struct iovec *vectors = left->vectors[left->count];
    struct msghdr *message = &left->messages[left->count++].msg_hdr;
    vectors[0] = (struct iovec){(void *)header, DATAGRAM_HEADER};
    vectors[1] = (struct iovec){(void *)packet, size};
    memset(message, 0, sizeof *message);
    message->msg_iov = header == NULL ? vectors + 1 : vectors;
    message->msg_iovlen = header == NULL ? 1 : 2;
}
