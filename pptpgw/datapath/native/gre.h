/*
 * Packets of PPTP's GRE (RFC 2637 section 4.1) with one PPP frame, and acknowledgements without one.
 */

#ifndef PPTPGW_GRE_H
#define PPTPGW_GRE_H

#include <stddef.h>
#include <stdint.h>

/* What gre_parse() finds. */
#define GRE_OTHER 0
#define GRE_FRAME 1
#define GRE_ACKNOWLEDGEMENT 2

/* The least and the most octets of the header of a packet with a frame, without IP's. */
#define GRE_SHORTEST 12
#define GRE_LONGEST 16

/* How many bits keys have, and what is no key. */
#define GRE_KEY_BITS 48
#define GRE_NO_KEY UINT64_MAX

/* A PPP frame, and the call that it belongs to. */
typedef struct {
    /* The peer's address and our call id; GRE_NO_KEY if they weren't found. */
    uint64_t key;
    uint32_t sequence;
    /* 0 if there is no frame, or none with a valid protocol number. */
    unsigned protocol;
    const uint8_t *information;
    size_t length;
} GREFrame;

/* Parse a packet that begins with an IP header without options. Return GRE_FRAME if it has a PPP frame
 * with a valid protocol number; GRE_ACKNOWLEDGEMENT if it acknowledges packets and contains nothing;
 * and otherwise GRE_OTHER. Without a frame only the key and the protocol number are stored. */
int gre_parse(const uint8_t *packet, size_t size, GREFrame *frame);

/* Write the header of a packet with a PPP frame of this length before the octet end, and return where
 * it begins. It acknowledges all packets before received if that isn't NULL. */
uint8_t *gre_begin(uint8_t *end, size_t length, uint16_t call, uint32_t sequence,
                   const uint32_t *received);

/* Write a packet that only acknowledges, and return its size. */
size_t gre_acknowledge(uint8_t *packet, uint16_t call, uint32_t received);

#endif
