/*
 * A call of the native data path: the state of its tunnel, of MPPE, and of its networks.
 *
 * One of the threads or Python owns a session. A thread owns it while it handles some of its packets,
 * and leaves it free then; Python takes it when it is free, and leaves it free when it has done what
 * no thread can do. Only the owner uses the state. A thread never waits for Python: packets of a session
 * that Python owns are passed to Python. Python and other threads may have to wait while a thread handles
 * a few packets. A session's packets from its peer are handled by one thread, those to it by any.
 */

#ifndef PPTPGW_SESSION_H
#define PPTPGW_SESSION_H

#include <netinet/in.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "mppe.h"
#include "timer.h"
#include "tunnel.h"
#include "window.h"

/* Who owns a session. */
#define OWNER_NOBODY 0
#define OWNER_THREAD 1
/* The thread, which passes it to Python next. */
#define OWNER_THREAD_WANTED 2
#define OWNER_PYTHON 3

/* The networks of a session. */
#define NETWORK_IPV4 0
#define NETWORK_IPV6 1
#define NETWORKS 2

/* The figures of a session. Those from SPOOFED on count discarded packets. */
enum {
    FRAMES_RECEIVED,
    PACKETS_RECEIVED,
    OCTETS_RECEIVED,
    FRAMES_SENT,
    PACKETS_SENT,
    OCTETS_SENT,
    SPOOFED,
    NOT_DELIVERED,
    NOT_SENT,
    FULL,
    LOST,
    LATE,
    DUPLICATE,
    FIGURES,
};

/* The addresses that a peer may send from: a network. */
typedef struct {
    uint8_t prefix[16], mask[16];
} Source;

#define SOURCES 16

/* The octets of an acknowledgement behind an IP header. */
#define EMPTY 32

/* A network protocol of a session. */
typedef struct {
    uint8_t open, clamp;
    /* How many octets of the first source suffice to permit a packet; 0 if they never do. */
    uint8_t sure;
    uint8_t count;
    uint16_t mtu;
    /* What begins a frame with a packet in clear: address, control and protocol. */
    uint8_t prefix[4], prefix_size;
    Source sources[SOURCES];
} Network;

/* How many packets of a session were left to Python in the present round of its port (message.c). */
typedef struct {
    uint32_t round, count;
} Leaving;

/* What a thread notes of a session for packets to its peer: whether it owns the session for the present
 * batch (transmit.c), and what it left to Python. */
typedef struct {
    uint8_t held;
    Leaving leaving;
} Outward;

/* The state before the encrypted frames that come first in a batch, and how many of them are decrypted. */
typedef struct {
    MPPE saved;
    unsigned done;
} Prepared;

typedef struct Session Session;

/* The octets of a processor's cache line. */
#define LINE 64

struct Session {
    /* What follows is what packets from the peer touch, a cache line each. The first line has the owner,
     * the number of the thread that receives, and the place of its socket. */
    atomic_uint owner;
    unsigned receiver, port;
    /* The Tunnel. */
    uint8_t tunnel;
    /* Whether packets are encrypted that are sent, and that are received; and whether packets of
     * networks may come in clear. */
    uint8_t encrypts, decrypts, clear;
    /* The numbers of the tunnel: of GRE as in pptpgw/tunnels/pptp/window.py; of L2TP the first two may be
     * L2TP_NO_NUMBER, and there are no others. */
    uint32_t expected, sending, acknowledged, due;
    /* The following is the receiver's own. The first and the last of a batch's frames, and the next
     * session that has some. */
    int first, last;
    Session *following;
    /* Whether the thread owns the session for the batch. */
    int owned;
    /* How many packets from the peer were dropped here since the thread last owned the session. */
    uint32_t dropped;
    _Alignas(LINE) MPPE receiving_mppe;
    /* What was decrypted of the batch before the session's turn; NULL if nothing was. */
    Prepared *prepared;
    _Alignas(LINE) Window window;
    /* Whether a figure isn't zero. */
    _Alignas(LINE) atomic_uint counted;
    atomic_ullong figures[FIGURES];
    _Alignas(LINE) Network networks[NETWORKS];
    /* What acknowledgements touch besides, in a line: when they are due, the peer, our
     * address, and what the peer finds the call by: its id, or the ids of control connection and call. */
    _Alignas(LINE) Timer acknowledging;
    struct sockaddr_in peer;
    struct in_addr local;
    uint32_t ids;
    /* The key in the table of sessions. */
    uint64_t key;
    /* When the receiver looks at the frames that are held, and what it left to Python. */
    Timer looking;
    Leaving leaving;
    /* Until when datagrams are sent one by one, since the system didn't make them of one message. */
    uint64_t apart;
    /* What begins an encrypted frame. */
    uint8_t prefix[4], prefix_size;
    MPPE sending_mppe;
    /* The state before the last packet that followed a gap, and the count of that packet; -1 if there
     * was none. */
    MPPE before;
    int believed;
    /* How many keys may be changed for gaps, and since when. */
    uint32_t changes;
    uint64_t changed;
    /* RC4 of both directions, sending first; NULL as long as no state was stateful. */
    RC4 *streams;
    /* A packet with nothing in it, from which Python learns that it owns the session. */
    uint8_t empty[EMPTY];
    /* How many threads have the session. */
    atomic_uint threads;
    /* Each thread's own, by its number. */
    Outward outward[];
};

