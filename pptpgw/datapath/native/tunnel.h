/*
 * The tunnels by which packets of calls come and go.
 */

#ifndef PPTPGW_TUNNEL_H
#define PPTPGW_TUNNEL_H

#include "gre.h"
#include "l2tp.h"

/* GRE packets of PPTP, which are numbered and ordered (window.h), by raw sockets; and data messages of
 * L2TP by UDP sockets, which have numbers only if the peer demands it, and aren't ordered. */
typedef enum { TUNNEL_GRE, TUNNEL_L2TP, TUNNELS } Tunnel;

/* Parse a packet: of GRE from the IP header on, of L2TP a datagram. */
static inline int
tunnel_parse(Tunnel tunnel, const uint8_t *packet, size_t size, Frame *frame)
{
    return tunnel == TUNNEL_GRE ? gre_parse(packet, size, frame) : l2tp_parse(packet, size, frame);
}

#endif
