/*
 * Packets of a session whose number isn't the expected one, as pptpgw/tunnels/pptp/window.py handles
 * them: those that are ahead are held until the missing ones come, old ones are counted.
 */

#ifndef PPTPGW_WINDOW_H
#define PPTPGW_WINDOW_H

#include <stdint.h>

#include "gre.h"

/* As in window.py; the time in nanoseconds. */
#define HELD_LIMIT 64
#define HELD_TIME 100000000u
#define GAPS_KNOWN 4
#define REACH (1u << 16)

/* A frame that is held, with its octets, and when it came. */
typedef struct {
    Frame frame;
    uint64_t time;
    /* Room for a VNet header. */
    uint8_t room[16];
    uint8_t octets[];
} Held;

/* Numbers that were counted as lost. */
typedef struct {
    uint32_t first, length;
} Gap;

typedef struct {
    /* The frames that are held, by number; NULL if there are none. There is room for one more than
     * HELD_LIMIT. */
    Held **held;
    unsigned count;
    /* How many packets were dropped since the last gap, after they had arrived. */
    uint32_t dropped;
    /* How many old packets came since the last one in order. */
    uint32_t repeated;
    /* Whether a packet wasn't believed since the last one in order, so that Python handles all that
     * aren't in order; of L2TP, that have a number. */
    int doubted;
    /* The last gaps, the latest one last; the length of those that weren't is 0. */
    Gap gaps[GAPS_KNOWN];
} Window;

struct Session;

/* Hold a frame that is ahead. Return -1 if there is no memory. */
int window_hold(struct Session *session, const Frame *frame, uint64_t now);

/* Return whether the frame with a number is held. */
int window_holds(const struct Session *session, uint32_t sequence);

/* Free so many of the held frames, the first ones. */
void window_free(struct Session *session, unsigned count);

/* Return when the frame came that is held longest; there must be one. */
uint64_t window_oldest(const struct Session *session);

/* Count a packet with an old number. Return 0 if Python has to, since there are too many. */
int window_repeated(struct Session *session, uint32_t sequence);

/* Expect the packet that is ahead by so many, and count those before it as lost. */
void window_go_on(struct Session *session, uint32_t ahead);

#endif
