/*
 * Packets of PPTP's GRE (RFC 2637 section 4.1) with one PPP frame, and acknowledgements without one.
 */

#ifndef PPTPGW_GRE_H
#define PPTPGW_GRE_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"

/* The least and the most octets of the header of a packet with a frame, without IP's. */
#define GRE_SHORTEST 12
#define GRE_LONGEST 16

/* Parse a packet that begins with an IP header without options. Return FRAME_FOUND if it has a PPP frame
 * with a valid protocol number; FRAME_ACKNOWLEDGEMENT if it acknowledges packets and contains nothing;
 * and otherwise FRAME_OTHER. Without a frame only the key and the protocol number are stored. */
int gre_parse(const uint8_t *packet, size_t size, Frame *frame);

/* Write the header of a packet with a PPP frame of this length before the octet end, and return where
 * it begins. It acknowledges all packets before received if that isn't NULL. */
uint8_t *gre_begin(uint8_t *end, size_t length, uint16_t call, uint32_t sequence,
                   const uint32_t *received);

/* Write a packet that only acknowledges, and return its size. */
size_t gre_acknowledge(uint8_t *packet, uint16_t call, uint32_t received);

#endif
