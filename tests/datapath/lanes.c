/*
 * How the thread of the native data path shares its time: its functions are called here one by one, so
 * that what waits can be counted. It returns 1 after the line number of a check that failed.
 */

#include "engine.h"
#include "ends.h"
#include "fair.h"
#include "gre.h"

#include <unistd.h>

#define FLOOD 1
#define QUIET 2
#define OTHER 3
#define CALLS 4
#define SIZE 100

static const uint8_t PEER[4] = {192, 0, 2, 2};
static Engine *engine;
static int gre, device, gre_left, device_left;
static unsigned port;
static Session *sessions[CALLS];
static uint32_t sequences[CALLS];

/* Begin a call, which the thread may own. */
static void
begin(unsigned call)
{
    uint8_t host[4] = {10, 0, 0, (uint8_t)call};
    Ends ends = ends_of(call, call);
    Session *session = session_new(port, &ends, 1, 1);

    CHECK(session != NULL && engine_add(engine, session) == 0);
    CHECK(engine_route(engine, 0, 0, host, session) == 0);
    session->clear = 1;
    session->networks[NETWORK_IPV4].open = 1;
    session->networks[NETWORK_IPV4].mtu = 1400;
    permit(&session->networks[NETWORK_IPV4], (uint8_t)call);
    session_give(session);
    sessions[call] = session;
    sequences[call] = 0;
}

static void
end(unsigned call)
{
    uint8_t host[4] = {10, 0, 0, (uint8_t)call};

    CHECK(engine_unroute(engine, 0, 0, host) == 0);
    session_take(sessions[call]);
    CHECK(engine_remove(engine, sessions[call]) == 0);
}

static void
start(void)
{
    int engine_gre, engine_device, engine_gre_left, engine_device_left;

    pair(&gre, &engine_gre);
    pair(&device, &engine_device);
    pair(&gre_left, &engine_gre_left);
    pair(&device_left, &engine_device_left);
    engine = engine_new(0);
    CHECK(engine != NULL);
    CHECK(engine_tun(engine, engine_device, 1, 0, engine_device_left) == 0);
    port = (unsigned)engine_watch(engine, TUNNEL_GRE, engine_gre, 1, engine_gre_left);
    engine->now = 1;
    for (unsigned call = FLOOD; call < CALLS; call++)
        begin(call);
}

static void
stop(void)
{
    int ends[] = {gre, device, gre_left, device_left, engine->ports[port].descriptor,
                  engine->ports[port].left, engine->tun.descriptor, engine->tun.left};

    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++)
        close(ends[i]);
    engine_free(engine);
}

/* Have the peer send packets of a call, each with its number of the call. */
static void
send_gre(unsigned call, unsigned count)
{
    uint8_t octets[IPV4_HEADER + GRE_SHORTEST + 2 + SIZE];
    uint8_t *frame = octets + IPV4_HEADER + GRE_SHORTEST;

    for (; count > 0; count--) {
        memset(octets, 0, IPV4_HEADER);
        octets[0] = 0x45;
        memcpy(octets + IPV4_SOURCE, PEER, 4);
        packet_put_word(frame, 0x0021);
        address(frame + 2, SIZE, (uint8_t)call, 0);
        gre_begin(frame, 2 + SIZE, (uint16_t)call, sequences[call]++, NULL);
        CHECK(send(gre, octets, sizeof octets, 0) == sizeof octets);
    }
}

/* Have the kernel send packets to a call. */
static void
send_device(unsigned call, unsigned count)
{
    uint8_t octets[SIZE];

    for (; count > 0; count--) {
        address(octets, SIZE, (uint8_t)call, 1);
        CHECK(send(device, octets, SIZE, 0) == SIZE);
    }
}

/* Read packets, and count those of each call, which is at this place. */
static void
drain(int descriptor, unsigned place, unsigned counts[CALLS])
{
    uint8_t octets[2000];

    memset(counts, 0, CALLS * sizeof *counts);
    while (recv(descriptor, octets, sizeof octets, 0) > 0) {
        CHECK(octets[place] < CALLS);
        counts[octets[place]]++;
    }
}

