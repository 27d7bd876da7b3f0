/*
 * How many packets MPPE has to leave out after a gap, as recovery.py finds it.
 */

#ifndef PPTPGW_GAP_H
#define PPTPGW_GAP_H

#include "engine.h"

/* Return how many packets MPPE has to leave out before a frame, given how many numbers are missing; -1 if
 * Python has to find that. Those two differ by control frames, which aren't encrypted, and by what the
 * peer dropped after it was encrypted. */
int gap_packets(const Engine *engine, Session *session, const Frame *frame, uint32_t ahead);

#endif
