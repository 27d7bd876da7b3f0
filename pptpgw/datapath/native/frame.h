/*
 * A PPP frame in a packet of a tunnel.
 */

#ifndef PPTPGW_FRAME_H
#define PPTPGW_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "packet.h"

/* What a tunnel's parser finds in a packet: something that only Python handles, a frame with a valid
 * protocol number, an acknowledgement that contains nothing, or a control message, which belongs to no
 * call. */
#define FRAME_OTHER 0
#define FRAME_FOUND 1
#define FRAME_ACKNOWLEDGEMENT 2
#define FRAME_CONTROL 3

/* How many bits keys have, and what is no key. */
#define FRAME_KEY_BITS 48
#define FRAME_NO_KEY UINT64_MAX

/* A frame, and the call that it belongs to. */
typedef struct {
    /* What finds the call among those of the same port; FRAME_NO_KEY if it wasn't found. */
    uint64_t key;
    uint32_t sequence;
    /* 0 if there is no frame, or none with a valid protocol number. */
    unsigned protocol;
    const uint8_t *information;
    size_t length;
} Frame;

/* Read the fields of a PPP frame: address and control, which may be missing, and the protocol number.
 * Return 0 if the number isn't valid. */
static inline int
frame_read(const uint8_t *octets, size_t length, Frame *frame)
{
    if (length >= 2 && octets[0] == 0xFF && octets[1] == 0x03) {
        octets += 2;
        length -= 2;
    }
    if (length >= 1 && octets[0] & 1) {
        frame->protocol = octets[0];
        octets += 1;
        length -= 1;
    }
    else if (length >= 2 && octets[1] & 1) {
        frame->protocol = packet_word(octets);
        octets += 2;
        length -= 2;
    }
    else
        return 0;
    frame->information = octets;
    frame->length = length;
    return 1;
}

#endif
