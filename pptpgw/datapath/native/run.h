/*
 * Frames of a session whose numbers follow each other.
 */

#ifndef PPTPGW_RUN_H
#define PPTPGW_RUN_H

#include "receive.h"

#define PPP_MPPE 0x00FD

typedef struct {
    unsigned count;
    /* How many numbers are missing before the first one. */
    uint32_t ahead;
    const Frame *frames[BATCH];
    /* The place of each in the batch; -1 if it was held. */
    int places[BATCH];
    /* The first frame of the batch that isn't handled with these. */
    int next;
} Run;

/* Find the frames that follow each other from the expected number on, or after the missing ones, whose
 * number is set: those that are held, and those of the batch from a place on. */
void run_gather(const Receiving *all, const Session *session, int at, Run *run);

/* Begin to decrypt the encrypted frames that come first in a run in which nothing is missing: they are
 * decrypted once the streams have ended, and have to be handled next. */
void run_prepare(Receiving *all, Session *session, const Run *run);

/* Handle the frames of a run up to the first one that Python has to handle. Return whether there was
 * none. */
int run_handle(Engine *engine, Session *session, Run *run);

#endif
