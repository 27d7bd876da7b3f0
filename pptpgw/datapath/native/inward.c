/*
 * A session's frames of a batch: those whose numbers follow each other are handled (run.c), those that
 * are ahead are held, and old ones counted, as pptpgw/tunnels/pptp/window.py does it.
 */

#define _GNU_SOURCE
#include "run.h"

#include "judge.h"

/* How far ahead a number may be not to be an old one. */
#define HALF (1u << 31)

/* How often frames that are held are looked at, in nanoseconds. */
#define LOOK 10000000u

/* Go past the gap before the first frame that is held. Return 0 if Python has to go on. */
static int
give_up(Engine *engine, Session *session)
{
    Run run = {.ahead = session->window.held[0]->frame.sequence - session->expected};

    run_gather(engine->receiving, session, -1, &run);
    return run_handle(engine, session, &run);
}

/* Return whether a frame of a protocol may wait for its turn. */
static int
may_wait(const Session *session, unsigned protocol)
{
    if (protocol == PPP_MPPE)
        return session->decrypts;
    return session->clear
           && ((protocol == PPP_IPV4 && session->networks[NETWORK_IPV4].open)
               || (protocol == PPP_IPV6 && session->networks[NETWORK_IPV6].open));
}

/* Hold a frame whose number isn't the expected one, or count and drop it. Return 0 if Python has to
 * handle it, or has to go on after it, which is stored then. */
static int
out_of_turn(Engine *engine, Session *session, const Frame *frame, int *taken)
{
    uint32_t ahead = frame->sequence - session->expected;

    *taken = 0;
    if (session->tunnel == TUNNEL_L2TP || session->window.doubted || !may_wait(session, frame->protocol))
        return 0;
    if (ahead >= HALF)
        return window_repeated(session, frame->sequence);
    if (ahead >= REACH || ahead <= session->window.dropped)
        return 0;
    if (window_holds(session, frame->sequence)) {
        session_count(session, DUPLICATE, 1);
        return 1;
    }
    if (window_hold(session, frame, engine->now) < 0)
        return 0;
    session_count(session, FRAMES_RECEIVED, 1);
    *taken = 1;
    return session->window.count <= HELD_LIMIT || give_up(engine, session);
}

/* Return how many numbers are missing before a frame, if it needn't wait for them: they came, but were
 * dropped here. */
static uint32_t
at_once(const Receiving *all, const Session *session, int at)
{
    const Window *window = &session->window;

    if (window->dropped == 0 || window->count || window->doubted || at < 0 || !all->frames[at].protocol)
        return 0;
    uint32_t ahead = all->frames[at].sequence - session->expected;
    return ahead <= window->dropped ? ahead : 0;
}

/* Handle frames of a batch, from one on. Return 0 if Python has to go on with the one whose place is
 * stored then, or with what is held if that is -1. */
static int
handle(Engine *engine, Session *session, int *at)
{
    Receiving *all = engine->receiving;
    int taken;
    Run run;

    for (;;) {
        run.ahead = at_once(all, session, *at);
        run_gather(all, session, *at, &run);
        if (run.count) {
            int all_done = run_handle(engine, session, &run);
            *at = run.next;
            if (!all_done)
                return 0;
            continue;
        }
        if (*at < 0)
            return 1;
        const Frame *frame = &all->frames[*at];
        if (!frame->protocol)
            return 0;
        int handled = out_of_turn(engine, session, frame, &taken);
        if (handled || taken)
            *at = all->next[*at];
        if (!handled)
            return 0;
    }
}

void
inward_prepare(Engine *engine, Session *session)
{
    Run run;

    session->owned = session_try(session) == OWNER_NOBODY;
    session->prepared = NULL;
    if (!session->owned || session->window.count || session->window.dropped || session->dropped)
        return;
    run.ahead = 0;
    run_gather(engine->receiving, session, session->first, &run);
    run_prepare(engine->receiving, session, &run);
}

/* Own a session no more, and look later at what it holds. */
static void
leave(Engine *engine, Session *session, int to_python)
{
    if (session->window.count) {
        if (to_python)
            left_add(engine, &engine->receiving->left, &engine->ports[session->port], session, NULL,
                     session->empty, EMPTY);
        else
            timer_start(&engine->looking, &session->looking, engine->now + LOOK);
    }
    session_leave(session, to_python);
}

int
inward(Engine *engine, Session *session, int at)
{
    if (!session->owned && !session_enter(session)) {
        session->dropped = 0;
        return at;
    }
    session->owned = 0;
    if (session->tunnel == TUNNEL_GRE)
        session->window.dropped += session->dropped;
    session->dropped = 0;
    leave(engine, session, !handle(engine, session, &at));
    return at;
}

void
inward_look(Engine *engine)
{
    Session *session;

    while ((session = timer_ended(&engine->looking, engine->now)) != NULL) {
        int gone = 1;
        /* What Python owns has timers of its own. */
        if (!session_enter(session))
            continue;
        while (gone && session->window.count
               && window_oldest(session) + HELD_TIME <= engine->now)
            gone = give_up(engine, session);
        leave(engine, session, !gone);
    }
    left_flush(engine, &engine->receiving->left);
}
