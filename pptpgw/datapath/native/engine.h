/*
 * The thread of the native data path, which carries packets between the sockets of tunnels and a TUN
 * device. What it can't handle it leaves to Python: whole packets, by a socket for each of these and one
 * for the device, from which Python reads them as if it read the real ones. Before datagrams of UDP it
 * has a header (datagram.h).
 *
 * Python changes the thread's tables by commands, which the thread carries out between two batches.
 * While the thread doesn't run, they are carried out at once.
 */

#ifndef PPTPGW_ENGINE_H
#define PPTPGW_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "lanes.h"
#include "session.h"
#include "table.h"

/* The most sockets of tunnels. */
#define PORTS 32

/* The packets that are handled at once: few enough that they stay in the processor's cache. */
#define BATCH 64

/* How many packets are read at most before a batch of those that wait is handled. */
#define READ (8 * BATCH)

/* What is counted for no session, each with an error's number or 0. */
enum {
    GRE_NOT_READ,
    L2TP_NOT_READ,
    GRE_NOT_SENT,
    TUN_NOT_READ,
    TUN_MALFORMED,
    NO_ROUTE,
    NOT_LEFT,
    EVENTS,
};

/* Errors with larger numbers are counted as this one. */
#define ERRORS 256

/* A socket of a tunnel, and the socket by which its packets are left to Python. */
typedef struct {
    int used, descriptor, left;
    Tunnel tunnel;
    /* Whether this thread reads it. */
    int reads;
    /* Whether the socket takes addresses: all but those of tests. */
    int addressed;
    /* When it is read again after an error, in nanoseconds; 0: now. */
    uint64_t resume;
    /* A number that changes when Python has read all that was left to it, and what was left of no
     * session since. */
    uint32_t round;
    Leaving others;
} Port;

typedef struct Receiving Receiving;
typedef struct Transmitting Transmitting;

typedef struct {
    /* The number of the thread. */
    unsigned number;
    /* Commands that wait, the last one first, and what wakes the thread. */
    _Atomic(struct Command *) commands;
    int wake;
    pthread_t thread;
    int running;
    /* Which places of sockets are taken. */
    uint8_t taken[PORTS];
    /* The time in nanoseconds, for tests; 0 if it is the system's. */
    atomic_ullong time;
    /* The number of each event, by error. */
    atomic_ulong events[EVENTS][ERRORS];
    /* The following is the thread's own. */
    int stopping;
    Port ports[PORTS];
    /* The TUN device; its descriptor is -1 if there is none. */
    Port tun;
    int offload;
    Table sessions;
    Routes routes;
    uint64_t now;
    /* The timers of sessions: of acknowledgements, and of frames that are held. */
    Timers acknowledging, looking;
    Receiving *receiving;
    Transmitting *transmitting;
} Engine;

/* Return a new engine; NULL if there is no memory or no descriptor. */
Engine *engine_new(unsigned number);

/* Free an engine that doesn't run, and release its sessions. */
void engine_free(Engine *engine);

/* Start the thread. Return 0, or an error's number. */
int engine_start(Engine *engine);

/* End the thread, and wait for that. */
void engine_stop(Engine *engine);

/* Return the time in nanoseconds. */
uint64_t engine_now(const Engine *engine);

/* ---- commands: they return 0, or -1 if there is no memory or, for a port, no place ---- */

/* Write to a TUN device from now on, which is -1 if there is none; read it too if that is asked for, and
 * leave packets to Python by a socket. Wait until the thread has done it. */
int engine_tun(Engine *engine, int descriptor, int reads, int offload, int left);

/* Send by a socket of a tunnel from now on, and read it if that is asked for. Return its place. */
int engine_watch(Engine *engine, Tunnel tunnel, int descriptor, int reads, int left);

/* Read a socket no more. Wait until the thread has done it. */
int engine_forget(Engine *engine, unsigned port);

/* Wait until the thread has carried out all commands, and has noticed that descriptors were replaced. */
int engine_sync(Engine *engine);

/* Handle a session's packets, which Python owns, or that is the new target of a route. */
int engine_add(Engine *engine, Session *session);

/* Handle a session's packets no more, and release it. No route leads to it. */
int engine_remove(Engine *engine, Session *session);

/* Have a network lead to a session; NULL: to Python. */
int engine_route(Engine *engine, unsigned family, unsigned unused, const uint8_t *address,
                 Session *session);

/* Have a network lead nowhere. */
int engine_unroute(Engine *engine, unsigned family, unsigned unused, const uint8_t *address);

/* ---- for the thread ---- */

/* Count an event. */
void engine_event(Engine *engine, unsigned event, int error, unsigned long number);

/* Return the key of the lane of a session, which has this key at a port, and the session of a lane; NULL
 * if there is no such session. */
static inline uint64_t
engine_lane(uint64_t port, uint64_t key)
{
    return port << FRAME_KEY_BITS | key;
}
Session *engine_session(const Engine *engine, uint64_t lane);

/* Count a packet of a session, or of none if that is NULL, that is dropped since too many wait. */
void engine_dropped(Engine *engine, Session *session);

/* Count an error of reading the TUN device or a socket, which isn't read for a while then. */
void engine_failed(Engine *engine, Port *port, int error);

/* Acknowledge what a session has received, and have its timer run. */
void engine_acknowledge(Engine *engine, Session *session);
void engine_time(Engine *engine, Session *session);

/* Return whether packets are read into lanes rather than handled in the order in which they came, given
 * when those of several sessions came together last. */
int engine_shares(const Engine *engine, uint64_t shared);
/* Look at the frames that sessions hold, and go past gaps that nothing came for: inward.c. */
void inward_look(Engine *engine);

/* From the sockets of tunnels: receive.c. */
Receiving *receive_new(void);
void receive_free(Receiving *receiving);

/* Read packets from a socket. Handle them if they are few, or one session's; otherwise have them
 * wait. Return 0 if there was nothing to read. */
int receive_read(Engine *engine, unsigned port);

/* Have the packets of several sessions wait in lanes for a while. */
void receive_share(Engine *engine);

/* Handle a batch of packets that wait. Return whether some still do. */
int receive_turn(Engine *engine);

/* The same for the TUN device: transmit.c. */
Transmitting *transmit_new(void);
void transmit_free(Transmitting *transmitting);
int transmit_read(Engine *engine);
int transmit_turn(Engine *engine);

#endif
