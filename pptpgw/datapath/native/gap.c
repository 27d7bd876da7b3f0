#include "gap.h"

#include "packet.h"

/* The most key changes for one gap, those for all gaps of a session a second, and those at once, as in
 * recovery.py. */
#define CHANGES 4096
#define CHANGES_A_SECOND (1u << 17)
#define CHANGES_AT_ONCE (1u << 14)
#define SECOND 1000000000u

/* Return whether so many keys may be changed for a gap. */
static int
may_change(const Engine *engine, Session *session, uint32_t changes)
{
    uint64_t passed = engine->now - session->changed;
    uint64_t more = passed < SECOND ? passed * CHANGES_A_SECOND / SECOND : CHANGES_A_SECOND;

    if (changes > CHANGES)
        return 0;
    if (more) {
        session->changed = engine->now;
        session->changes = session->changes > more ? session->changes - (uint32_t)more : 0;
    }
    if (session->changes + changes > CHANGES_AT_ONCE)
        return 0;
    session->changes += changes;
    return 1;
}

int
gap_packets(const Engine *engine, Session *session, const Frame *frame, uint32_t ahead)
{
    const MPPE *mppe = &session->receiving_mppe;

    if (ahead == 0)
        return 0;
    if (mppe->stream != NULL || ahead >= REACH || frame->length < MPPE_HEADER)
        return -1;
    /* The number nearest to the distance of the numbers that the count agrees with. */
    int distance = (int)ahead + 1;
    unsigned step = packet_word(frame->information) - (unsigned)mppe->count;
    unsigned difference = (step - (unsigned)distance + MPPE_COUNTS / 2) % MPPE_COUNTS;
    int packets = distance + (int)difference - MPPE_COUNTS / 2;
    return packets >= 1 && may_change(engine, session, (uint32_t)packets - 1) ? packets - 1 : -1;
}
