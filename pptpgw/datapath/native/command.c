/*
 * The commands by which Python changes what the thread of the native data path uses.
 */

#include "command.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef enum { STOP, SYNC, TUN, WATCH, FORGET, ADD, REMOVE, ROUTE, UNROUTE } Kind;

typedef struct Command {
    struct Command *next;
    Kind kind;
    Session *session;
    /* A TUN device or a socket of a tunnel, and its place. */
    Port port;
    unsigned place;
    int offload;
    /* A network. */
    unsigned family, unused;
    uint8_t address[16];
    /* Posted when the command is carried out; NULL if nobody waits for that. */
    sem_t *done;
} Command;

static void
carry_out(Engine *engine, const Command *command)
{
    Session *session = command->session;

    /* A change that finds no memory leaves packets to Python. */
    switch (command->kind) {
    case STOP:
        engine->stopping = 1;
        break;
    case SYNC:
        break;
    case TUN:
        engine->tun = command->port;
        engine->offload = command->offload;
        break;
    case WATCH:
    case FORGET:
        engine->ports[command->place] = command->port;
        break;
    case ADD:
        table_set(&engine->sessions, (Key){0, session->key, session->port}, session);
        if (engine->sessions.used > 1 && session->receiver == engine->number)
            receive_share(engine);
        break;
    case REMOVE:
        table_remove(&engine->sessions, (Key){0, session->key, session->port});
        if (session->receiver == engine->number) {
            timer_stop(&engine->acknowledging, &session->acknowledging);
            timer_stop(&engine->looking, &session->looking);
        }
        session_release(session);
        break;
    case ROUTE:
        routes_set(&engine->routes, command->family, command->unused, command->address, session);
        break;
    case UNROUTE:
        routes_remove(&engine->routes, command->family, command->unused, command->address);
        break;
    }
}

void
command_run(Engine *engine)
{
    Command *command = atomic_exchange_explicit(&engine->commands, NULL, memory_order_acquire);
    Command *first = NULL, *next;

    for (; command != NULL; command = next) {
        next = command->next;
        command->next = first;
        first = command;
    }
    for (command = first; command != NULL; command = next) {
        next = command->next;
        carry_out(engine, command);
        if (command->done != NULL)
            sem_post(command->done);
        free(command);
    }
}

static void
wake(Engine *engine)
{
    uint64_t one = 1;

    while (write(engine->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* Give a command, or a copy of it, to the thread. Return -1 if there is no memory. */
static int
command(Engine *engine, Command given, int wait)
{
    sem_t done;

    if (!engine->running) {
        carry_out(engine, &given);
        return 0;
    }
    Command *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return -1;
    *copy = given;
    copy->done = wait ? &done : NULL;
    if (wait)
        sem_init(&done, 0, 0);
    copy->next = atomic_load_explicit(&engine->commands, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&engine->commands, &copy->next, copy,
                                                  memory_order_release, memory_order_relaxed))
        ;
    wake(engine);
    if (wait) {
        while (sem_wait(&done) < 0)
            ;
        sem_destroy(&done);
    }
    return 0;
}

int
engine_tun(Engine *engine, int descriptor, int reads, int offload, int left)
{
    int used = descriptor >= 0;
    Port port = {.used = used, .descriptor = descriptor, .left = left, .reads = used && reads};

    return command(engine, (Command){.kind = TUN, .port = port, .offload = offload}, 1);
}

int
engine_watch(Engine *engine, Tunnel tunnel, int descriptor, int reads, int left)
{
    Port port = {
        .used = 1, .tunnel = tunnel, .descriptor = descriptor, .left = left, .reads = reads
    };
    int domain = AF_INET;
    socklen_t size = sizeof domain;
    unsigned place = 0;

    getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    port.addressed = domain == AF_INET;
    while (place < PORTS && engine->taken[place])
        place++;
    if (place == PORTS
        || command(engine, (Command){.kind = WATCH, .port = port, .place = place}, 0) < 0)
        return -1;
    engine->taken[place] = 1;
    return (int)place;
}

int
engine_forget(Engine *engine, unsigned port)
{
    if (port >= PORTS || command(engine, (Command){.kind = FORGET, .place = port}, 1) < 0)
        return -1;
    engine->taken[port] = 0;
    return 0;
}

int
engine_sync(Engine *engine)
{
    return command(engine, (Command){.kind = SYNC}, 1);
}

int
engine_add(Engine *engine, Session *session)
{
    return command(engine, (Command){.kind = ADD, .session = session}, 0);
}

int
engine_remove(Engine *engine, Session *session)
{
    return command(engine, (Command){.kind = REMOVE, .session = session}, 0);
}

int
engine_route(Engine *engine, unsigned family, unsigned unused, const uint8_t *address,
             Session *session)
{
    Command given = {.kind = ROUTE, .family = family, .unused = unused, .session = session};

    memcpy(given.address, address, family ? 16 : 4);
    return command(engine, given, 0);
}

int
engine_unroute(Engine *engine, unsigned family, unsigned unused, const uint8_t *address)
{
    Command given = {.kind = UNROUTE, .family = family, .unused = unused};

    memcpy(given.address, address, family ? 16 : 4);
    return command(engine, given, 0);
}

void
command_stop(Engine *engine)
{
    while (command(engine, (Command){.kind = STOP}, 0) < 0)
        sched_yield();
}
