/*
 * Threads of the native data path under load, while another thread, in place of Python, takes
 * sessions and gives them back, adds and removes them, and changes routes. It is built with
 * ThreadSanitizer, and with AddressSanitizer. The input is made from the seed in the first argument;
 * the second one says how many threads there are. It returns 1 after the line number of a check that
 * failed.
 */

#define _GNU_SOURCE
#include <linux/sockios.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datagram.h"
#include "engine.h"
#include "ends.h"
#include "message.h"

/* The calls, of which so many are of PPTP, and the others of L2TP. */
#define CALLS 6
#define PPTP 3
#define ROUNDS 2500
#define LARGE 200
#define MOST 4

static const uint8_t PEER[4] = {192, 0, 2, 2};
/* The threads, and how many there are. */
static Engine *engines[MOST];
static unsigned threads;
/* The ends of the pairs: those of the peer and the kernel for each thread, and those that packets are
 * left by. */
static int gre[MOST], device[MOST], engine_gre[MOST], engine_device[MOST], gre_left, device_left;
static int engine_gre_left, engine_device_left;
/* The peer of L2TP, and the socket and the port of each thread. */
static int peer, engine_udp[MOST];
static struct sockaddr_in ours, theirs[MOST];
static unsigned port, udp_port;
static Session *sessions[CALLS];
static uint32_t sequences[CALLS];
/* What the peer encrypts with; a session is stateful if its number is odd. */
static MPPE mppes[CALLS];
static RC4 streams[CALLS];
static unsigned long long carried, held, lost, messages;

static void
drain(int descriptor)
{
    uint8_t octets[70000];

    while (recv(descriptor, octets, sizeof octets, 0) >= 0)
        ;
}

/* Write an IPv4 packet of a call, to it or from it, and return its size. */
static size_t
packet(uint8_t *octets, unsigned call, int to)
{
    size_t size = IPV4_HEADER + any(LARGE);

    address(octets, size, (uint8_t)(any(20) ? call : any(256)), to);
    octets[IPV4_PROTOCOL] = any(2) ? TCP_PROTOCOL : UDP_PROTOCOL;
    for (size_t i = IPV4_HEADER; i < size; i++)
        octets[i] = (uint8_t)any(256);
    packet_seal(octets, IPV4_HEADER);
    return size;
}

/* Send GRE to the thread that receives for a call, or sometimes to another one. */
static void
send_share(unsigned call, const uint8_t *octets, size_t size)
{
    unsigned share = any(50) ? sessions[call]->receiver : any(threads);

    send(gre[share], octets, size, 0);
}

/* Return a UDP socket, and set its address. */
static int
udp_socket(struct sockaddr_in *address)
{
    int made = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 1 << 20;
    socklen_t length = sizeof *address;

    CHECK(made >= 0);
    setsockopt(made, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(made, (struct sockaddr *)address, sizeof *address) == 0);
    CHECK(getsockname(made, (struct sockaddr *)address, &length) == 0);
    return made;
}

/* A packet that comes late. */
static uint8_t kept[IPV4_HEADER + 64 + LARGE + IPV4_HEADER];
static size_t kept_size;
static unsigned kept_call;

/* Have the peer send the next packet of a call, or something else. */
static void
send_gre(unsigned call)
{
    uint8_t all[sizeof kept], inner[IPV4_HEADER + LARGE];
    uint8_t *begin = all + IPV4_HEADER, *frame = begin + 12;
    static const uint8_t FIELD[2] = {0, 0x21};
    size_t size = packet(inner, call, 0);

    memset(all, 0, IPV4_HEADER);
    all[0] = 0x45;
    memcpy(all + IPV4_SOURCE, PEER, 4);
    frame[0] = 0;
    frame[1] = 0xFD;
    mppe_encrypt(&mppes[call], FIELD, 2, inner, size, frame + 2);
    size += 2 + 2 + MPPE_HEADER;
    gre_begin(frame, size, (uint16_t)call, sequences[call]++, NULL);
    if (any(30) == 0)
        sequences[call] += any(5);
    if (any(40) == 0)
        all[IPV4_HEADER + any(20)] ^= (uint8_t)any(256);
    if (any(50) == 0)
        size = any((unsigned)size);
    size += IPV4_HEADER + 12;
    if (kept_size && any(20) == 0) {
        send_share(kept_call, kept, kept_size);
        kept_size = 0;
    }
    if (kept_size == 0 && any(10) == 0) {
        memcpy(kept, all, size);
        kept_size = size;
        kept_call = call;
        /* It comes twice sometimes. */
        if (any(2))
            return;
    }
    send_share(call, all, size);
}

