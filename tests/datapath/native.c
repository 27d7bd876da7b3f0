/*
 * Tests of pptpgw/datapath/native: vectors of the standards, and the fast ways compared with the plain
 * ones, on input made from the seed in the first argument. It prints in which ways SHA-1 was computed,
 * and returns 1 after the line number of a check that failed.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "coalesce.h"
#include "l2tp.h"
#include "mppe.h"
#include "packet.h"
#include "sha1.h"

#define LARGEST 1600
#define FRAMES 40

static void
fill(uint8_t *octets, size_t size)
{
    for (size_t i = 0; i < size; i++)
        octets[i] = (uint8_t)any(256);
}

/* Fill memory of exactly this size, so that the sanitizer sees what is read beyond. */
static uint8_t *
made(size_t size)
{
    uint8_t *octets = malloc(size + !size);

    CHECK(octets != NULL);
    fill(octets, size);
    return octets;
}

/* ---- SHA-1 ---- */

typedef void Blocks(uint32_t state[5], const uint8_t *octets, unsigned blocks);

static void
sha1(Blocks *blocks)
{
    /* FIPS 180-4's example "abc". */
    static const uint32_t ABC[5] = {0xA9993E36u, 0x4706816Au, 0xBA3E2571u, 0x7850C26Cu, 0x9CD0D89Du};
    uint8_t message[SHA1_BLOCK] = {'a', 'b', 'c', 0x80};
    uint32_t one[5], other[5];

    message[63] = 24;
    sha1_start(one);
    blocks(one, message, 1);
    CHECK(memcmp(one, ABC, sizeof one) == 0);
    for (int turn = 0; turn < 200; turn++) {
        unsigned count = any(4);
        uint8_t *octets = made(count * SHA1_BLOCK);
        fill((uint8_t *)one, sizeof one);
        memcpy(other, one, sizeof one);
        blocks(one, octets, count);
        sha1_portable(other, octets, count);
        CHECK(memcmp(one, other, sizeof one) == 0);
        free(octets);
    }
}

/* ---- RC4 ---- */

/* RC4 as in textbooks. */
static void
textbook(const uint8_t *key, unsigned length, const uint8_t *from, uint8_t *to, size_t size)
{
    uint8_t table[256], swapped;
    unsigned i, j = 0;

    for (i = 0; i < 256; i++)
        table[i] = (uint8_t)i;
    for (i = 0; i < 256; i++) {
        j = (j + table[i] + key[i % length]) % 256;
        swapped = table[i], table[i] = table[j], table[j] = swapped;
    }
    i = j = 0;
    for (size_t n = 0; n < size; n++) {
        i = (i + 1) % 256;
        j = (j + table[i]) % 256;
        swapped = table[i], table[i] = table[j], table[j] = swapped;
        to[n] = from[n] ^ table[(table[i] + table[j]) % 256];
    }
}

static void
rc4(void)
{
    uint8_t expected[LARGEST], *from[RC4_STREAMS], *to[RC4_STREAMS], keys[RC4_STREAMS][RC4_KEY];
    Stream streams[RC4_STREAMS];
    RC4 one, other;

    for (unsigned turn = 0; turn < 400; turn++) {
        unsigned count = turn % (RC4_STREAMS + 1), limit = turn % 3 ? 70 : LARGEST;
        for (unsigned each = 0; each < count; each++) {
            size_t size = turn % 5 ? any(limit) : limit - 1;
            fill(keys[each], RC4_KEY);
            if (turn & 1)
                /* A key of 8 octets is repeated. */
                memcpy(keys[each] + 8, keys[each], 8);
            from[each] = made(size);
            to[each] = made(size);
            rc4_key(&streams[each].rc4, keys[each]);
            streams[each].from = from[each], streams[each].to = to[each], streams[each].size = size;
        }
        rc4_streams(streams, count);
        for (unsigned each = 0; each < count; each++) {
            size_t size = streams[each].size, piece = any((unsigned)size + 1);
            textbook(keys[each], turn & 1 ? 8 : 16, from[each], expected, size);
            CHECK(memcmp(to[each], expected, size) == 0);
            /* The same in two pieces, with a table that was made beside another one. */
            rc4_keys(&one, keys[each], &other, keys[0]);
            rc4_apply(&one, from[each], to[each], piece);
            rc4_apply(&one, from[each] + piece, to[each] + piece, size - piece);
            CHECK(memcmp(to[each], expected, size) == 0);
            textbook(keys[0], RC4_KEY, from[each], expected, size);
            rc4_apply(&other, from[each], to[each], size);
            CHECK(memcmp(to[each], expected, size) == 0);
            free(from[each]);
            free(to[each]);
        }
    }
}

/* ---- MPPE ---- */

/* RFC 3079 section 3.5. For 56 bits the RFC prints 58 as the last octet, which RC4 with the key that
 * it prints doesn't yield. */
static const uint8_t START[16] = {0x8B, 0x7C, 0xDC, 0x14, 0x9B, 0x99, 0x3A, 0x1B,
                                  0xA1, 0x18, 0xCB, 0x15, 0x3F, 0x56, 0xDC, 0xCB};
