/*
 * The lanes of fair.h, with the memory that packets are read into.
 */

#ifndef PPTPGW_LANES_H
#define PPTPGW_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "fair.h"

/* The largest packet, as RECEIVE_SIZE of raw.py and READ_SIZE of devicesystem.py. */
#define PACKET_SIZE 4096

/* The most packets that are in use without waiting. */
#define LANES_SPARE 192

/* The key of packets that belong to no session, as STRAYS of raw.py. */
#define LANES_STRAYS UINT64_MAX

/* What is added to the peer of control messages, which makes the key of their lane. */
#define LANES_CONTROL (1ull << 63)

/* The memory of a packet. It has a cache line more than the packet, which keeps the headers of packets
 * from displacing each other in the cache. */
typedef struct {
    Waiting waiting;
    /* The place of the socket that the packet is from, and the octets of a header before it (datagram.h). */
    uint32_t port, header;
    uint8_t octets[PACKET_SIZE];
    uint8_t rest[64 - sizeof(Waiting) - sizeof(uint64_t)];
} Slot;

typedef struct {
    Fair fair;
    /* The slots that are unused, the last one used first. */
    unsigned count;
    Slot *unused[FAIR_MOST + LANES_SPARE];
    Slot slots[FAIR_MOST + LANES_SPARE];
} Lanes;

/* Begin without packets. The memory of new lanes needn't be touched before: the system gives that of a
 * packet when its slot is used first. */
void lanes_begin(Lanes *lanes);

/* Return a slot that is unused. */
static inline Slot *
lanes_slot(Lanes *lanes)
{
    return lanes->unused[--lanes->count];
}

/* Take a slot back. */
static inline void
lanes_free(Lanes *lanes, Slot *slot)
{
    lanes->unused[lanes->count++] = slot;
}

/* Have the packet in a slot wait, as fair_add() does. Return whether one is dropped for it. */
static inline int
lanes_add(Lanes *lanes, uint64_t key, Slot *slot, uint64_t *loser)
{
    Waiting *lost = fair_add(&lanes->fair, key, &slot->waiting, loser);

    if (lost != NULL)
        lanes_free(lanes, (Slot *)lost);
    return lost != NULL;
}

/* Return the slot of the packet whose turn it is; NULL if none waits. */
static inline Slot *
lanes_take(Lanes *lanes, uint64_t *key)
{
    return (Slot *)fair_take(&lanes->fair, key);
}

#endif