/* Have the peer send data messages of a call, several at once, with numbers or without. */
static void
send_l2tp(unsigned call)
{
    static uint8_t all[DATAGRAM_OCTETS];
    uint8_t inner[IPV4_HEADER + LARGE], header[L2TP_LONGEST];
    const Session *session = sessions[call];
    struct iovec vector = {all, 0};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    Control control;
    static const uint8_t FIELD[2] = {0, 0x21};
    unsigned share = any(50) ? session->receiver : any(threads), parts = any(3) ? 1 : any(40) + 1;
    size_t inner_size = packet(inner, call, 0), part = 0;

    for (unsigned i = 0; i < parts; i++) {
        uint32_t number = any(2) ? L2TP_NO_NUMBER : (sequences[call]++ - (any(20) == 0) * 3) & 0xFFFF;
        /* All of one message have the same size. */
        if (parts > 1)
            number = L2TP_NO_NUMBER;
        uint8_t *begin = l2tp_begin(header + sizeof header, (uint32_t)call << 16 | 7, number);
        size_t before = (size_t)(header + sizeof header - begin);
        uint8_t *at = all + vector.iov_len;
        memcpy(at, begin, before);
        at[before] = 0;
        at[before + 1] = 0xFD;
        mppe_encrypt(&mppes[call], FIELD, 2, inner, inner_size, at + before + 2);
        part = before + 2 + MPPE_HEADER + 2 + inner_size;
        if (any(40) == 0)
            at[any(8)] ^= (uint8_t)any(256);
        vector.iov_len += part;
    }
    if (any(50) == 0)
        vector.iov_len = any((unsigned)vector.iov_len);
    if (parts > 1) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message_split(&message, &control, (uint16_t)part);
        control.header.cmsg_level = IPPROTO_IP;
        control.header.cmsg_type = IP_PKTINFO;
        control.header.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    }
    message.msg_name = &theirs[share];
    message.msg_namelen = sizeof theirs[share];
    sendmsg(peer, &message, 0);
}

static void
send_tunnel(unsigned call)
{
    if (call < PPTP)
        send_gre(call);
    else
        send_l2tp(call);
}

/* Have the kernel send a packet or, with its VNet header, one to be split. */
static void
send_device(unsigned call)
{
    uint8_t octets[10 + IPV4_HEADER + LARGE];

    memset(octets, 0, 10);
    size_t size = packet(octets + 10, call, 1);
    if (any(5) == 0)
        for (unsigned i = 0; i < 10; i++)
            octets[i] = (uint8_t)any(64);
    send(device[any(threads)], octets, 10 + size, 0);
}

/* Take a session, as Python does, set its state as after another handshake, and give it back. */
static void
own(unsigned call)
{
    Session *session = sessions[call];
    uint8_t saved[MPPE_STATE], key[16];
    Network *network = &session->networks[NETWORK_IPV4];

    session_take(session);
    held += session->window.count;
    window_free(session, session->window.count);
    if (any(3) == 0) {
        for (unsigned i = 0; i < sizeof key; i++)
            key[i] = (uint8_t)any(256);
        mppe_start(&mppes[call], key, 16, 128, call & 1 ? &streams[call] : NULL);
        size_t size = mppe_save(&mppes[call], saved);
        CHECK(session_receive_mppe(session, saved, size) == 0);
        CHECK(session_send_mppe(session, saved, size) == 0);
        session->prefix_size = 2;
        session->expected = session->acknowledged = session->due = sequences[call];
        if (call >= PPTP) {
            session->expected = any(2) ? L2TP_NO_NUMBER : sequences[call] & 0xFFFF;
            session->sending = any(2) ? L2TP_NO_NUMBER : any(0x10000);
        }
    }
    network->open = any(10) != 0;
    network->clamp = 1;
    network->mtu = 150;
    permit(network, (uint8_t)call);
    if (any(8))
        session_give(session);
}

static void
count(unsigned call)
{
    lost += atomic_load(&sessions[call]->figures[LOST]);
    if (call >= PPTP)
        messages += atomic_load(&sessions[call]->figures[PACKETS_RECEIVED]);
    for (unsigned i = 0; i < FIGURES; i++)
        carried += atomic_exchange(&sessions[call]->figures[i], 0);
}

/* Begin a call, with a route to it. */
static void
begin(unsigned call)
{
    uint8_t address[4] = {10, 0, 0, (uint8_t)call};

    Ends ends = ends_of(call, 9);
    if (call >= PPTP) {
        ends = (Ends){.tunnel = TUNNEL_L2TP, .local_ids = call << 16 | 7, .peer_ids = 9};
        memcpy(ends.peer, &ours.sin_addr, 4);
        memcpy(ends.peer + 4, &ours.sin_port, 2);
        memcpy(ends.local, &ours.sin_addr, 4);
    }
    sessions[call] = session_new(call < PPTP ? port : udp_port, &ends, threads, threads);
    CHECK(sessions[call] != NULL);
    for (unsigned i = 0; i < threads; i++) {
        CHECK(engine_add(engines[i], sessions[call]) == 0);
        CHECK(engine_route(engines[i], 0, 0, address, sessions[call]) == 0);
    }
    own(call);
}