static const struct {
    int bits;
    unsigned length;
    uint8_t ciphertext[12];
} VECTORS[] = {
    {40, 8, {0x92, 0x91, 0x37, 0x91, 0x7E, 0x58, 0x03, 0xD6, 0x68, 0xD7, 0x58, 0x98}},
    {56, 8, {0x3F, 0x10, 0x68, 0x33, 0xFA, 0x44, 0x8D, 0xA8, 0x42, 0xBC, 0x57, 0xB8}},
    {128, 16, {0x81, 0x84, 0x83, 0x17, 0xDF, 0x68, 0x84, 0x62, 0x72, 0xFB, 0x5A, 0xBE}},
};

static void
vectors(void)
{
    uint8_t frame[MPPE_HEADER + 12], plain[12];
    Streams streams = {.count = 0};
    RC4 sent, read;
    MPPE mppe;

    for (int i = 0; i < 3; i++) {
        mppe_start(&mppe, START, VECTORS[i].length, VECTORS[i].bits, &sent);
        mppe_encrypt(&mppe, (const uint8_t *)"te", 2, (const uint8_t *)"st message", 10, frame);
        CHECK(frame[0] == 0x10 && frame[1] == 0);
        CHECK(memcmp(frame + MPPE_HEADER, VECTORS[i].ciphertext, 12) == 0);
        Received received = {frame, sizeof frame, plain};
        mppe_start(&mppe, START, VECTORS[i].length, VECTORS[i].bits, &read);
        CHECK(mppe_decrypt_run(&mppe, &received, 1, &streams) == 1);
        streams_end(&streams);
        CHECK(memcmp(plain, "test message", 12) == 0);
    }
}

static int
same(const MPPE *one, const MPPE *other)
{
    return one->count == other->count && one->rekeys == other->rekeys
           && one->pending == other->pending
           && memcmp(one->session, other->session, sizeof one->session) == 0
           && (one->stream == NULL
               || (one->stream->i == other->stream->i && one->stream->j == other->stream->j
                   && memcmp(one->stream->table, other->stream->table, 1024) == 0));
}

/* Runs, in which frames are lost, doubled and altered, against the same frames one by one. */
static void
runs(void)
{
    Received received[FRAMES], alone;
    uint8_t *packets[FRAMES];
    size_t sizes[FRAMES];
    Streams streams = {.count = 0};
    RC4 sent, first, second, third;
    MPPE sender, one, other, copy;

    for (unsigned turn = 0; turn < 150; turn++) {
        int i = (int)any(3), stateful = turn & 1;
        mppe_start(&sender, START, VECTORS[i].length, VECTORS[i].bits, stateful ? &sent : NULL);
        mppe_start(&one, START, VECTORS[i].length, VECTORS[i].bits, stateful ? &first : NULL);
        mppe_start(&other, START, VECTORS[i].length, VECTORS[i].bits, stateful ? &second : NULL);
        for (unsigned each = 0; each < FRAMES; each++) {
            size_t size = sizes[each] = any(turn % 3 ? 70 : LARGEST) + 1;
            packets[each] = made(size);
            uint8_t *frame = made(size + MPPE_HEADER);
            if (any(20) == 0)
                mppe_reset(&sender);
            mppe_encrypt(&sender, packets[each], 1, packets[each] + 1, size - 1, frame);
            if (any(40) == 0)
                /* One packet is lost, and never missed. */
                mppe_encrypt(&sender, packets[each], 1, packets[each] + 1, size - 1, frame);
            if (any(40) == 0)
                frame[any(2)] ^= (uint8_t)(1 << any(8));
            received[each] = (Received){frame, size + MPPE_HEADER, made(size)};
        }
        for (unsigned begin = 0; begin < FRAMES;) {
            unsigned length = any(FRAMES - begin) + 1, done;
            done = mppe_decrypt_run(&one, received + begin, length, &streams);
            streams_end(&streams);
            CHECK(done <= length);
            CHECK(done == length
                  || mppe_check(&one, received[begin + done].frame, received[begin + done].size));
            for (unsigned each = begin; each < begin + done; each++) {
                uint8_t *plain = made(sizes[each]);
                alone = (Received){received[each].frame, received[each].size, plain};
                CHECK(mppe_check(&other, alone.frame, alone.size) == 0);
                mppe_decrypt(&other, &alone);
                CHECK(memcmp(plain, received[each].plain, sizes[each]) == 0);
                free(plain);
            }
            CHECK(same(&one, &other));
            /* Go on behind what was refused, by a copy. */
            begin += done;
            mppe_copy(&copy, &one, &third);
            CHECK(same(&one, &copy));
            if (done < length && begin < FRAMES) {
                unsigned skipped = any(3);
                mppe_skip(&copy, skipped);
                mppe_skip(&other, skipped);
                mppe_copy(&one, &copy, &first);
                CHECK(same(&one, &other));
                begin++;
            }
        }
        for (unsigned each = 0; each < FRAMES; each++) {
            free(packets[each]);
            free((uint8_t *)received[each].frame);
            free(received[each].plain);
        }
        mppe_forget(&one);
        for (unsigned octet = 0; octet < RC4_KEY; octet++)
            CHECK(one.start[octet] == 0 && one.session[octet] == 0);
    }
}

