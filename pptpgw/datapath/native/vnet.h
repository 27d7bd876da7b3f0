/*
 * The header before each packet of a TUN device that was opened with IFF_VNET_HDR: what the kernel
 * calls struct virtio_net_hdr, with numbers in the order of the machine.
 */

#ifndef PPTPGW_VNET_H
#define PPTPGW_VNET_H

#include <stdint.h>

typedef struct {
    uint8_t flags;
    /* What the packet is to be split into, and VNET_ECN. */
    uint8_t kind;
    /* The octets of all headers. Readers don't rely on it. */
    uint16_t headers;
    /* The octets of payload in each packet but the last. */
    uint16_t segment;
    /* Where the checksum begins, and where it is stored, counted from there. */
    uint16_t start, offset;
} VNet;

#define VNET_SIZE 10

/* A flag: the checksum is incomplete, and in its place is the sum of the pseudo-header. */
#define VNET_NEEDS_CHECKSUM 1

#define VNET_WHOLE 0
#define VNET_TCP4 1
#define VNET_TCP6 4
#define VNET_UDP 5
#define VNET_ECN 0x80

#define VNET_TCP_OFFSET 16
#define VNET_UDP_OFFSET 6

#endif
