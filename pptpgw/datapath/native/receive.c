/*
 * Packets from GRE sockets. If there are many, of several sessions, they wait in a lane for each
 * session. Those whose turn it is are sorted by session. With the first packet of a session that the
 * thread can't handle, the session is left to Python, together with the packets that follow.
 */

#define _GNU_SOURCE
#include "receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How many packets of no session are left to Python in how many nanoseconds. Python only counts them. */
#define STRAYS 64
#define STRAYS_TIME 50000000u

/* What packets touch of so few sessions stays in the processor's cache. */
#define FEW 64

Receiving *
receive_new(void)
{
    Receiving *all = calloc(1, sizeof *all);

    if (all == NULL)
        return NULL;
    lanes_begin(&all->lanes);
    for (int i = 0; i < BATCH; i++) {
        all->read[i] = lanes_slot(&all->lanes);
        all->vectors[i] = (struct iovec){all->read[i]->octets, PACKET_SIZE};
        all->messages[i].msg_hdr.msg_iov = &all->vectors[i];
        all->messages[i].msg_hdr.msg_iovlen = 1;
    }
    return all;
}

void
receive_free(Receiving *all)
{
    free(all);
}

/* Return the session of a lane that this thread receives for; NULL if there is none. Packets of another
 * one's session are those that came before the sockets were shared. */
static Session *
session_of(const Engine *engine, uint64_t lane)
{
    Session *session = engine_session(engine, lane);

    return session != NULL && session->receiver == engine->number ? session : NULL;
}

/* ---- a batch ---- */

static void
leave(Engine *engine, Session *session, const Slot *packet)
{
    left_add(engine, &engine->receiving->left, &engine->ports[packet->port], session, packet->octets,
             packet->waiting.size);
}

/* Leave a packet of no session to Python, unless there were many. */
static void
leave_stray(Engine *engine, const Slot *packet)
{
    Receiving *all = engine->receiving;

    if (all->strays_end <= engine->now) {
        all->strays_end = engine->now + STRAYS_TIME;
        all->strays = 0;
    }
    if (all->strays++ < STRAYS)
        leave(engine, NULL, packet);
    else
        engine_dropped(engine, NULL);
}

void
receive_share(Engine *engine)
{
    engine->receiving->shared = engine->now;
}

/* Handle the packets of a session. */
static void
turn(Engine *engine, Session *session)
{
    Receiving *all = engine->receiving;
    int at = inward(engine, session, session->first);

    session->first = -1;
    for (; at >= 0; at = all->next[at])
        leave(engine, session, all->packets[at]);
}

/* Handle packets. */
static void
handle(Engine *engine, int count)
{
    Receiving *all = engine->receiving;
    Session *sessions = NULL, **end = &sessions;
    int strays = 0;

    all->engine = engine;
    for (int i = 0; i < count; i++) {
        const Slot *packet = all->packets[i];
        int kind = gre_parse(packet->octets, packet->waiting.size, &all->frames[i]);
        Session *session = session_of(engine, engine_lane(packet->port, all->frames[i].key));
        if (session == NULL) {
            strays = 1;
            leave_stray(engine, packet);
            continue;
        }
        if (kind == FRAME_ACKNOWLEDGEMENT)
            continue;
        all->next[i] = -1;
        if (session->first < 0) {
            session->first = i;
            session->following = NULL;
            *end = session;
            end = &session->following;
        }
        else
            all->next[session->last] = i;
        session->last = i;
    }
    if (sessions != NULL && (strays || sessions->following != NULL))
        receive_share(engine);
    all->preparing = 0;
    for (Session *session = sessions; session != NULL; session = session->following)
        inward_prepare(engine, session);
    streams_end(&all->streams);
    /* Sessions that others own have to be waited for: when the thread owns no session any more. */
    for (int owned = 1; owned >= 0; owned--)
        for (Session *session = sessions; session != NULL; session = session->following)
            if (session->first >= 0 && session->owned == owned)
                turn(engine, session);
    left_flush(engine, &all->left);
}

/* ---- reading ---- */

/* Have the processor fetch what packets that were read touch of their sessions, for all of them at once
 * rather than for each when it is handled: of many sessions nothing is in its cache. */
static void
fetch(const Engine *engine, int count)
{
    const Receiving *all = engine->receiving;
    uint64_t lanes[BATCH];

    if (engine->sessions.used <= FEW)
        return;
    for (int i = 0; i < count; i++) {
        Frame frame;
        gre_parse(all->read[i]->octets, all->read[i]->waiting.size, &frame);
        lanes[i] = engine_lane(all->read[i]->port, frame.key);
        engine_fetch(engine, lanes[i]);
    }
    for (int i = 0; i < count; i++) {
        const Session *session = engine_session(engine, lanes[i]);
        if (session != NULL)
            session_fetch(session);
    }
}

/* Read packets. Return how many; -1 if there are none. */
static int
read_some(Engine *engine, unsigned port)
{
    Receiving *all = engine->receiving;
    Port *read = &engine->ports[port];
    int count = recvmmsg(read->descriptor, all->messages, BATCH, MSG_DONTWAIT, NULL);

    for (int i = 0; i < count; i++) {
        all->read[i]->waiting.size = all->messages[i].msg_len;
        all->read[i]->port = port;
    }
    fetch(engine, count);
    if (count >= 0 || errno == EAGAIN)
        return count;
    if (errno != EINTR)
        engine_failed(engine, read, GRE_NOT_READ, errno);
    return 0;
}

/* Have a packet that was read wait. */
static void
wait_for_turn(Engine *engine, unsigned port, int at)
{
    Receiving *all = engine->receiving;
    Slot *packet = all->read[at];
    uint64_t loser;
    Frame frame;
    int kind = gre_parse(packet->octets, packet->waiting.size, &frame);
    uint64_t lane = engine_lane(port, frame.key);

    if (session_of(engine, lane) == NULL)
        lane = LANES_STRAYS;
    else if (kind == FRAME_ACKNOWLEDGEMENT)
        return;
    all->read[at] = lanes_slot(&all->lanes);
    all->vectors[at].iov_base = all->read[at]->octets;
    if (!lanes_add(&all->lanes, lane, packet, &loser))
        return;
    Session *session = session_of(engine, loser);
    engine_dropped(engine, session);
    if (session != NULL)
        session->dropped++;
}

int
receive_read(Engine *engine, unsigned port)
{
    Receiving *all = engine->receiving;
    int shares = engine_shares(engine, all->shared), waiting = all->lanes.fair.waiting > 0;

    if (waiting && !shares)
        return 1;
    int count = read_some(engine, port);
    if (count < 0)
        return 0;
    if (!waiting && (count < BATCH || !shares)) {
        memcpy(all->packets, all->read, (size_t)count * sizeof *all->packets);
        handle(engine, count);
        return 1;
    }
    for (int total = count; count > 0; total += count) {
        for (int i = 0; i < count; i++)
            wait_for_turn(engine, port, i);
        if (count < BATCH || total >= READ)
            break;
        count = read_some(engine, port);
    }
    return 1;
}

int
receive_turn(Engine *engine)
{
    Receiving *all = engine->receiving;
    uint64_t lane;
    int count = 0;

    while (count < BATCH && (all->packets[count] = lanes_take(&all->lanes, &lane)) != NULL)
        count++;
    handle(engine, count);
    while (count > 0)
        lanes_free(&all->lanes, all->packets[--count]);
    return all->lanes.fair.waiting > 0;
}