/* ---- joined datagrams ---- */

#define DATAGRAMS 5
#define DATAGRAM 100

typedef struct {
    const uint8_t *packets;
    unsigned refused, written;
} Kernel;

/* A kernel that doesn't know joined datagrams. */
static ssize_t
write_to(void *context, const struct iovec *frame, int vectors)
{
    Kernel *kernel = context;
    VNet vnet;

    memcpy(&vnet, frame[0].iov_base, VNET_SIZE);
    if (vnet.kind == VNET_UDP) {
        kernel->refused++;
        errno = EINVAL;
        return -1;
    }
    CHECK(vectors == 2 && vnet.kind == VNET_WHOLE && frame[1].iov_len == DATAGRAM);
    CHECK(memcmp(frame[1].iov_base, kernel->packets + DATAGRAM * kernel->written++, DATAGRAM) == 0);
    return DATAGRAM;
}

/* Datagrams are written one by one where the kernel refuses joined ones, which is tried once. */
static void
apart(void)
{
    static const uint8_t HEADER[IPV4_HEADER] = {0x45, 0, 0, DATAGRAM, 0, 0, 0x40, 0, 64, 17};
    const uint16_t length = DATAGRAM - IPV4_HEADER;
    uint8_t *packets = made(DATAGRAMS * DATAGRAM);
    Coalescing *coalescing = calloc(1, sizeof *coalescing);

    CHECK(coalescing != NULL);
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        uint8_t *packet = packets + DATAGRAM * i, *udp = packet + IPV4_HEADER;
        memcpy(packet, HEADER, IPV4_HEADER);
        packet_seal(packet, IPV4_HEADER);
        memset(udp, 0, UDP_HEADER);
        packet_put_word(udp + UDP_LENGTH, length);
        uint64_t sum = (uint64_t)packet_network(UDP_PROTOCOL) + packet_network(length);
        uint16_t word = (uint16_t)~checksum_fold(checksum_add(sum, udp, length));
        memcpy(udp + VNET_UDP_OFFSET, &word, 2);
    }
    for (unsigned turn = 0; turn < 2; turn++) {
        Kernel kernel = {packets, 0, 0};
        coalesce_begin(coalescing, write_to, &kernel, 0);
        for (unsigned i = 0; i < DATAGRAMS; i++)
            coalesce_add(coalescing, packets + DATAGRAM * i, DATAGRAM);
        coalesce_end(coalescing);
        CHECK(kernel.refused == (turn == 0) && kernel.written == DATAGRAMS);
        CHECK(coalescing->refused == 0);
    }
    free(coalescing);
    free(packets);
}

/* ---- L2TP ---- */

/* Whatever a data message has, its frame lies within its own octets, and one that is sent is read. */
static void
messages(void)
{
    unsigned found = 0;

    for (int turn = 0; turn < 20000; turn++) {
        size_t size = any(64);
        uint8_t *octets = made(size);
        Frame frame;
        if (size > 1 && any(4)) {
            octets[0] &= 0x4B;
            octets[1] = 2;
        }
        if (size > 3 && any(2)) {
            octets[2] = 0;
            octets[3] = (uint8_t)(size - any(4));
        }
        int kind = l2tp_parse(octets, size, &frame);
        if (kind == FRAME_FOUND) {
            CHECK(frame.information > octets && frame.information + frame.length <= octets + size);
            CHECK(frame.protocol & 1 && frame.sequence <= L2TP_NO_NUMBER);
            found++;
        }
        CHECK(kind == FRAME_CONTROL || size < 6 || octets[0] < 0x80);
        free(octets);
    }
    CHECK(found > 500);
    for (uint32_t number = 0xFFF0; number <= L2TP_NO_NUMBER; number++) {
        uint8_t octets[L2TP_LONGEST + 4] = {0};
        uint8_t *frame = octets + L2TP_LONGEST, *begin = l2tp_begin(frame, 0x12345678, number);
        Frame read;
        memcpy(frame, "\xff\x03\x21x", 4);
        CHECK(l2tp_parse(begin, (size_t)(frame + 4 - begin), &read) == FRAME_FOUND);
        CHECK(read.key == 0x12345678 && read.sequence == number && read.protocol == 0x21);
        CHECK(read.length == 1 && *read.information == 'x');
    }
}

int
main(int count, char **arguments)
{
    state = count > 1 ? strtoull(arguments[1], NULL, 10) : 1;
    state = state * 2654435761u + 88172645463325252u;
    sha1(sha1_portable);
    sha1(sha1_blocks);
    printf("portable");
#ifdef SHA1_INSTRUCTIONS
    if (sha1_has_instructions()) {
        sha1(sha1_instructions);
        printf(" instructions");
    }
#endif
    printf("\n");
    rc4();
    vectors();
    runs();
    apart();
    messages();
    return 0;
}