/* Where the call is in a packet that was written to the device, that was sent to the peer, and that
 * was left to Python in both ways. */
#define WRITTEN (IPV4_SOURCE + 3)
#define SENT 7
#define GRE_LEFT (IPV4_HEADER + 7)
#define DEVICE_LEFT (IPV4_DESTINATION + 3)

/* Return how many packets of a call were dropped since the last time. */
static unsigned
dropped(unsigned call)
{
    return (unsigned)atomic_exchange(&sessions[call]->figures[FULL], 0);
}

static unsigned
not_left(void)
{
    return (unsigned)atomic_exchange(&engine->events[NOT_LEFT][0], 0);
}

/* One of both ways of packets: sending them, the thread's functions, and where packets arrive. */
typedef struct {
    void (*send)(unsigned call, unsigned count);
    int (*read)(void);
    int (*turn)(void);
    const int *far, *left;
    unsigned place, left_place;
} Way;

static int
read_in(void)
{
    return receive_read(engine, port);
}

static int
turn_in(void)
{
    return receive_turn(engine);
}

static int
read_out(void)
{
    return transmit_read(engine);
}

static int
turn_out(void)
{
    return transmit_turn(engine);
}

static const Way IN = {send_gre, read_in, turn_in, &device, &gre_left, WRITTEN, GRE_LEFT};
static const Way OUT = {send_device, read_out, turn_out, &gre, &device_left, SENT, DEVICE_LEFT};

/* Have the thread know that several sessions have packets. */
static void
share(const Way *way)
{
    unsigned counts[CALLS];

    way->send(FLOOD, 1);
    way->send(QUIET, 1);
    CHECK(way->read() && !way->turn());
    drain(*way->far, way->place, counts);
    CHECK(counts[FLOOD] == 1 && counts[QUIET] == 1);
}

/* One session alone never waits, however much it sends; nor does it a minute after others did. */
static void
test_alone(const Way *way)
{
    unsigned counts[CALLS];

    for (unsigned i = 0; i < 6; i++) {
        way->send(FLOOD, BATCH);
        CHECK(way->read());
        CHECK(!way->turn());
        drain(*way->far, way->place, counts);
        CHECK(counts[FLOOD] == BATCH);
        if (i == 2) {
            CHECK(!way->read());
            share(way);
            engine->now += 60000000001;
        }
    }
}

/* A packet of a session comes soon after it was read, whatever another one sent before. */
static void
test_flood(const Way *way)
{
    unsigned counts[CALLS], flood = 300, count;

    share(way);
    way->send(FLOOD, flood);
    way->send(QUIET, 1);
    while (way->read())
        ;
    drain(*way->far, way->place, counts);
    count = counts[FLOOD];
    CHECK(counts[QUIET] == 0 && count <= BATCH);
    CHECK(way->turn());
    drain(*way->far, way->place, counts);
    CHECK(counts[QUIET] == 1 && counts[FLOOD] == BATCH - 1);
    count += counts[FLOOD];
    while (way->turn())
        ;
    drain(*way->far, way->place, counts);
    CHECK(count + counts[FLOOD] == flood);
    CHECK(dropped(FLOOD) == 0 && dropped(QUIET) == 0);
}

/* What is too much is lost by the session that has most, and counted there. */
static void
test_dropped(const Way *way)
{
    unsigned counts[CALLS];

    share(way);
    way->send(FLOOD, BATCH);
    way->send(QUIET, 1);
    for (unsigned i = 0; i < FAIR_MOST / 256; i++) {
        way->send(FLOOD, 256);
        CHECK(way->read());
    }
    way->send(FLOOD, 100);
    CHECK(way->read());
    drain(*way->far, way->place, counts);
    CHECK(dropped(FLOOD) == BATCH - counts[FLOOD] + 100 + 1 - counts[QUIET] && dropped(QUIET) == 0);
    /* Packets behind a gap are left to Python. */
    while (way->turn())
        drain(*way->left, way->left_place, counts);
    CHECK(dropped(FLOOD) == 0 && dropped(QUIET) == 0 && not_left() == 0);
}

