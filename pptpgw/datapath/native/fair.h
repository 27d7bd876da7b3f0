/*
 * Packets that wait, in a lane for each session, and whose turn it is: deficit round robin. A session
 * that sends more than the others makes only itself wait. Where too many wait, the longest lane loses
 * its first packet. The memory of packets is the caller's. pptpgw/datapath/fair.py is the twin in
 * Python.
 */

#ifndef PPTPGW_FAIR_H
#define PPTPGW_FAIR_H

#include <stdint.h>

/* The numbers MOST, QUANTUM and COST of fair.py. */
#define FAIR_MOST 2048
#define FAIR_QUANTUM 12000
#define FAIR_COST 512

/* The number of chains of lanes, a power of two. */
#define FAIR_CHAINS 4096

/* A packet that waits; the caller's memory begins with it. */
typedef struct Waiting {
    struct Waiting *next;
    uint32_t size;
} Waiting;

/* The packets of one key. There is a lane only while packets are in it. */
typedef struct Lane {
    uint64_t key;
    Waiting *first, *last;
    unsigned packets;
    /* The octets that it may take until the next lane has its turn. */
    int credit;
    /* The next lane in the same chain, or the next that is free. */
    struct Lane *chained;
    /* Its neighbours in the round of turns. */
    struct Lane *before, *after;
    /* Its neighbours among the lanes with as many packets. */
    struct Lane *newer, *older;
} Lane;

typedef struct {
    /* The number of packets in all lanes, and in the longest one. */
    unsigned waiting, longest;
    /* The lane whose turn it is; NULL if there is none. */
    Lane *turn;
    Lane *chains[FAIR_CHAINS];
    /* By the number of packets, the lane that got this number last. */
    Lane *newest[FAIR_MOST + 2];
    Lane *free;
    Lane lanes[FAIR_MOST + 1];
} Fair;

/* Begin with no packets. */
void fair_begin(Fair *fair);

/* Return whether a packet with this key waits. */
int fair_has(const Fair *fair, uint64_t key);

/* Have a packet, whose size is set, wait in the lane of a key. Return the packet that is dropped for it,
 * which may be the same, and set *loser to its key; NULL if none is. */
Waiting *fair_add(Fair *fair, uint64_t key, Waiting *packet, uint64_t *loser);

/* Return the packet whose turn it is, which doesn't wait any more, and set *key to its key; NULL if there
 * is none. */
Waiting *fair_take(Fair *fair, uint64_t *key);

#endif
