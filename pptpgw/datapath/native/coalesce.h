/*
 * Joins TCP segments on their way into a TUN device: those of one flow that follow each other become
 * one frame with a VNet header, which the kernel handles as one packet (GRO). What the kernel splits
 * such a frame into are the packets that were joined. Other packets become a frame each.
 *
 * Segments are joined only if both checksums are right and their headers differ in nothing but
 * length, identification, sequence number and PSH. Packets change their order only if they belong to
 * different TCP connections.
 */

#ifndef PPTPGW_COALESCE_H
#define PPTPGW_COALESCE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vnet.h"

/* How many flows may have segments that wait for others of the same batch. */
#define COALESCE_FLOWS 8

/* The most segments that are joined. */
#define COALESCE_LIMIT 64

/* An IPv6 header and the longest TCP header. */
#define COALESCE_HEADERS 100

/* Takes a frame, which was made of so many packets. */
typedef void (*CoalesceWrite)(void *context, const struct iovec *frame, int vectors, int packets);

/* The segments of one flow that were joined so far. The first one begins at vectors[2]. */
typedef struct {
    VNet vnet;
    uint8_t header[COALESCE_HEADERS];
    const uint8_t *first;
    /* The octets of the first packet, of its headers, and of all payload. */
    size_t size, headers, payload;
    /* Where the TCP header begins. */
    size_t start;
    int count;
    struct iovec vectors[2 + COALESCE_LIMIT];
} CoalesceFlow;

/* The flows of one batch. It refers to the packets, which must stay where they are until its end. */
typedef struct {
    CoalesceWrite write;
    void *context;
    /* The flow to write first if there are too many. */
    unsigned oldest;
    CoalesceFlow flows[COALESCE_FLOWS];
} Coalescing;

/* Begin a batch, whose frames are passed to write. */
void coalesce_begin(Coalescing *coalescing, CoalesceWrite write, void *context);

/* Take a packet. */
void coalesce_add(Coalescing *coalescing, const uint8_t *packet, size_t size);

/* End the batch, or a part of it: write what was kept. */
void coalesce_end(Coalescing *coalescing);

#endif
