/*
 * Packets of tunnels on their way to the peers. Datagrams between the same ends that follow each other are
 * one message, of which the system makes datagrams again (datagram.h), as far as they have the same size.
 */

#ifndef PPTPGW_OUTGOING_H
#define PPTPGW_OUTGOING_H

#include "message.h"

typedef struct {
    /* The socket of all packets. */
    unsigned port;
    /* How many packets there are; the session of each, its octets in the tunnel, and those without. */
    unsigned count;
    Session *sessions[BATCH];
    struct iovec vectors[BATCH];
    size_t octets[BATCH];
    /* The messages, each of which has a vector for each packet. */
    unsigned number;
    struct mmsghdr messages[BATCH];
    Control controls[BATCH];
} Outgoing;

/* Add a packet of a session, of size octets, which has so many octets without the tunnel's header. There
 * must be fewer than BATCH, all of the same socket. */
void outgoing_add(Engine *engine, Outgoing *all, Session *session, uint8_t *packet, size_t size,
                  size_t octets);

/* Send all packets, and count what became of them. */
void outgoing_send(Engine *engine, Outgoing *all);

#endif