/* Two floods share evenly, though one began before the other. */
static void
test_evenness(const Way *way)
{
    unsigned counts[CALLS], one = 0, other = 0;

    share(way);
    way->send(FLOOD, 256);
    CHECK(way->read());
    way->send(FLOOD, 200);
    way->send(OTHER, 256);
    while (way->read())
        ;
    drain(*way->far, way->place, counts);
    for (unsigned i = 0; i < 6; i++) {
        CHECK(way->turn());
        drain(*way->far, way->place, counts);
        one += counts[FLOOD];
        other += counts[OTHER];
    }
    CHECK(one + other == 6 * BATCH && abs((int)(one - other)) <= FAIR_QUANTUM / FAIR_COST);
}

/* No session has so many packets wait for Python that there is no room for those of others. */
static void
test_left(const Way *way)
{
    unsigned counts[CALLS];

    session_take(sessions[FLOOD]);
    session_take(sessions[QUIET]);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned n = 0; n < 6; n++) {
            way->send(FLOOD, BATCH);
            CHECK(way->read());
            way->turn();
        }
        way->send(QUIET, 1);
        while (way->read())
            ;
        while (way->turn())
            ;
        drain(*way->left, way->left_place, counts);
        CHECK(counts[FLOOD] == 256 && counts[QUIET] == 1);
        CHECK(dropped(FLOOD) == 6 * BATCH - 256 && dropped(QUIET) == 0);
    }
}

/* Packets that wait go nowhere when their session ends, and the others aren't held up. */
static void
test_ended(const Way *way)
{
    unsigned counts[CALLS];

    share(way);
    way->send(FLOOD, 300);
    way->send(QUIET, 2);
    while (way->read())
        ;
    end(FLOOD);
    while (way->turn())
        ;
    drain(*way->far, way->place, counts);
    CHECK(counts[QUIET] == 2 && counts[FLOOD] <= BATCH);
    begin(FLOOD);
}

/* Packets of no call are few when they come to Python, and make no call wait. */
static void
test_strays(void)
{
    unsigned counts[CALLS];

    share(&IN);
    end(OTHER);
    for (unsigned i = 0; i < 2; i++) {
        send_gre(OTHER, 300);
        send_gre(QUIET, 1);
        while (read_in())
            ;
        CHECK(turn_in());
        drain(device, WRITTEN, counts);
        CHECK(counts[QUIET] == 1);
        while (turn_in())
            ;
        drain(gre_left, GRE_LEFT, counts);
        CHECK(counts[OTHER] == 64 && not_left() == 300 - 64);
        engine->now += 50000000;
    }
    begin(OTHER);
}

/* Packets that wait when their socket is forgotten are dropped. */
static void
test_forgotten(void)
{
    share(&IN);
    send_gre(FLOOD, 300);
    while (read_in())
        ;
    int descriptor = engine->ports[port].descriptor, left = engine->ports[port].left;
    for (unsigned call = FLOOD; call < CALLS; call++)
        end(call);
    CHECK(engine_forget(engine, port) == 0);
    while (turn_in())
        ;
    CHECK(not_left() == 300);
    CHECK(engine_watch(engine, TUNNEL_GRE, descriptor, 1, left) == (int)port);
    for (unsigned call = FLOOD; call < CALLS; call++)
        begin(call);
}

int
main(void)
{
    static void (*const TESTS[])(const Way *way)
        = {test_alone, test_flood, test_dropped, test_evenness, test_left, test_ended};

    for (unsigned i = 0; i < sizeof TESTS / sizeof *TESTS; i++) {
        start();
        TESTS[i](&IN);
        stop();
        start();
        TESTS[i](&OUT);
        stop();
    }
    start();
    test_strays();
    stop();
    start();
    test_forgotten();
    stop();
    printf("shared\n");
    return 0;
}
