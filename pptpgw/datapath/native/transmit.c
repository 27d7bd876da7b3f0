/*
 * From the TUN device to the peers: packets whose destination leads to a session that nobody else owns,
 * and which aren't too large for it. All others are left to Python, with the packets for the same
 * session that follow.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clamp.h"
#include "message.h"
#include "outgoing.h"
#include "packet.h"
#include "receive.h"
#include "segment.h"
#include "vnet.h"

/* The protocol number before an encrypted packet. */
#define FIELD 2

/* Room for all that precedes a packet: the tunnel's header, address, control and protocol, MPPE's header
 * and the encrypted protocol number; and no less than 8 octets of alignment. */
#define ROOM 32

#define FRAME_SIZE (VNET_SIZE + 65536)

/* Where in a page the packets begin that are read. The kernel has its own near the beginning, and some
 * processors copy slowly between memory at nearly the same place of two pages. */
#define PAGE 4096
#define PLACE 1024

/* A session is owned until the messages are sent, and is free then, or Python's; or it is Python's
 * until then. */
#define HELD 1
#define GIVEN_UP 2
#define PYTHONS 3

struct Transmitting {
    /* Where a frame is read, and the memory around it. */
    uint8_t *frame;
    uint8_t room[FRAME_SIZE + 2 * PAGE];
    /* Whether more packets are probably in the device. */
    int more;
    /* The lane of the last frame, and when the one before had another. */
    uint64_t last, shared;
    uint8_t plains[BATCH][FIELD + PACKET_SIZE];
    uint8_t packets[BATCH][ROOM + PACKET_SIZE];
    Outgoing outgoing;
    /* The sessions that aren't asked for again until the messages are sent. */
    Session *held[BATCH];
    unsigned holding;
    /* The streams of messages that aren't encrypted yet. */
    Streams streams;
    uint8_t leaving[BATCH][PACKET_SIZE];
    Left left;
    /* The packets that wait. */
    Lanes lanes;
};

Transmitting *
transmit_new(void)
{
    Transmitting *all = calloc(1, sizeof *all);

    if (all == NULL)
        return NULL;
    all->frame = all->room + (2 * PAGE + PLACE - VNET_SIZE - (uintptr_t)all->room % PAGE) % PAGE;
    lanes_begin(&all->lanes);
    return all;
}

void
transmit_free(Transmitting *all)
{
    free(all);
}

/* ---- sending ---- */

/* Have Python know that it owns a session which holds frames: what is left to it of the TUN device may
 * not concern the session's state. The session's count of what is left may be another thread's. */
static void
tell(Engine *engine, Session *session)
{
    Left *left = &engine->receiving->left;

    left_add(engine, left, &engine->ports[session->port], NULL, NULL, session->empty, EMPTY);
    left_flush(engine, left);
}

/* Send all messages, and leave their sessions. */
static void
flush(Engine *engine)
{
    Transmitting *all = engine->transmitting;

    streams_end(&all->streams);
    outgoing_send(engine, &all->outgoing);
    for (unsigned i = 0; i < all->holding; i++) {
        Session *session = all->held[i];
        uint8_t *held = &session->outward[engine->number].held;
        if (*held == GIVEN_UP && session->window.count)
            tell(engine, session);
        if (*held != PYTHONS)
            session_leave(session, *held == GIVEN_UP);
        *held = 0;
    }
    all->holding = 0;
}

/* Own a session until the messages are sent. Return 0 if Python owns it, or will own it then. */
static int
hold(Engine *engine, Session *session)
{
    Transmitting *all = engine->transmitting;
    uint8_t *held = &session->outward[engine->number].held;

    if (all->outgoing.count == BATCH || all->holding == BATCH
        || (all->outgoing.count > 0 && all->outgoing.port != session->port))
        flush(engine);
    if (!*held) {
        unsigned owner = session_try(session);
        if (owner == OWNER_THREAD || owner == OWNER_THREAD_WANTED) {
            /* Two threads never wait for sessions of each other. */
            flush(engine);
            owner = session_enter(session) ? OWNER_NOBODY : OWNER_PYTHON;
        }
        *held = owner == OWNER_NOBODY ? HELD : PYTHONS;
        all->held[all->holding++] = session;
    }
    return *held == HELD;
}