/* The ends of a call: the peer's address and UDP port (0 in GRE), our address, and the ids by which each
 * end finds the call. */
typedef struct {
    Tunnel tunnel;
    uint8_t peer[6], local[4];
    uint32_t local_ids, peer_ids;
} Ends;

/* Return a new session, which Python owns, for so many threads, so many of which receive; NULL if there
 * is no memory. The ends choose the one that receives, as the programs of BPF of the tunnels' ports do. */
Session *session_new(unsigned port, const Ends *ends, unsigned threads, unsigned receiving);

/* Note that one of its threads doesn't have a session any more. Once none has, it is freed, and its keys
 * are overwritten. */
void session_release(Session *session);

/* Set the state of MPPE that is sent with, or received with; none if size is 0. Return -1 if it isn't
 * one, or if there is no memory. */
int session_send_mppe(Session *session, const uint8_t *state, size_t size);
int session_receive_mppe(Session *session, const uint8_t *state, size_t size);

/* For a thread: become the owner for a few packets, if nobody is. Return who was it. */
static inline unsigned
session_try(Session *session)
{
    unsigned owner = OWNER_NOBODY;

    atomic_compare_exchange_strong_explicit(&session->owner, &owner, OWNER_THREAD,
                                            memory_order_acquire, memory_order_relaxed);
    return owner;
}

/* For a thread that owns no session: become the owner for a few packets, after another thread has
 * handled those that it is about to. Return 0 if Python is the owner. */
static inline int
session_enter(Session *session)
{
    unsigned owner;

    while ((owner = session_try(session)) != OWNER_NOBODY && owner != OWNER_PYTHON)
        sched_yield();
    return owner == OWNER_NOBODY;
}

/* For the thread: leave a session to everybody, or to Python alone. */
static inline void
session_leave(Session *session, int to_python)
{
    unsigned owner = OWNER_THREAD;

    if (to_python
        || !atomic_compare_exchange_strong_explicit(&session->owner, &owner, OWNER_NOBODY,
                                                    memory_order_release, memory_order_relaxed))
        atomic_store_explicit(&session->owner, OWNER_PYTHON, memory_order_release);
}

/* For Python: become the owner, after the thread has handled the packets that it is about to. */
static inline void
session_take(Session *session)
{
    for (;;) {
        unsigned owner = atomic_load_explicit(&session->owner, memory_order_acquire);

        if (owner == OWNER_PYTHON
            || (owner == OWNER_NOBODY
                && atomic_compare_exchange_strong_explicit(&session->owner, &owner, OWNER_PYTHON,
                                                           memory_order_acquire,
                                                           memory_order_relaxed)))
            return;
        if (owner == OWNER_THREAD)
            atomic_compare_exchange_strong_explicit(&session->owner, &owner, OWNER_THREAD_WANTED,
                                                    memory_order_relaxed, memory_order_relaxed);
        sched_yield();
    }
}

/* For Python: leave the session to everybody. */
static inline void
session_give(Session *session)
{
    atomic_store_explicit(&session->owner, OWNER_NOBODY, memory_order_release);
}

/* Add to a figure. */
static inline void
session_count(Session *session, unsigned figure, unsigned long long number)
{
    if (number) {
        atomic_fetch_add_explicit(&session->figures[figure], number, memory_order_relaxed);
        atomic_store_explicit(&session->counted, 1, memory_order_release);
    }
}

#endif
