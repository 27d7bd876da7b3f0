/*
 * The MSS clamp: the option of TCP's SYN segments is lowered in place, as ipv4.py, ipv6.py and tcp.py
 * of pptpgw/datapath do it.
 */

#ifndef PPTPGW_CLAMP_H
#define PPTPGW_CLAMP_H

#include <stddef.h>
#include <stdint.h>

/* Lower the MSS of an IP packet to what fits the MTU. The header, without options, must be there: 20
 * octets of IPv4 or 40 of IPv6. */
void clamp_packet(uint8_t *packet, size_t size, unsigned mtu);

#endif