/* Write the next packet, and encrypt it or note how to. Return where the frame begins behind what
 * precedes all packets. */
static uint8_t *
make(Transmitting *all, Session *session, unsigned family, Segments *segments, size_t size)
{
    const Network *network = &session->networks[family];
    uint8_t *cipher = all->packets[all->outgoing.count] + ROOM;
    uint8_t *plain = all->plains[all->outgoing.count];

    if (!session->encrypts) {
        segment_make(segments, cipher);
        if (network->clamp)
            clamp_packet(cipher, size, network->mtu);
        return cipher;
    }
    packet_put_word(plain, family == NETWORK_IPV4 ? 0x0021 : 0x0057);
    segment_make(segments, plain + FIELD);
    if (network->clamp)
        clamp_packet(plain + FIELD, size, network->mtu);
    if (session->sending_mppe.stream != NULL)
        mppe_encrypt(&session->sending_mppe, plain, FIELD, plain + FIELD, size,
                     cipher - MPPE_HEADER);
    else {
        Stream *stream = streams_add(&all->streams);
        mppe_begin(&session->sending_mppe, cipher - MPPE_HEADER, &stream->rc4);
        stream->from = plain;
        stream->to = cipher;
        stream->size = FIELD + size;
    }
    return cipher - MPPE_HEADER;
}

/* Write the tunnel's header before a frame of this length, and return where it begins. */
static uint8_t *
write_header(Session *session, uint8_t *frame, size_t length)
{
    if (session->tunnel == TUNNEL_L2TP) {
        uint32_t number = session->sending;
        if (number != L2TP_NO_NUMBER)
            session->sending = (number + 1) & 0xFFFF;
        return l2tp_begin(frame, session->ids, number);
    }
    uint32_t received = session->expected;
    frame = gre_begin(frame, length, (uint16_t)session->ids, session->sending++,
                      received == session->acknowledged ? NULL : &received);
    session->acknowledged = received;
    return frame;
}

/* Add the next packet to the messages. */
static void
add(Engine *engine, Session *session, unsigned family, Segments *segments, size_t size)
{
    Transmitting *all = engine->transmitting;
    const Network *network = &session->networks[family];
    uint8_t *begin = make(all, session, family, segments, size);
    const uint8_t *prefix = session->encrypts ? session->prefix : network->prefix;
    size_t prefix_size = session->encrypts ? session->prefix_size : network->prefix_size;
    size_t length = prefix_size + size + (session->encrypts ? MPPE_HEADER + FIELD : 0);
    uint8_t *end = begin - prefix_size + length;

    begin -= prefix_size;
    memcpy(begin, prefix, prefix_size);
    begin = write_header(session, begin, length);
    outgoing_add(engine, &all->outgoing, session, begin, (size_t)(end - begin), size);
}

/* ---- handling ---- */

/* Return whether the next packet is larger than any that is handled, and skip it if so. */
static int
skip(Engine *engine, Segments *segments, size_t size)
{
    if (size <= PACKET_SIZE)
        return 0;
    /* As Python would read no more of it. */
    engine_event(engine, TUN_MALFORMED, 0, 1);
    segments->at += size - segments->headers;
    segments->made++;
    return 1;
}

/* Leave the next packet, for a session or for none, to Python. */
static void
leave(Engine *engine, Session *session, Segments *segments, size_t size)
{
    Transmitting *all = engine->transmitting;

    if (skip(engine, segments, size))
        return;
    if (all->left.count == BATCH)
        left_flush(engine, &all->left);
    uint8_t *packet = all->leaving[all->left.count];
    segment_make(segments, packet);
    left_add(engine, &all->left, &engine->tun, session, NULL, packet, size);
}

/* Handle the next packet for a session, or for none. Once one is left to Python, those that follow are
 * too, so that they keep their order. */
static void
handle(Engine *engine, Session *session, unsigned family, Segments *segments, size_t size)
{
    if (session != NULL && hold(engine, session)) {
        if (session->networks[family].open && size <= session->networks[family].mtu) {
            add(engine, session, family, segments, size);
            return;
        }
        session->outward[engine->number].held = GIVEN_UP;
    }
    leave(engine, session, segments, size);
}

/* ---- reading ---- */

