/*
 * From the frames of a session to the TUN device, in the order of GRE's numbers: those of a protocol that
 * is open, and from an address that the peer may send from. A gap is passed if the packet after it is one
 * that window.py of the tunnel would believe: in clear where that is permitted, or encrypted in stateless
 * mode if it makes sense after as many key changes as its numbers tell.
 */

#define _GNU_SOURCE
#include "run.h"

#include <unistd.h>

#include "clamp.h"
#include "gap.h"
#include "judge.h"
#include "packet.h"

/* The octets before a plaintext: those that VNet headers may be written to. */
#define ROOM 16

/* Half of RECEIVE_WINDOW of window.py. */
#define HALF_WINDOW 32

static ssize_t
write_frame(void *context, const struct iovec *frame, int vectors)
{
    const Engine *engine = context;

    /* Most frames are one vector, which the kernel takes by a shorter way. */
    return vectors == 1 ? write(engine->tun.descriptor, frame->iov_base, frame->iov_len)
                        : writev(engine->tun.descriptor, frame, vectors);
}

/* Pass packets on, or count them as spoofed. */
static void
pass(Receiving *all, Session *session, const Verdict *verdicts, const Packet *packets, unsigned count)
{
    unsigned passed = 0;
    unsigned long long octets = 0;

    for (unsigned i = 0; i < count; i++) {
        const Network *network = &session->networks[packets[i].network];
        if (verdicts[i] != PASS)
            continue;
        passed++;
        octets += packets[i].size;
        if (network->clamp)
            clamp_packet(packets[i].octets, packets[i].size, network->mtu);
        if (all->engine->offload)
            coalesce_add(&all->coalescing, packets[i].octets, packets[i].size);
        else if (write(all->engine->tun.descriptor, packets[i].octets, packets[i].size) < 0)
            all->coalescing.refused++;
    }
    session_count(session, PACKETS_RECEIVED, passed);
    session_count(session, OCTETS_RECEIVED, octets);
    session_count(session, SPOOFED, count - passed);
}

/* ---- frames in order ---- */

/* Go on behind so many frames of a run. */
static void
received(Engine *engine, Session *session, Run *run, unsigned begin, unsigned count)
{
    unsigned fresh = 0;

    if (session->tunnel == TUNNEL_L2TP) {
        for (unsigned i = begin; i < begin + count; i++)
            l2tp_follows(&session->expected, run->frames[i]->sequence);
        session_count(session, FRAMES_RECEIVED, count);
        return;
    }
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

/* Handle frames in clear. Return how many that were. */
static unsigned
handle_clear(Engine *engine, Session *session, Run *run, unsigned begin)
{
    Packet packets[BATCH];
    Verdict verdicts[BATCH];
    unsigned good = 0;

    if (!session->clear || run->ahead >= REACH)
        return 0;
    for (; begin + good < run->count; good++) {
        const Frame *frame = run->frames[begin + good];
        packets[good] = (Packet){0, (uint8_t *)frame->information, frame->length};
        /* Encrypted ones are left here, and are no frames in clear. */
        verdicts[good] = judge_packet(engine, session, frame->protocol, &packets[good]);
        if (verdicts[good] == LEAVE)
            break;
    }
    if (good == 0)
        return 0;
    received(engine, session, run, begin, good);
    pass(engine->receiving, session, verdicts, packets, good);
    return good;
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

/* Have received[] stand for the encrypted frames of a run from one on. Return how many there are. */
static unsigned
encrypted(Receiving *all, const Run *run, unsigned begin, Received *received)
{
    unsigned count = 0;

    for (unsigned i = begin; i < run->count && run->frames[i]->protocol == PPP_MPPE; i++) {
        const Frame *frame = run->frames[i];
        uint8_t *plain = run->places[i] < 0 ? all->held[i] : all->plains[run->places[i]];
        plain += ROOM;
        received[count++] = (Received){frame->information, frame->length, plain};
    }
    return count;
}

/* Decrypt frames after so many that were lost. Return how many were decrypted. */
static unsigned
decrypt(Receiving *all, MPPE *mppe, int lost, const Received *received, unsigned count)
{
    mppe_skip(mppe, (unsigned)lost);
    unsigned done = mppe_decrypt_run(mppe, received, count, &all->streams);
    streams_end(&all->streams);
    return done;
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
    unsigned done, good = 0;

    if (!session->decrypts)
        return 0;
    int lost = gap_packets(engine, session, run->frames[begin], run->ahead);
    if (lost < 0)
        return 0;
    unsigned count = encrypted(all, run, begin, frames);
    if (session->prepared != NULL) {
        saved = session->prepared->saved;
        done = session->prepared->done;
        session->prepared = NULL;
    }
    else {
        mppe_copy(&saved, mppe, &all->saved);
        done = decrypt(all, mppe, lost, frames, count);
    }
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
    if (good < done)
        /* Python begins with the frame that isn't good. */
        decrypt(all, mppe, lost, frames, good);
    if (run->ahead) {
        session->before = saved;
        session->believed = (saved.count + lost + 1) % MPPE_COUNTS;
    }
    received(engine, session, run, begin, good);
    pass(all, session, verdicts, packets, good);
    return good;
}

/* Do as run_gather() for a session whose frames aren't ordered, nor numbered unless the peer demands it:
 * up to one that is late. */
static void
gather_unordered(const Receiving *all, const Session *session, int at, Run *run)
{
    uint32_t expected = session->expected;

    for (run->count = 0; at >= 0 && all->frames[at].protocol; run->count++) {
        uint32_t number = all->frames[at].sequence;
        if ((session->window.doubted && number != L2TP_NO_NUMBER) || !l2tp_follows(&expected, number))
            break;
        run->places[run->count] = at;
        run->frames[run->count] = &all->frames[at];
        at = all->next[at];
    }
    run->next = at;
}

void
run_gather(const Receiving *all, const Session *session, int at, Run *run)
{
    const Window *window = &session->window;
    uint32_t sequence = session->expected + run->ahead;
    unsigned held = 0;

    if (session->tunnel == TUNNEL_L2TP) {
        gather_unordered(all, session, at, run);
        return;
    }
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

void
run_prepare(Receiving *all, Session *session, const Run *run)
{
    MPPE *mppe = &session->receiving_mppe;
    Received frames[BATCH];
    unsigned count = encrypted(all, run, 0, frames);

    if (count == 0 || !session->decrypts || mppe->stream != NULL)
        return;
    session->prepared = &all->prepared[all->preparing++];
    session->prepared->saved = *mppe;
    session->prepared->done = mppe_decrypt_run(mppe, frames, count, &all->streams);
}

int
run_handle(Engine *engine, Session *session, Run *run)
{
    Receiving *all = engine->receiving;
    unsigned done = 0, more = 1, held = 0;

    coalesce_begin(&all->coalescing, write_frame, engine, 1);
    for (; done < run->count && more; done += more)
        more = run->frames[done]->protocol == PPP_MPPE
                   ? handle_encrypted(engine, session, run, done)
                   : handle_clear(engine, session, run, done);
    coalesce_end(&all->coalescing);
    session_count(session, NOT_DELIVERED, all->coalescing.refused);
    for (unsigned i = 0; i < done; i++)
        held += run->places[i] < 0;
    if (held)
        window_free(session, held);
    for (unsigned i = run->count; i > done; i--)
        if (run->places[i - 1] >= 0)
            run->next = run->places[i - 1];
    return done == run->count;
}

