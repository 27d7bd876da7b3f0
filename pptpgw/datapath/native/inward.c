/*
 * From the frames of a session to the TUN device, in the order of their numbers: those of a protocol that
 * is open, and from an address that the peer may send from. A gap is passed if the packet after it is one
 * that window.py of the tunnel would believe: in clear where that is permitted, or encrypted in stateless
 * mode if it makes sense after as many key changes as its numbers tell.
 */

#define _GNU_SOURCE
#include <unistd.h>

#include "clamp.h"
#include "gap.h"
#include "judge.h"
#include "packet.h"
#include "receive.h"

#define PPP_MPPE 0x00FD

/* Half of RECEIVE_WINDOW of window.py. */
#define HALF_WINDOW 32

/* How far ahead a number may be not to be an old one. */
#define HALF (1u << 31)

/* How often frames that are held are looked at, in nanoseconds. */
#define LOOK 10000000u

/* Frames whose numbers follow each other. */
typedef struct {
    unsigned count;
    /* How many numbers are missing before the first one. */
    uint32_t ahead;
    const GREFrame *frames[BATCH];
    /* The place of each in the batch; -1 if it was held. */
    int places[BATCH];
    /* The first frame of the batch that isn't handled with these. */
    int next;
} Run;

static void
write_frame(void *context, const struct iovec *frame, int vectors, int packets)
{
    Receiving *all = context;

    if (writev(all->engine->tun.descriptor, frame, vectors) < 0)
        all->refused += (unsigned)packets;
}

static void
pass(Receiving *all, Session *session, Packet *packet)
{
    const Network *network = &session->networks[packet->network];
    uint8_t *octets = packet->octets;

    session_count(session, PACKETS_RECEIVED, 1);
    session_count(session, OCTETS_RECEIVED, packet->size);
    if (network->clamp)
        clamp_packet(octets, packet->size, network->mtu);
    if (all->engine->offload)
        coalesce_add(&all->coalescing, octets, packet->size);
    else if (write(all->engine->tun.descriptor, octets, packet->size) < 0)
        all->refused++;
}

static void
finish(Receiving *all, Session *session, Verdict verdict, Packet *packet)
{
    if (verdict == PASS)
        pass(all, session, packet);
    else
        session_count(session, SPOOFED, 1);
}

/* ---- frames in order ---- */

/* Go on behind so many frames of a run. */
static void
received(Engine *engine, Session *session, Run *run, unsigned begin, unsigned count)
{
    unsigned fresh = 0;

    if (run->ahead)
        window_go_on(session, run->ahead);
    run->ahead = 0;
    uint32_t first = session->expected;
    session->expected += count;
    session->window.repeated = 0;
    session->window.doubted = 0;
    for (unsigned i = begin; i < begin + count; i++)
        fresh += run->places[i] >= 0;
    session_count(session, FRAMES_RECEIVED, fresh);
    if ((uint32_t)(session->due - first) < count) {
        if (session->expected - session->acknowledged >= HALF_WINDOW)
            engine_acknowledge(engine, session);
        engine_time(engine, session);
        session->due = session->acknowledged + HALF_WINDOW - 1;
    }
}

/* Handle a frame in clear. Return whether that was possible. */
static unsigned
handle_clear(Engine *engine, Session *session, Run *run, unsigned begin)
{
    Receiving *all = engine->receiving;
    const GREFrame *frame = run->frames[begin];
    Packet packet = {0, (uint8_t *)frame->information, frame->length};

    if (!session->clear || run->ahead >= REACH)
        return 0;
    Verdict verdict = judge_packet(engine, session, frame->protocol, &packet);
    if (verdict == LEAVE)
        return 0;
    received(engine, session, run, begin, 1);
    finish(all, session, verdict, &packet);
    return 1;
}

/* Split the plaintext of a frame, as split() of mppe.py does it. Return its protocol number. */
static unsigned
split(uint8_t *plain, size_t size, Packet *packet)
{
    size_t start = plain[0] & 1 || size == 1 ? 1 : 2;

    packet->octets = plain + start;
    packet->size = size - start;
    return start == 1 ? plain[0] : packet_word(plain);
}

