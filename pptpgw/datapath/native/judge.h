/*
 * What becomes of packets of networks that a peer sends, as openipv4.py and openipv6.py decide it.
 */

#ifndef PPTPGW_JUDGE_H
#define PPTPGW_JUDGE_H

#include <stddef.h>
#include <stdint.h>

#include "engine.h"

#define PPP_IPV4 0x0021
#define PPP_IPV6 0x0057

/* A packet is passed on, is counted as spoofed, or is left to Python. */
typedef enum { PASS, SPOOF, LEAVE } Verdict;

/* A packet of a network. */
typedef struct {
    unsigned network;
    uint8_t *octets;
    size_t size;
} Packet;

/* Judge a packet of a protocol. Its network is stored. */
Verdict judge_packet(const Engine *engine, const Session *session, unsigned protocol, Packet *packet);

/* Return whether a packet of a protocol, which followed a gap, makes sense, as plausibility.py decides
 * it for open networks. */
int judge_plausible(unsigned protocol, const Packet *packet);

#endif
