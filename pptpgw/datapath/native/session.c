#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "packet.h"

/* Return the number of the thread that receives, of so many: the sum of the words of the peer's address,
 * and of what tells several calls from there apart before they are parsed. */
static unsigned
receiver(const Ends *ends, unsigned receiving)
{
    unsigned sum = packet_word(ends->peer) + packet_word(ends->peer + 2);

    sum += ends->tunnel == TUNNEL_GRE ? ends->local_ids : packet_word(ends->peer + 4);
    return sum % receiving;
}

Session *
session_new(unsigned port, const Ends *ends, unsigned threads, unsigned receiving)
{
    size_t size = sizeof(Session) + threads * sizeof(Outward);
    Session *session = aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE);

    if (session == NULL)
        return NULL;
    memset(session, 0, size);
    atomic_init(&session->owner, OWNER_PYTHON);
    atomic_init(&session->threads, threads);
    session->tunnel = ends->tunnel;
    session->receiver = receiver(ends, receiving);
    session->key = ends->local_ids;
    if (ends->tunnel == TUNNEL_GRE)
        session->key |= (uint64_t)packet_number(ends->peer) << 16;
    session->peer.sin_family = AF_INET;
    memcpy(&session->peer.sin_addr, ends->peer, 4);
    memcpy(&session->peer.sin_port, ends->peer + 4, 2);
    memcpy(&session->local, ends->local, 4);
    session->ids = ends->peer_ids;
    session->port = port;
    session->first = -1;
    session->believed = -1;
    session->acknowledging.owner = session->looking.owner = session;
    session->empty[0] = 0x45;
    memcpy(session->empty + IPV4_SOURCE, ends->peer, 4);
    gre_acknowledge(session->empty + IPV4_HEADER, (uint16_t)ends->local_ids, 0);
    return session;
}

void
session_release(Session *session)
{
    if (atomic_fetch_sub_explicit(&session->threads, 1, memory_order_acq_rel) > 1)
        return;
    mppe_forget(&session->sending_mppe);
    mppe_forget(&session->receiving_mppe);
    mppe_forget(&session->before);
    window_free(session, session->window.count);
    free(session->streams);
    free(session);
}

/* Set one state, whose stream is at a place of streams. Return whether there is one, or -1. */
static int
set_state(Session *session, MPPE *mppe, unsigned place, const uint8_t *state, size_t size)
{
    if (size == 0)
        return 0;
    if (mppe_is_stateful(size) && session->streams == NULL) {
        session->streams = calloc(2, sizeof *session->streams);
        if (session->streams == NULL)
            return -1;
    }
    RC4 *stream = session->streams == NULL ? NULL : session->streams + place;
    return mppe_restore(mppe, state, size, stream) < 0 ? -1 : 1;
}

int
session_send_mppe(Session *session, const uint8_t *state, size_t size)
{
    int set = set_state(session, &session->sending_mppe, 0, state, size);

    session->encrypts = set > 0;
    return set < 0 ? -1 : 0;
}

int
session_receive_mppe(Session *session, const uint8_t *state, size_t size)
{
    int set = set_state(session, &session->receiving_mppe, 1, state, size);

    session->decrypts = set > 0;
    return set < 0 ? -1 : 0;
}