/* Handle encrypted frames of a run. Return how many that were. */
static unsigned
handle_encrypted(Engine *engine, Session *session, Run *run, unsigned begin)
{
    Receiving *all = engine->receiving;
    MPPE *mppe = &session->receiving_mppe, saved;
    RC4 *stream = mppe->stream;
    Received frames[BATCH];
    Packet packets[BATCH];
    Verdict verdicts[BATCH];
    unsigned count = 0, done, good = 0;

    if (!session->decrypts)
        return 0;
    int lost = gap_packets(engine, session, run->frames[begin], run->ahead);
    if (lost < 0)
        return 0;
    for (unsigned i = begin; i < run->count && run->frames[i]->protocol == PPP_MPPE; i++)
        frames[count++]
            = (Received){run->frames[i]->information, run->frames[i]->length, all->plains[i]};
    mppe_copy(&saved, mppe, &all->saved);
    mppe_skip(mppe, (unsigned)lost);
    done = mppe_decrypt_run(mppe, frames, count);
    for (; good < done; good++) {
        unsigned protocol = split(frames[good].plain, frames[good].size - MPPE_HEADER, &packets[good]);
        if (run->ahead && good == 0 && !judge_plausible(protocol, &packets[good]))
            break;
        verdicts[good] = judge_packet(engine, session, protocol, &packets[good]);
        if (verdicts[good] == LEAVE)
            break;
    }
    if (good < done || good == 0)
        mppe_copy(mppe, &saved, stream);
    if (good == 0)
        return 0;
    if (good < done) {
        /* Python begins with the frame that isn't good. */
        mppe_skip(mppe, (unsigned)lost);
        mppe_decrypt_run(mppe, frames, good);
    }
    if (run->ahead) {
        session->before = saved;
        session->believed = (saved.count + lost + 1) % MPPE_COUNTS;
    }
    received(engine, session, run, begin, good);
    for (unsigned each = 0; each < good; each++)
        finish(all, session, verdicts[each], &packets[each]);
    return good;
}

/* Find the frames that follow each other from the expected number on, or after the missing ones: those
 * that are held, and those of the batch from a place on. */
static void
gather(const Receiving *all, const Session *session, int at, Run *run)
{
    const Window *window = &session->window;
    uint32_t sequence = session->expected + run->ahead;
    unsigned held = 0;

    for (run->count = 0; run->count < BATCH; run->count++, sequence++) {
        run->places[run->count] = -1;
        if (held < window->count && window->held[held]->frame.sequence == sequence)
            run->frames[run->count] = &window->held[held++]->frame;
        else if (at >= 0 && all->frames[at].protocol && all->frames[at].sequence == sequence) {
            run->frames[run->count] = &all->frames[at];
            run->places[run->count] = at;
            at = all->next[at];
        }
        else
            break;
    }
    run->next = at;
}

/* Handle the frames of a run up to the first one that Python has to handle. Return whether there was
 * none. */
static int
handle_run(Engine *engine, Session *session, Run *run)
{
    Receiving *all = engine->receiving;
    unsigned done = 0, more = 1, held = 0;

    all->refused = 0;
    if (engine->offload)
        coalesce_begin(&all->coalescing, write_frame, all);
    for (; done < run->count && more; done += more)
        more = run->frames[done]->protocol == PPP_MPPE
                   ? handle_encrypted(engine, session, run, done)
                   : handle_clear(engine, session, run, done);
    if (engine->offload)
        coalesce_end(&all->coalescing);
    session_count(session, NOT_DELIVERED, all->refused);
    for (unsigned i = 0; i < done; i++)
        held += run->places[i] < 0;
    if (held)
        window_free(session, held);
    for (unsigned i = run->count; i > done; i--)
        if (run->places[i - 1] >= 0)
            run->next = run->places[i - 1];
    return done == run->count;
}

/* ---- frames out of order ---- */

/* Go past the gap before the first frame that is held. Return 0 if Python has to go on. */
static int
give_up(Engine *engine, Session *session)
{
    Run run = {.ahead = session->window.held[0]->frame.sequence - session->expected};

    gather(engine->receiving, session, -1, &run);
    return handle_run(engine, session, &run);
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
out_of_turn(Engine *engine, Session *session, const GREFrame *frame, int *taken)
{
    uint32_t ahead = frame->sequence - session->expected;

    *taken = 0;
    if (session->window.doubted || !may_wait(session, frame->protocol))
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
        gather(all, session, *at, &run);
        if (run.count) {
            int all_done = handle_run(engine, session, &run);
            *at = run.next;
            if (!all_done)
                return 0;
            continue;
        }
        if (*at < 0)
            return 1;
        const GREFrame *frame = &all->frames[*at];
        if (!frame->protocol)
            return 0;
        int handled = out_of_turn(engine, session, frame, &taken);
        if (handled || taken)
            *at = all->next[*at];
        if (!handled)
            return 0;
    }
}

/* Own a session no more, and look later at what it holds. */
static void
leave(Engine *engine, Session *session, int to_python)
{
    if (session->window.count) {
        if (to_python)
            left_add(engine, &engine->receiving->left, &engine->ports[session->port], session,
                     session->empty, EMPTY);
        else
            timer_start(&engine->looking, &session->looking, engine->now + LOOK);
    }
    session_leave(session, to_python);
}

int
inward(Engine *engine, Session *session, int at)
{
    if (!session_enter(session)) {
        session->dropped = 0;
        return at;
    }
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
