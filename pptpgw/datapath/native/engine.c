#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "message.h"
#include "precedence.h"

#define MILLISECOND 1000000u

/* How long the thread waits for acknowledgements to become due, ACKNOWLEDGE_TIME of window.py. */
#define ACKNOWLEDGE_TIME (500u * MILLISECOND)

/* How long a descriptor isn't read after an error. */
#define PAUSE (100u * MILLISECOND)

/* How long packets are read into lanes after those of several sessions came together. Meanwhile what a
 * session that floods can't have is read and dropped here, as the others' packets are behind it. If
 * there are no others the kernel drops it, which costs nothing. */
#define SHARED (60u * 1000 * (uint64_t)MILLISECOND)

/* ---- timers and figures ---- */

uint64_t
engine_now(const Engine *engine)
{
    uint64_t set = atomic_load_explicit(&engine->time, memory_order_relaxed);
    struct timespec time;

    if (set)
        return set;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 * MILLISECOND + (uint64_t)time.tv_nsec;
}

void
engine_event(Engine *engine, unsigned event, int error, unsigned long number)
{
    unsigned place = error >= 0 && error < ERRORS ? (unsigned)error : ERRORS - 1;

    atomic_fetch_add_explicit(&engine->events[event][place], number, memory_order_relaxed);
}

Session *
engine_session(const Engine *engine, uint64_t lane)
{
    uint64_t key = lane & ((1ull << FRAME_KEY_BITS) - 1);
    const Place *place
        = table_find(&engine->sessions, (Key){0, key, (uint32_t)(lane >> FRAME_KEY_BITS)});

    return place == NULL ? NULL : place->value;
}

void
engine_dropped(Engine *engine, Session *session)
{
    if (session != NULL)
        session_count(session, FULL, 1);
    else
        engine_event(engine, NOT_LEFT, 0, 1);
}

void
engine_failed(Engine *engine, Port *port, int error)
{
    unsigned event = port->tunnel == TUNNEL_GRE ? GRE_NOT_READ : L2TP_NOT_READ;

    engine_event(engine, port == &engine->tun ? TUN_NOT_READ : event, error, 1);
    port->resume = engine->now + PAUSE;
}

int
engine_shares(const Engine *engine, uint64_t shared)
{
    return shared != 0 && engine->now - shared < SHARED;
}

