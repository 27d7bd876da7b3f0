/*
 * Splits a frame that was read from a TUN device, with its VNet header, into the IP packets that the
 * kernel left to be made: TCP segmentation (TSO), UDP segmentation (USO), and checksums.
 */

#ifndef PPTPGW_SEGMENT_H
#define PPTPGW_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

/* The most packets that one frame may make. A frame of 65,535 octets makes more only if its segments
 * have fewer than 64 octets. */
#define SEGMENT_LIMIT 1024

/* What remains to be made of a frame. The frame must stay where it is meanwhile. */
typedef struct {
    const uint8_t *packet;
    size_t size;
    /* The octets that begin each packet; size if the frame is one packet. */
    size_t headers;
    /* The octets of payload in each packet but the last, and where the next ones begin. */
    size_t segment, at;
    /* Where the transport header begins, and where its checksum is, counted from there. */
    size_t start, offset;
    uint8_t incomplete;
    uint16_t made;
} Segments;

/* Begin to split a frame. Return 0, or -1 if its header doesn't describe its packet. */
int segment_begin(Segments *segments, const uint8_t *frame, size_t size);

/* Begin with a packet that isn't split. */
void segment_whole(Segments *segments, const uint8_t *packet, size_t size);

/* Return the size of the next packet; 0 after the last one. */
size_t segment_size(const Segments *segments);

/* Write the next packet, of segment_size() octets. */
void segment_make(Segments *segments, uint8_t *packet);

#endif
