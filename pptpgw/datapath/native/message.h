/*
 * Messages of the native data path: packets of tunnels on their way to a peer, and packets that are left
 * to Python.
 */

#ifndef PPTPGW_MESSAGE_H
#define PPTPGW_MESSAGE_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "engine.h"

/* The control messages by which packets get their source address, and by which a message becomes several
 * datagrams. */
typedef union {
    struct cmsghdr header;
    char octets[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
} Control;

/* Have a message carry octets of a session to its peer. The vector and the control messages must stay
 * where they are. */
void message_address(struct msghdr *message, const Port *port, Session *session,
                     struct iovec *vector, Control *control);

/* Have a message with several vectors become datagrams of this size, of which the last may be smaller. */
void message_split(struct msghdr *message, Control *control, uint16_t size);

/* Packets that are left to Python, by the socket of one port. */
typedef struct {
    Port *port;
    int count;
    /* Whether it was looked whether Python has read all. */
    int looked;
    struct iovec vectors[BATCH][2];
    struct mmsghdr messages[BATCH];
} Left;

/* Leave a packet of a session, or of none if that is NULL; the packet must stay where it is until
 * left_flush(). A datagram has a header, which must stay too, and others have none. If as many of that
 * session wait for Python as may, the packet is dropped and counted. */
void left_add(Engine *engine, Left *left, Port *port, Session *session, const uint8_t *header,
              const uint8_t *packet, size_t size);

/* Pass on all that was left. */
void left_flush(Engine *engine, Left *left);

#endif
