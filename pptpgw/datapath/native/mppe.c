#include "mppe.h"

#include <string.h>

#include "sha1.h"

#define FLUSHED 0x8000
#define ENCRYPTED 0x1000
#define FLAGS 0xF000
#define RESETS 8

/* ---- keys (RFC 3079 sections 2 and 3, RFC 3078 section 7) ---- */

/* Give a key of 8 octets the length that RC4 takes. */
static void
repeat(uint8_t key[RC4_KEY], unsigned length)
{
    if (length < RC4_KEY)
        memcpy(key + length, key, RC4_KEY - length);
}

/* GetNewKeyFromSHA: the first octets of SHA-1 over both keys and the two pads. */
static void
new_key(const MPPE *mppe, uint8_t key[RC4_KEY])
{
    uint8_t message[2 * SHA1_BLOCK];
    uint32_t state[5];
    unsigned length = mppe->length, total = 2 * length + 80;

    memset(message, 0, sizeof message);
    memcpy(message, mppe->start, length);
    memcpy(message + length + 40, mppe->session, length);
    memset(message + 2 * length + 40, 0xF2, 40);
    message[total] = 0x80;
    message[126] = (uint8_t)(total * 8 >> 8);
    message[127] = (uint8_t)(total * 8);
    sha1_start(state);
    sha1_blocks(state, message, 2);
    for (unsigned i = 0; i < length; i++)
        key[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    repeat(key, length);
}

/* Replace the first octets of a session key of 40 or 56 bits by fixed ones. */
static void
salt(MPPE *mppe)
{
    static const uint8_t SALT[3] = {0xD1, 0x26, 0x9E};

    if (mppe->bits == 40)
        memcpy(mppe->session, SALT, 3);
    else if (mppe->bits == 56)
        mppe->session[0] = SALT[0];
    repeat(mppe->session, mppe->length);
}

/* Change to the next session key: the new key, encrypted with itself by rc4, which begins with it. */
static void
adopt(MPPE *mppe, RC4 *rc4, const uint8_t interim[RC4_KEY])
{
    rc4_apply(rc4, interim, mppe->session, mppe->length);
    salt(mppe);
    mppe->rekeys++;
}

static void
change_key(MPPE *mppe)
{
    uint8_t interim[RC4_KEY];
    RC4 rc4;

    new_key(mppe, interim);
    rc4_key(&rc4, interim);
    adopt(mppe, &rc4, interim);
}

/* Begin RC4 for the next packet in stateless mode. Since its key is there already, the table that the
 * key after it needs is made at the same time. */
static void
begin_stateless(MPPE *mppe, RC4 *rc4)
{
    uint8_t interim[RC4_KEY];
    RC4 other;

    new_key(mppe, interim);
    rc4_keys(rc4, mppe->session, &other, interim);
    adopt(mppe, &other, interim);
}

/* Initialize RC4 with the session key (stateful). */
static void
initialize(MPPE *mppe)
{
    rc4_key(mppe->stream, mppe->session);
}

int
mppe_fits(size_t length, int bits)
{
    return (length == 8 && (bits == 40 || bits == 56)) || (length == 16 && bits == 128);
}

void
mppe_start(MPPE *mppe, const uint8_t *key, size_t length, int bits, RC4 *stream)
{
    uint8_t session[RC4_KEY];

    mppe->stream = stream;
    mppe->length = (uint8_t)length;
    mppe->bits = (uint8_t)bits;
    mppe->pending = 0;
    mppe->count = MPPE_COUNTS - 1;
    mppe->rekeys = 0;
    memcpy(mppe->start, key, length);
    memcpy(mppe->session, key, length);
    new_key(mppe, session);
    memcpy(mppe->session, session, length);
    salt(mppe);
    if (stream != NULL)
        initialize(mppe);
    else {
        change_key(mppe);
        mppe->rekeys = 0;
    }
}

void
mppe_copy(MPPE *mppe, const MPPE *other, RC4 *stream)
{
    *mppe = *other;
    if (other->stream != NULL) {
        *stream = *other->stream;
        mppe->stream = stream;
    }
}

static void
overwrite(void *secret, size_t size)
{
    /* Compilers may leave out what they see isn't read again, unless it is volatile. */
    volatile uint8_t *octets = secret;

    for (size_t i = 0; i < size; i++)
        octets[i] = 0;
}

void
mppe_forget(MPPE *mppe)
{
    overwrite(mppe->start, sizeof mppe->start);
    overwrite(mppe->session, sizeof mppe->session);
    if (mppe->stream != NULL)
        overwrite(mppe->stream, sizeof *mppe->stream);
}

/* ---- sending ---- */

/* Write the header of the next packet to send, for which RC4 is made ready: rc4, or the stream that
 * goes on. Return the one of both. */
static RC4 *
begin_packet(MPPE *mppe, uint8_t *frame, RC4 *rc4)
{
    unsigned flags = ENCRYPTED;
    unsigned count = (mppe->count + 1) % MPPE_COUNTS;

    if (mppe->pending) {
        count |= 0xFF;
        mppe->pending = 0;
    }
    if (mppe->stream == NULL) {
        begin_stateless(mppe, rc4);
        flags |= FLUSHED;
    }
    else {
        rc4 = mppe->stream;
        if ((count & 0xFF) == 0xFF) {
            change_key(mppe);
            initialize(mppe);
            flags |= FLUSHED;
        }
    }
    mppe->count = (uint16_t)count;
    frame[0] = (uint8_t)((flags | count) >> 8);
    frame[1] = (uint8_t)count;
    return rc4;
}

void
mppe_begin(MPPE *mppe, uint8_t *frame, RC4 *rc4)
{
    begin_packet(mppe, frame, rc4);
}

void
mppe_encrypt(MPPE *mppe, const uint8_t *protocol, size_t protocol_size, const uint8_t *packet,
             size_t packet_size, uint8_t *frame)
{
    RC4 own, *rc4 = begin_packet(mppe, frame, &own);

    frame += MPPE_HEADER;
    rc4_apply(rc4, protocol, frame, protocol_size);
    rc4_apply(rc4, packet, frame + protocol_size, packet_size);
}

void
mppe_reset(MPPE *mppe)
{
    mppe->pending = mppe->stream != NULL;
}

/* ---- receiving ---- */

/* The header of a frame, of which there must be two octets. */
typedef struct {
    unsigned flags, count;
    int flushed;
    /* Whether the count is one at which the key changes in stateful mode. */
    int flag;
} Header;

static Header
read_header(const uint8_t *frame)
{
    unsigned both = (unsigned)frame[0] << 8 | frame[1];
    Header header = {.flags = both & FLAGS, .count = both & (MPPE_COUNTS - 1)};

    header.flushed = (both & FLUSHED) != 0;
    header.flag = (both & 0xFF) == 0xFF;
    return header;
}

/* Return whether these octets begin like an IP packet after its PPP protocol number. */
static int
looks_like_ip(const uint8_t *plain, size_t length)
{
    if (length > 0 && plain[0] == 0) {
        plain++;
        length--;
    }
    return length > 1
           && ((plain[0] == 0x21 && plain[1] >> 4 == 4) || (plain[0] == 0x57 && plain[1] >> 4 == 6));
}

int
mppe_check(const MPPE *mppe, const uint8_t *frame, size_t size)
{
    /* At least one octet of ciphertext must follow the header. */
    if (size <= MPPE_HEADER)
        return MPPE_MALFORMED;

    Header header = read_header(frame);
    if ((header.flags & ~(unsigned)FLUSHED) != ENCRYPTED || (!header.flushed && mppe->stream == NULL))
        return MPPE_MALFORMED;
    if (header.count != (mppe->count + 1u) % MPPE_COUNTS)
        return MPPE_SKIPPED;
    if (!header.flushed && mppe->pending)
        return MPPE_LOST;
    return 0;
}

/* Take note of a frame that is about to be decrypted. */
static Header
accept(MPPE *mppe, const uint8_t *frame)
{
    Header header = read_header(frame);

    mppe->count = (uint16_t)header.count;
    mppe->pending = 0;
    return header;
}

/* Begin the stream of a frame in stateless mode. */
static void
begin_stream(MPPE *mppe, const Received *received, Stream *stream)
{
    accept(mppe, received->frame);
    begin_stateless(mppe, &stream->rc4);
    stream->from = received->frame + MPPE_HEADER;
    stream->to = received->plain;
    stream->size = received->size - MPPE_HEADER;
}

/* Decrypt a flushed packet by Linux's way, in stateful mode. Return whether it is one of IP then; if
 * not, nothing but plain has changed. */
static int
decrypt_as_linux(MPPE *mppe, const uint8_t *from, uint8_t *plain, size_t length)
{
    RC4 stream;
    MPPE changed;

    mppe_copy(&changed, mppe, &stream);
    for (int tries = 0; tries < RESETS; tries++) {
        change_key(&changed);
        initialize(&changed);
        rc4_apply(&stream, from, plain, length);
        if (looks_like_ip(plain, length)) {
            mppe_copy(mppe, &changed, mppe->stream);
            return 1;
        }
    }
    return 0;
}

static void
decrypt_stateful(MPPE *mppe, const Received *received)
{
    Header header = accept(mppe, received->frame);
    const uint8_t *from = received->frame + MPPE_HEADER;
    uint8_t *plain = received->plain;
    size_t length = received->size - MPPE_HEADER;

    if (header.flag)
        change_key(mppe);
    if (header.flushed || header.flag)
        initialize(mppe);
    rc4_apply(mppe->stream, from, plain, length);
    if (header.flushed && !header.flag && !looks_like_ip(plain, length)
        && !decrypt_as_linux(mppe, from, plain, length)) {
        initialize(mppe);
        rc4_apply(mppe->stream, from, plain, length);
    }
}

void
mppe_decrypt(MPPE *mppe, const Received *received)
{
    if (mppe->stream != NULL)
        decrypt_stateful(mppe, received);
    else {
        Stream stream;
        begin_stream(mppe, received, &stream);
        rc4_streams(&stream, 1);
    }
}

unsigned
mppe_decrypt_run(MPPE *mppe, const Received *received, unsigned count, Streams *streams)
{
    unsigned done = 0;

    for (; done < count && !mppe_check(mppe, received->frame, received->size); done++, received++)
        if (mppe->stream != NULL)
            decrypt_stateful(mppe, received);
        else
            begin_stream(mppe, received, streams_add(streams));
    return done;
}

void
mppe_skip(MPPE *mppe, unsigned long packets)
{
    unsigned long changes = packets;

    if (mppe->stream != NULL && packets > 0) {
        changes = ((mppe->count + packets + 1) >> 8) - ((mppe->count + 1ul) >> 8);
        mppe->pending = 1;
    }
    for (; changes > 0; changes--)
        change_key(mppe);
    mppe->count = (uint16_t)((mppe->count + packets) % MPPE_COUNTS);
}
