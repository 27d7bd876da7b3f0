#define _GNU_SOURCE
#include "outgoing.h"

#include <errno.h>
#include <string.h>

#include "datagram.h"

/* For how many nanoseconds datagrams to a peer are sent one by one after the system refused to make them
 * of one message, as it does if they are larger than the MTU or meet IPsec. */
#define APART 10000000000u

/* Count what became of so many packets. */
static void
count_packets(Engine *engine, const Outgoing *all, size_t at, size_t packets, int error)
{
    size_t end = at + packets;

    while (at < end) {
        Session *session = all->sessions[at];
        unsigned count = 0;
        unsigned long long octets = 0;
        for (; at < end && all->sessions[at] == session; count++)
            octets += all->octets[at++];
        if (!error) {
            session_count(session, FRAMES_SENT, count);
            session_count(session, PACKETS_SENT, count);
            session_count(session, OCTETS_SENT, octets);
            continue;
        }
        session_count(session, NOT_SENT, count);
        if (session->tunnel == TUNNEL_GRE)
            engine_event(engine, GRE_NOT_SENT, error, count);
    }
}

/* Return whether a session's packet, which is the next one, may be a part of the last message: both are
 * datagrams between the same ends, and no part before is smaller than the first one, or this one larger. */
static int
continues(const Engine *engine, const Outgoing *all, const Session *session)
{
    if (session->tunnel != TUNNEL_L2TP || all->count == 0 || session->apart > engine->now)
        return 0;
    const struct msghdr *message = &all->messages[all->number - 1].msg_hdr;
    const Session *before = all->sessions[all->count - 1];
    size_t part = message->msg_iov->iov_len, size = all->vectors[all->count].iov_len;
    return size <= part && all->vectors[all->count - 1].iov_len == part
           && message->msg_iovlen < DATAGRAM_PARTS
           && message->msg_iovlen * part + size <= DATAGRAM_OCTETS
           && (before == session
               || (memcmp(&before->peer, &session->peer, sizeof session->peer) == 0
                   && memcmp(&before->local, &session->local, sizeof session->local) == 0));
}

void
outgoing_add(Engine *engine, Outgoing *all, Session *session, uint8_t *packet, size_t size,
             size_t octets)
{
    struct iovec *vector = &all->vectors[all->count];

    *vector = (struct iovec){packet, size};
    if (continues(engine, all, session)) {
        struct msghdr *message = &all->messages[all->number - 1].msg_hdr;
        message->msg_iovlen++;
        message_split(message, &all->controls[all->number - 1], (uint16_t)message->msg_iov->iov_len);
    }
    else {
        all->port = session->port;
        message_address(&all->messages[all->number].msg_hdr, &engine->ports[session->port], session,
                        vector, &all->controls[all->number]);
        all->number++;
    }
    all->sessions[all->count] = session;
    all->octets[all->count++] = octets;
}

/* Send the packets of a message one by one, and do so with those that follow for a while. */
static void
send_apart(Engine *engine, Outgoing *all, size_t at, size_t packets)
{
    const Port *port = &engine->ports[all->port];
    struct msghdr message;
    Control control;

    for (size_t end = at + packets; at < end; at++) {
        all->sessions[at]->apart = engine->now + APART;
        message_address(&message, port, all->sessions[at], &all->vectors[at], &control);
        ssize_t sent = sendmsg(port->descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        count_packets(engine, all, at, 1, sent < 0 ? errno : 0);
    }
}

void
outgoing_send(Engine *engine, Outgoing *all)
{
    int descriptor = engine->ports[all->port].descriptor;
    size_t at = 0;

    for (unsigned i = 0; i < all->number;) {
        int sent = sendmmsg(descriptor, all->messages + i, all->number - i,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        int error = sent > 0 ? 0 : errno;
        int refused = error == EIO || error == EINVAL || error == EMSGSIZE;
        for (unsigned end = i + (unsigned)(sent > 0 ? sent : 1); i < end; i++) {
            size_t packets = all->messages[i].msg_hdr.msg_iovlen;
            if (refused && packets > 1)
                send_apart(engine, all, at, packets);
            else
                count_packets(engine, all, at, packets, error);
            at += packets;
        }
    }
    all->number = all->count = 0;
}
