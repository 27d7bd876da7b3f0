/*
 * Batches of packets of several sessions, whose frames the thread of the native data path decrypts
 * together: each session's packets come to the device whole and in order, and the first one that the
 * thread can't handle is left to Python with those that follow, in the state that fits it. The input is
 * made from the seed in the argument. The program returns 1 after the line number of a check that failed.
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine.h"
#include "ends.h"
#include "gre.h"

#define CALLS 9
#define ROUNDS 3000
#define LARGEST 400
#define IPV4 0x0021
/* A protocol that only Python handles. */
#define OTHER 0x002B

/* Where a packet has the number of its call, and its own. */
#define CALL (IPV4_SOURCE + 3)
#define NUMBER IPV4_HEADER

typedef struct {
    Session *session;
    /* What the peer encrypts with; a third of the calls is stateful, and a third in clear. */
    MPPE mppe;
    RC4 stream;
    uint32_t sequence;
    /* The number of the next packet that is sent, and of the one that has to arrive. */
    uint32_t sent, arrived;
} Call;

static const uint8_t PEER[4] = {192, 0, 2, 2};
static Engine *engine;
static int gre, device, gre_left, device_left;
static unsigned port, carried, left;
static Call calls[CALLS];

static void
begin(unsigned number)
{
    Call *call = &calls[number];
    uint8_t state[MPPE_STATE], key[16], host[4] = {10, 0, 0, (uint8_t)number};
    Ends ends = ends_of(number, 9);
    Session *session = session_new(port, &ends, 1, 1);

    CHECK(session != NULL && engine_add(engine, session) == 0);
    CHECK(engine_route(engine, 0, 0, host, session) == 0);
    call->session = session;
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)any(256);
    mppe_start(&call->mppe, key, 16, 128, number % 3 == 1 ? &call->stream : NULL);
    session->clear = number % 3 == 2;
    if (!session->clear)
        CHECK(session_receive_mppe(session, state, mppe_save(&call->mppe, state)) == 0);
    session->networks[NETWORK_IPV4].open = 1;
    session->networks[NETWORK_IPV4].mtu = 1400;
    permit(&session->networks[NETWORK_IPV4], (uint8_t)number);
    session_give(session);
}

/* Have the peer send the next packet of a call. */
static void
send_next(unsigned number, unsigned protocol)
{
    Call *call = &calls[number];
    uint8_t octets[IPV4_HEADER + GRE_SHORTEST + 8 + LARGEST], inner[2 + LARGEST];
    uint8_t *frame = octets + IPV4_HEADER + GRE_SHORTEST;
    size_t size = NUMBER + 4 + any(LARGEST - NUMBER - 4), length = 2 + size;

    memset(octets, 0, IPV4_HEADER);
    octets[0] = 0x45;
    memcpy(octets + IPV4_SOURCE, PEER, 4);
    packet_put_word(inner, (uint16_t)protocol);
    address(inner + 2, size, (uint8_t)number, 0);
    packet_put_number(inner + 2 + NUMBER, call->sent++);
    if (call->session->clear)
        memcpy(frame, inner, length);
    else {
        packet_put_word(frame, 0x00FD);
        mppe_encrypt(&call->mppe, inner, 2, inner + 2, size, frame + 2);
        length += 2 + MPPE_HEADER;
    }
    gre_begin(frame, length, (uint16_t)number, call->sequence++, NULL);
    size = IPV4_HEADER + GRE_SHORTEST + length;
    CHECK(send(gre, octets, size, 0) == (ssize_t)size);
}

/* Check that a packet is the next one of its call. */
static void
arrive(const uint8_t *packet)
{
    CHECK(packet[CALL] < CALLS);
    CHECK(packet_number(packet + NUMBER) == calls[packet[CALL]].arrived++);
}

/* Handle a packet that was left to Python, which owns its session. */
static void
handle_left(const uint8_t *octets, size_t size)
{
    uint8_t plain[2 + LARGEST];
    Frame frame;

    CHECK(gre_parse(octets, size, &frame) == FRAME_FOUND);
    Session *session = calls[frame.key & 0xFFFF].session;
    CHECK(atomic_load(&session->owner) == OWNER_PYTHON && frame.sequence == session->expected++);
    left++;
    if (session->clear) {
        arrive(frame.information);
        return;
    }
    Received received = {frame.information, frame.length, plain};
    CHECK(mppe_check(&session->receiving_mppe, frame.information, frame.length) == 0);
    mppe_decrypt(&session->receiving_mppe, &received);
    arrive(plain + 2);
}

int
main(int arguments, char **words)
{
    int engine_gre, engine_device, engine_gre_left, engine_device_left;
    uint8_t octets[IPV4_HEADER + GRE_SHORTEST + 8 + LARGEST];
    ssize_t size;

    CHECK(arguments == 2);
    state = strtoull(words[1], NULL, 10) * 2 + 1;
    pair(&gre, &engine_gre);
    pair(&device, &engine_device);
    pair(&gre_left, &engine_gre_left);
    pair(&device_left, &engine_device_left);
    engine = engine_new(0);
    CHECK(engine != NULL);
    CHECK(engine_tun(engine, engine_device, 1, 0, engine_device_left) == 0);
    port = (unsigned)engine_watch(engine, TUNNEL_GRE, engine_gre, 1, engine_gre_left);
    engine->now = 1;
    for (unsigned i = 0; i < CALLS; i++)
        begin(i);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned most = any(CALLS) + 1;
        for (unsigned packets = any(BATCH); packets > 0; packets--)
            send_next(any(most), any(100) ? IPV4 : OTHER);
        while (receive_read(engine, port))
            while (receive_turn(engine))
                ;
        for (; (size = recv(device, octets, sizeof octets, 0)) > 0; carried++)
            arrive(octets);
        while ((size = recv(gre_left, octets, sizeof octets, 0)) > 0)
            handle_left(octets, (size_t)size);
        for (unsigned call = 0; call < CALLS; call++)
            session_give(calls[call].session);
        while (recv(gre, octets, sizeof octets, 0) > 0)
            ;
    }
    for (unsigned i = 0; i < CALLS; i++) {
        uint8_t host[4] = {10, 0, 0, (uint8_t)i};
        CHECK(engine_unroute(engine, 0, 0, host) == 0);
        CHECK(calls[i].arrived == calls[i].sent);
        session_take(calls[i].session);
        CHECK(engine_remove(engine, calls[i].session) == 0);
    }
    int ends[] = {gre, device, gre_left, device_left, engine_gre, engine_device, engine_gre_left,
                  engine_device_left};
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++)
        close(ends[i]);
    engine_free(engine);
    CHECK(carried > ROUNDS && left > ROUNDS / 10);
    printf("in order\n");
    return 0;
}
