/*
 * Joins TCP segments and UDP datagrams on their way into a TUN device: those of one flow that follow
 * each other become one frame with a VNet header, which the kernel handles as one packet (GRO). What the
 * kernel splits such a frame into are the packets that were joined. Other packets become a frame each.
 *
 * Packets are joined only if both checksums are right and their headers differ in nothing but length,
 * identification, checksum, and TCP's sequence number and PSH. They change their order only if they
 * belong to different flows.
 */

#ifndef PPTPGW_COALESCE_H
#define PPTPGW_COALESCE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vnet.h"

/* How many flows may have segments that wait for others of the same batch. */
#define COALESCE_FLOWS 8

/* The most packets that are joined, which is also the most that the kernel takes of UDP. */
#define COALESCE_LIMIT 64

/* An IPv6 header and the longest TCP header. */
#define COALESCE_HEADERS 100

/* Writes a frame. Returns -1 with errno set if it is refused. */
typedef ssize_t (*CoalesceWrite)(void *context, const struct iovec *frame, int vectors);

/* The packets of one flow that were joined so far. The first one begins at vectors[2]. */
typedef struct {
    VNet vnet;
    uint8_t header[COALESCE_HEADERS];
    const uint8_t *first;
    /* The octets of the first packet, of its headers, and of all payload. */
    size_t size, headers, payload;
    /* Where the transport header begins, and its protocol. */
    size_t start;
    uint8_t protocol;
    int count;
    struct iovec vectors[2 + COALESCE_LIMIT];
} CoalesceFlow;

/* The flows of one batch; all zero before the first one. It refers to the packets, which must stay where they are until its end. */
typedef struct {
    CoalesceWrite write;
    void *context;
    /* Whether the VNET_SIZE octets before each packet may be overwritten, which makes one vector of it. */
    int room;
    /* Whether the kernel has refused joined datagrams, as Linux does before version 6.2. */
    int apart;
    /* How many packets of the batch were refused. */
    unsigned refused;
    /* The flow to write first if there are too many. */
    unsigned oldest;
    CoalesceFlow flows[COALESCE_FLOWS];
} Coalescing;

/* Begin a batch, whose frames are passed to write. */
void coalesce_begin(Coalescing *coalescing, CoalesceWrite write, void *context, int room);

/* Take a packet. */
void coalesce_add(Coalescing *coalescing, const uint8_t *packet, size_t size);

/* End the batch, or a part of it: write what was kept. */
void coalesce_end(Coalescing *coalescing);

#endif
