/*
 * A batch of packets from the sockets of tunnels: read by receive.c, handled by inward.c.
 */

#ifndef PPTPGW_RECEIVE_H
#define PPTPGW_RECEIVE_H

#include <stdint.h>
#include <sys/socket.h>

#include "coalesce.h"
#include "datagram.h"
#include "engine.h"
#include "message.h"
#include "rc4.h"

/* A packet that was read. */
typedef struct {
    const uint8_t *octets;
    /* What goes with a datagram (datagram.h); NULL of other packets. */
    const uint8_t *header;
    size_t size;
    /* The place of its socket. */
    unsigned port;
} Arrival;

struct Receiving {
    /* Where packets are read, or copied to if they can't stay where they were read. */
    Slot *read[BATCH];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
    Datagrams datagrams;
    /* When packets of several sessions came together last. */
    uint64_t shared;
    /* How many packets of no session were left to Python lately, and until when that is. */
    unsigned strays;
    uint64_t strays_end;
    /* The packets that are handled, those of them that waited, and where they are decrypted to. */
    Arrival arrivals[BATCH];
    Slot *waited[BATCH];
    uint8_t plains[BATCH][PACKET_SIZE + 64];
    /* Where frames are decrypted to that were held. */
    uint8_t held[BATCH][PACKET_SIZE + 64];
    Frame frames[BATCH];
    /* The next packet of the same session; -1 if there is none. */
    int next[BATCH];
    Left left;
    Engine *engine;
    Coalescing coalescing;
    /* What is decrypted before the first session of the batch has its turn, and for how many sessions. */
    Streams streams;
    Prepared prepared[BATCH];
    unsigned preparing;
    RC4 saved;
    /* The packets that wait. */
    Lanes lanes;
};

/* Own a session until inward() has handled its frames of the batch, if nobody else owns it, and begin to
 * decrypt those that come first: all sessions' frames are decrypted together. */
void inward_prepare(Engine *engine, Session *session);

/* Handle a session's frames of the batch, beginning with one of them, up to the first one that Python
 * has to handle. Return that one, or -1. */
int inward(Engine *engine, Session *session, int at);

#endif
