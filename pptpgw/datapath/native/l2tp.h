/*
 * Data messages of L2TP (RFC 2661 section 3.1), which have one PPP frame each.
 */

#ifndef PPTPGW_L2TP_H
#define PPTPGW_L2TP_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"

/* The octets of the header that is sent, without and with a sequence number. */
#define L2TP_SHORTEST 6
#define L2TP_LONGEST 10

/* What stands for no sequence number. */
#define L2TP_NO_NUMBER 0x10000u

/* Parse a message, a datagram. Return FRAME_FOUND if it is a data message with a frame that has a valid
 * protocol number; FRAME_CONTROL if it is a control message; and otherwise FRAME_OTHER. Only a data
 * message of the right form has a key. */
int l2tp_parse(const uint8_t *message, size_t size, Frame *frame);

/* Write the header of a data message before the octet end, and return where it begins. */
uint8_t *l2tp_begin(uint8_t *end, uint32_t ids, uint32_t number);

/* Return whether a frame with a sequence number, or without one, isn't late, and expect the next number
 * then. Of frames that are missing nothing is known here, nor waited for. */
static inline int
l2tp_follows(uint32_t *expected, uint32_t number)
{
    if (number == L2TP_NO_NUMBER)
        return 1;
    uint32_t behind = (*expected - number) & 0xFFFF;
    if (*expected != L2TP_NO_NUMBER && behind > 0 && behind < 0x8000)
        return 0;
    *expected = (number + 1) & 0xFFFF;
    return 1;
}

#endif