void
engine_acknowledge(Engine *engine, Session *session)
{
    const Port *port = &engine->ports[session->port];
    uint8_t packet[GRE_LONGEST];
    struct iovec vector = {packet, gre_acknowledge(packet, (uint16_t)session->ids, session->expected)};
    struct msghdr message;
    Control control;

    message_address(&message, port, session, &vector, &control);
    session->acknowledged = session->expected;
    if (sendmsg(port->descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        engine_event(engine, GRE_NOT_SENT, errno, 1);
        session_count(session, NOT_SENT, 1);
    }
}

void
engine_time(Engine *engine, Session *session)
{
    timer_start(&engine->acknowledging, &session->acknowledging, engine->now + ACKNOWLEDGE_TIME);
}

/* Handle the timers that have ended. */
static void
run_timers(Engine *engine)
{
    Session *session;

    while ((session = timer_ended(&engine->acknowledging, engine->now)) != NULL) {
        if (!session_enter(session))
            continue;
        if (session->expected != session->acknowledged)
            engine_acknowledge(engine, session);
        session->due = session->expected;
        session_leave(session, 0);
    }
    inward_look(engine);
}

/* ---- the thread ---- */

/* Return how many milliseconds the thread may wait, given a time at which it has to go on. */
static int
sooner(const Engine *engine, uint64_t when, int wait)
{
    uint64_t left = when > engine->now ? (when - engine->now + MILLISECOND - 1) / MILLISECOND : 0;

    return wait < 0 || left < (uint64_t)wait ? (int)left : wait;
}

/* Return as sooner() does, given timers. */
static int
sooner_timer(const Engine *engine, const Timers *timers, int wait)
{
    return timers->first == NULL ? wait : sooner(engine, timers->first->end, wait);
}

/* Have a descriptor polled, unless it is paused. Return as sooner() does. */
static int
poll_port(const Engine *engine, Port *port, struct pollfd *polled, int wait)
{
    polled->fd = -1;
    polled->events = POLLIN;
    polled->revents = 0;
    if (!port->reads)
        return wait;
    if (port->resume > engine->now)
        return sooner(engine, port->resume, wait);
    port->resume = 0;
    polled->fd = port->descriptor;
    return wait;
}

static void *
run(void *given)
{
    Engine *engine = given;
    struct pollfd polled[2 + PORTS];
    uint64_t woken;
    int waiting = 0;

    precedence_low();
    while (!engine->stopping) {
        engine->now = engine_now(engine);
        run_timers(engine);
        int wait = sooner_timer(engine, &engine->acknowledging, waiting ? 0 : -1);
        wait = sooner_timer(engine, &engine->looking, wait);
        polled[0] = (struct pollfd){engine->wake, POLLIN, 0};
        wait = poll_port(engine, &engine->tun, &polled[1], wait);
        /* The kernel looks at each that is polled, so those after the last one that is used aren't. */
        unsigned ports = 0;
        for (unsigned i = 0; i < PORTS; i++) {
            wait = poll_port(engine, &engine->ports[i], &polled[2 + i], wait);
            if (engine->ports[i].used)
                ports = i + 1;
        }
        if (poll(polled, 2 + ports, wait) < 0)
            continue;
        engine->now = engine_now(engine);
        if (polled[0].revents) {
            while (read(engine->wake, &woken, sizeof woken) < 0 && errno == EINTR)
                ;
            command_run(engine);
            /* What was polled may have been replaced. */
            continue;
        }
        /* An error that reading doesn't report would be found again and again. */
        for (unsigned i = 0; i < ports; i++)
            if (polled[2 + i].revents && !receive_read(engine, i)
                && polled[2 + i].revents & ~POLLIN)
                engine_failed(engine, &engine->ports[i], EIO);
        if (polled[1].revents && !transmit_read(engine) && polled[1].revents & ~POLLIN)
            engine_failed(engine, &engine->tun, EIO);
        waiting = receive_turn(engine);
        waiting |= transmit_turn(engine);
    }
    return NULL;
}

int
engine_start(Engine *engine)
{
    sigset_t all, before;

    engine->stopping = 0;
    /* Where packets are more than the processor can carry, a call that is set up would otherwise wait
     * again for each of its control frames. */
    precedence_prompt();
    /* Signals are for Python's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&engine->thread, NULL, run, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    engine->running = error == 0;
    return error;
}

void
engine_stop(Engine *engine)
{
    if (!engine->running)
        return;
    command_stop(engine);
    pthread_join(engine->thread, NULL);
    engine->running = 0;
}

Engine *
engine_new(unsigned number)
{
    Engine *engine = calloc(1, sizeof *engine);

    if (engine == NULL)
        return NULL;
    engine->number = number;
    engine->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    engine->receiving = receive_new();
    engine->transmitting = transmit_new();
    engine->tun.descriptor = -1;
    if (engine->wake < 0 || engine->receiving == NULL || engine->transmitting == NULL) {
        engine_free(engine);
        return NULL;
    }
    return engine;
}

void
engine_free(Engine *engine)
{
    if (engine->wake >= 0)
        close(engine->wake);
    for (size_t i = 0; i < engine->sessions.size; i++)
        if (engine->sessions.places[i].used)
            session_release(engine->sessions.places[i].value);
    table_free(&engine->sessions);
    table_free(&engine->routes.table);
    receive_free(engine->receiving);
    transmit_free(engine->transmitting);
    free(engine);
}
