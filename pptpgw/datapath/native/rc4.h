/*
 * The stream cipher RC4: one stream, whose state is kept, or several at once. A step of a stream waits
 * for the step before it, so a processor does several streams in little more time than one.
 */

#ifndef PPTPGW_RC4_H
#define PPTPGW_RC4_H

#include <stddef.h>
#include <stdint.h>

/* The entries of the table are words and not octets, which makes all loops a third faster. */
typedef struct {
    uint32_t table[256];
    uint8_t i, j;
} RC4;

/* The number of octets of a key. A shorter one is repeated, which gives the same table. */
#define RC4_KEY 16

/* Begin with a key. */
void rc4_key(RC4 *restrict rc4, const uint8_t key[RC4_KEY]);

/* Begin two streams, each with a key of its own, in little more time than one. */
void rc4_keys(RC4 *restrict one, const uint8_t key[RC4_KEY], RC4 *restrict other,
              const uint8_t other_key[RC4_KEY]);

/* Encrypt or decrypt the next octets. They must not overlap what is written. */
void rc4_apply(RC4 *restrict rc4, const uint8_t *restrict from, uint8_t *restrict to, size_t length);

/* The most streams that are done at once. */
#define RC4_STREAMS 3

/* A stream that has just begun, and all the octets that it encrypts or decrypts. */
typedef struct {
    RC4 rc4;
    const uint8_t *from;
    uint8_t *to;
    size_t size;
} Stream;

/* Do up to RC4_STREAMS streams, none of which overlaps what is written. */
void rc4_streams(Stream *streams, unsigned count);

/* Streams that wait for others, so that they are done together; all zero are none. */
typedef struct {
    unsigned count;
    Stream streams[RC4_STREAMS];
} Streams;

/* Do all streams that wait. */
static inline void
streams_end(Streams *streams)
{
    rc4_streams(streams->streams, streams->count);
    streams->count = 0;
}

/* Return another stream, which the caller begins at once. Those that wait are done first if they are as
 * many as are done together. */
static inline Stream *
streams_add(Streams *streams)
{
    if (streams->count == RC4_STREAMS)
        streams_end(streams);
    return &streams->streams[streams->count++];
}

#endif