/* Find where a packet's destination leads. Return NULL if it leads nowhere. */
static const Place *
route(const Engine *engine, const Segments *segments, unsigned *family)
{
    const uint8_t *packet = segments->packet;

    *family = packet[0] >> 4 == 4 ? NETWORK_IPV4 : NETWORK_IPV6;
    if (packet[0] >> 4 == 4 && segments->size >= IPV4_HEADER)
        return routes_find(&engine->routes, NETWORK_IPV4, packet + IPV4_DESTINATION);
    if (packet[0] >> 4 == 6 && segments->size >= IPV6_HEADER)
        return routes_find(&engine->routes, NETWORK_IPV6, packet + IPV6_DESTINATION);
    return NULL;
}

/* Have the next packet of a lane wait. */
static void
wait_for_turn(Engine *engine, uint64_t lane, Segments *segments, size_t size)
{
    Lanes *lanes = &engine->transmitting->lanes;
    uint64_t loser;

    if (skip(engine, segments, size))
        return;
    Slot *packet = lanes_slot(lanes);
    packet->waiting.size = (uint32_t)size;
    segment_make(segments, packet->octets);
    if (lanes_add(lanes, lane, packet, &loser))
        engine_dropped(engine, engine_session(engine, loser));
}

/* Handle the packets of a frame, which has size octets with its VNet header, or have them wait. Return
 * how many there are. */
static unsigned
split(Engine *engine, size_t size, int waits)
{
    Transmitting *all = engine->transmitting;
    Segments segments;
    unsigned family;

    if (size == FRAME_SIZE || segment_begin(&segments, all->frame, size) < 0) {
        engine_event(engine, TUN_MALFORMED, 0, 1);
        return 1;
    }
    const Place *place = route(engine, &segments, &family);
    if (place == NULL) {
        size_t payload = segments.size - segments.headers;
        unsigned packets = 1;
        if (segments.segment)
            packets = (unsigned)((payload + segments.segment - 1) / segments.segment);
        engine_event(engine, NO_ROUTE, 0, packets);
        return packets;
    }
    Session *session = place->value;
    uint64_t lane = session == NULL ? LANES_STRAYS : engine_lane(session->port, session->key);
    if (all->last != 0 && all->last != lane)
        all->shared = engine->now;
    all->last = lane;
    while ((size = segment_size(&segments)) != 0)
        if (waits)
            wait_for_turn(engine, lane, &segments, size);
        else
            handle(engine, session, family, &segments, size);
    return segments.made;
}

int
transmit_read(Engine *engine)
{
    Transmitting *all = engine->transmitting;
    size_t before = engine->offload ? 0 : VNET_SIZE;
    int shares = engine_shares(engine, all->shared), waiting = all->lanes.fair.waiting > 0;
    int waits = waiting || (shares && all->more), found = 1;
    unsigned packets = 0, most = waits ? READ : BATCH;

    if (waiting && !shares)
        return 1;
    while (packets < most) {
        /* Without offload the header stays zero, which stands for a whole packet. */
        ssize_t size = read(engine->tun.descriptor, all->frame + before, FRAME_SIZE - before);
        if (size < 0) {
            if (errno == EAGAIN)
                found = packets > 0;
            else if (errno != EINTR)
                engine_failed(engine, &engine->tun, errno);
            break;
        }
        packets += split(engine, (size_t)size + before, waits);
    }
    all->more = packets >= most;
    flush(engine);
    left_flush(engine, &all->left);
    return found;
}

int
transmit_turn(Engine *engine)
{
    Transmitting *all = engine->transmitting;
    uint64_t lane;
    Slot *packet;

    for (unsigned i = 0; i < BATCH && (packet = lanes_take(&all->lanes, &lane)) != NULL; i++) {
        Segments whole;
        unsigned family;
        segment_whole(&whole, packet->octets, packet->waiting.size);
        const Place *place = route(engine, &whole, &family);
        if (place == NULL)
            engine_event(engine, NO_ROUTE, 0, 1);
        else
            handle(engine, place->value, family, &whole, whole.size);
        lanes_free(&all->lanes, packet);
    }
    flush(engine);
    left_flush(engine, &all->left);
    return all->lanes.fair.waiting > 0;
}