static void
end(unsigned call)
{
    uint8_t address[4] = {10, 0, 0, (uint8_t)call};

    count(call);
    for (unsigned i = 0; i < threads; i++)
        CHECK(engine_unroute(engines[i], 0, 0, address) == 0);
    session_take(sessions[call]);
    for (unsigned i = 0; i < threads; i++)
        CHECK(engine_remove(engines[i], sessions[call]) == 0);
}

/* Have a thread read its sockets. */
static void
connect_to(unsigned i)
{
    CHECK(engine_tun(engines[i], engine_device[i], 1, 1, engine_device_left) == 0);
    CHECK(engine_watch(engines[i], TUNNEL_GRE, engine_gre[i], 1, engine_gre_left) == (int)port);
    CHECK(engine_watch(engines[i], TUNNEL_L2TP, engine_udp[i], 1, engine_gre_left) == (int)udp_port);
}

/* Let a thread run until it has read what was sent to it, unless that takes long. */
static void
let_read(int sent)
{
    int queued = 1;

    for (unsigned i = 0; i < 1000 && queued; i++) {
        CHECK(ioctl(sent, SIOCOUTQ, &queued) == 0);
        sched_yield();
    }
}

static void
round_of(unsigned call)
{
    /* Now and then there are so many that they wait in lanes. */
    unsigned most = any(10) ? 40 : 500;

    for (unsigned i = any(most); i > 0; i--)
        send_tunnel(any(10) ? call : any(CALLS));
    for (unsigned i = any(most); i > 0; i--)
        send_device(any(3) ? call : any(CALLS));
    for (unsigned i = 0; i < threads && any(4); i++) {
        let_read(gre[i]);
        let_read(device[i]);
    }
    switch (any(8)) {
    case 0:
        end(call);
        begin(call);
        break;
    case 1:
        for (unsigned i = 0; i < threads; i++) {
            CHECK(engine_forget(engines[i], port) == 0);
            CHECK(engine_forget(engines[i], udp_port) == 0);
            connect_to(i);
        }
        break;
    default:
        own(call);
    }
    count(call);
    for (unsigned i = 0; i < threads; i++) {
        drain(gre[i]);
        drain(device[i]);
    }
    drain(peer);
    drain(gre_left);
    drain(device_left);
}

static void
start(void)
{
    for (unsigned i = 0; i < threads; i++)
        CHECK(engine_start(engines[i]) == 0);
}

static void
stop(void)
{
    for (unsigned i = 0; i < threads; i++)
        engine_stop(engines[i]);
}

int
main(int arguments, char **words)
{
    CHECK(arguments == 3);
    state = strtoull(words[1], NULL, 10) * 2 + 1;
    threads = (unsigned)strtoul(words[2], NULL, 10);
    CHECK(threads > 0 && threads <= MOST);
    pair(&gre_left, &engine_gre_left);
    pair(&device_left, &engine_device_left);
    udp_port = 1;
    peer = udp_socket(&ours);
    for (unsigned i = 0; i < threads; i++) {
        int on = 1;
        engine_udp[i] = udp_socket(&theirs[i]);
        CHECK(setsockopt(engine_udp[i], IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0);
        pair(&gre[i], &engine_gre[i]);
        pair(&device[i], &engine_device[i]);
        CHECK((engines[i] = engine_new(i)) != NULL);
        atomic_store(&engines[i]->time, 1000000000);
        connect_to(i);
    }
    for (unsigned call = 0; call < CALLS; call++)
        begin(call);
    start();
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned call = any(CALLS);
        if (any(500) == 0) {
            stop();
            start();
        }
        round_of(call);
        unsigned long long later = any(100) * 1000000ull;
        for (unsigned each = 0; each < threads; each++)
            atomic_fetch_add(&engines[each]->time, later);
    }
    for (unsigned call = 0; call < CALLS; call++)
        end(call);
    stop();
    for (unsigned i = 0; i < threads; i++) {
        CHECK(engines[i]->sessions.used == 0 && engines[i]->routes.table.used == 0);
        engine_free(engines[i]);
    }
    CHECK(carried > ROUNDS && messages > ROUNDS / 10);
    CHECK(held > ROUNDS / 10 && lost > ROUNDS / 10);
    printf("carried\n");
    return 0;
}
