/*
 * Packets from the sockets of tunnels. If there are many, of several sessions, they wait in a lane for each
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

/* With more control messages than so many a session doesn't have the socket for itself. */
#define CONTROLS 4

/* The largest packet that is handled here. A datagram shares a slot with its header. */
#define LARGEST (PACKET_SIZE - DATAGRAM_HEADER)

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

/* Return the session of a packet that this thread receives for, given its lane; NULL if there is none.
 * Packets of another one's session are those that came before the sockets were shared. */
static Session *
session_of(const Engine *engine, uint64_t lane, const Arrival *packet)
{
    Session *session = engine_session(engine, lane);

    if (session == NULL || session->receiver != engine->number)
        return NULL;
    /* GRE's key has the peer's address. */
    if (packet->header != NULL && !datagram_is_from(packet->header, &session->peer))
        return NULL;
    return session;
}

/* Parse a packet, and set its lane. */
static int
parse(const Arrival *packet, Frame *frame, uint64_t *lane)
{
    Tunnel tunnel = packet->header == NULL ? TUNNEL_GRE : TUNNEL_L2TP;
    int kind = tunnel_parse(tunnel, packet->octets, packet->size, frame);

    /* One that slots have no room for is left to Python. */
    if (packet->header != NULL && packet->size > LARGEST)
        frame->key = FRAME_NO_KEY;
    *lane = kind == FRAME_CONTROL ? LANES_CONTROL | datagram_peer(packet->header)
                                  : engine_lane(packet->port, frame->key);
    return kind;
}

/* ---- a batch ---- */

static void
leave(Engine *engine, Session *session, const Arrival *packet)
{
    left_add(engine, &engine->receiving->left, &engine->ports[packet->port], session, packet->header,
             packet->octets, packet->size);
}

/* Leave a packet of no session to Python, unless there were many. */
static void
leave_stray(Engine *engine, const Arrival *packet)
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
        leave(engine, session, &all->arrivals[at]);
}

/* Have the octets of a VNet header be free before a frame's packet, which they aren't if a datagram with
 * a short header follows another one of the same message. */
static void
make_room(Receiving *all, int at)
{
    Arrival *packet = &all->arrivals[at];
    Frame *frame = &all->frames[at];
    size_t before = (size_t)(frame->information - packet->octets);

    if (packet->header == NULL || packet->header + DATAGRAM_HEADER == packet->octets
        || before >= VNET_SIZE)
        return;
    uint8_t *room = all->read[at]->octets + VNET_SIZE;
    memcpy(room, packet->octets, packet->size);
    packet->octets = room;
    frame->information = room + before;
}

/* Handle the packets that have arrived. */
static void
handle(Engine *engine, int count)
{
    Receiving *all = engine->receiving;
    Session *sessions = NULL, **end = &sessions;
    int strays = 0, controls = 0;

    all->engine = engine;
    for (int i = 0; i < count; i++) {
        const Arrival *packet = &all->arrivals[i];
        uint64_t lane;
        int kind = parse(packet, &all->frames[i], &lane);
        Session *session = session_of(engine, lane, packet);
        if (session == NULL) {
            if (kind == FRAME_CONTROL) {
                controls++;
                leave(engine, NULL, packet);
                continue;
            }
            strays = 1;
            leave_stray(engine, packet);
            continue;
        }
        if (kind == FRAME_ACKNOWLEDGEMENT)
            continue;
        if (kind == FRAME_FOUND)
            make_room(all, i);
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
    if (sessions != NULL && (strays || controls > CONTROLS || sessions->following != NULL))
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

/* Return what read_some() does if nothing could be read. */
static int
failed(Engine *engine, Port *port)
{
    if (errno == EAGAIN)
        return -1;
    if (errno != EINTR)
        engine_failed(engine, port, errno);
    return 0;
}

/* Read datagrams as read_some() does. They stay where they are until the next messages are read. */
static int
read_datagrams(Engine *engine, unsigned port, int more)
{
    Receiving *all = engine->receiving;
    Datagrams *datagrams = &all->datagrams;
    int count = 0;

    if (more && !datagrams_more(datagrams)
        && datagrams_read(datagrams, engine->ports[port].descriptor) < 0)
        return failed(engine, &engine->ports[port]);
    for (; count < BATCH; count++) {
        Arrival *next = &all->arrivals[count];
        next->port = port;
        next->octets = datagrams_next(datagrams, &next->header, &next->size);
        if (next->octets == NULL)
            break;
    }
    return count;
}

/* Read packets: only what remains of messages that were read, unless more may be read. Return how many;
 * -1 if there are none. */
static int
read_some(Engine *engine, unsigned port, int more)
{
    Receiving *all = engine->receiving;
    Port *read = &engine->ports[port];

    if (read->tunnel == TUNNEL_L2TP)
        return read_datagrams(engine, port, more);
    int count = recvmmsg(read->descriptor, all->messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        all->arrivals[i] = (Arrival){all->read[i]->octets, NULL, all->messages[i].msg_len, port};
    return count < 0 ? failed(engine, read) : count;
}

/* Have a packet that was read wait. */
static void
wait_for_turn(Engine *engine, int at)
{
    Receiving *all = engine->receiving;
    const Arrival *packet = &all->arrivals[at];
    Slot *slot = all->read[at];
    uint64_t loser, lane;
    Frame frame;
    int kind = parse(packet, &frame, &lane);
    Session *session = session_of(engine, lane, packet);

    if (kind == FRAME_ACKNOWLEDGEMENT && session != NULL)
        return;
    if (packet->header != NULL && packet->size > LARGEST) {
        leave_stray(engine, packet);
        left_flush(engine, &all->left);
        return;
    }
    if (kind != FRAME_CONTROL && session == NULL)
        lane = LANES_STRAYS;
    slot->port = packet->port;
    slot->waiting.size = (uint32_t)packet->size;
    slot->header = 0;
    if (packet->header != NULL) {
        slot->header = DATAGRAM_HEADER;
        memcpy(slot->octets, packet->header, DATAGRAM_HEADER);
        memcpy(slot->octets + DATAGRAM_HEADER, packet->octets, packet->size);
    }
    all->read[at] = lanes_slot(&all->lanes);
    all->vectors[at].iov_base = all->read[at]->octets;
    if (!lanes_add(&all->lanes, lane, slot, &loser))
        return;
    session = engine_session(engine, loser);
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
    int count = read_some(engine, port, 1), waits = waiting || (count == BATCH && shares);
    if (count < 0)
        return 0;
    for (int total = count;; total += count) {
        if (waits)
            for (int i = 0; i < count; i++)
                wait_for_turn(engine, i);
        else
            handle(engine, count);
        int more = waits && count == BATCH && total < READ;
        if (!more && !datagrams_more(&all->datagrams))
            return 1;
        count = read_some(engine, port, more);
        if (count < 0)
            return 1;
    }
}

/* Return a packet that has waited. */
static Arrival
waited(const Slot *slot)
{
    const uint8_t *header = slot->header ? slot->octets : NULL;

    return (Arrival){slot->octets + slot->header, header, slot->waiting.size, slot->port};
}

int
receive_turn(Engine *engine)
{
    Receiving *all = engine->receiving;
    uint64_t lane;
    int count = 0;

    for (; count < BATCH && (all->waited[count] = lanes_take(&all->lanes, &lane)) != NULL; count++)
        all->arrivals[count] = waited(all->waited[count]);
    handle(engine, count);
    while (count > 0)
        lanes_free(&all->lanes, all->waited[--count]);
    return all->lanes.fair.waiting > 0;
}
