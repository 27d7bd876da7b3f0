/*
 * One direction of MPPE (RFC 3078, RFC 3079): its keys, and what is done to each packet. The terms
 * and constants are explained in pptpgw/datapath/mppe.py, of which this is the compiled twin.
 */

#ifndef PPTPGW_MPPE_H
#define PPTPGW_MPPE_H

#include <stddef.h>
#include <stdint.h>

#include "rc4.h"

/* The number of octets of the header that precedes the ciphertext. */
#define MPPE_HEADER 2

/* How many coherency counts there are. */
#define MPPE_COUNTS 4096

/* The reasons for which mppe_check() refuses a frame, as in mppe.py. */
#define MPPE_MALFORMED 1
#define MPPE_SKIPPED 2
#define MPPE_LOST 3

typedef struct {
    /* RC4 between packets in stateful mode, which the caller keeps; NULL in stateless mode, where each
     * packet begins with a key of its own. */
    RC4 *stream;
    uint8_t start[RC4_KEY];
    /* The session key: in stateful mode the present one, in stateless mode that of the next packet. */
    uint8_t session[RC4_KEY];
    uint8_t length, bits;
    /* Whether the next packet must be flushed: to be sent so, or to be accepted. */
    uint8_t pending;
    uint16_t count;
    unsigned int rekeys;
} MPPE;

/* A received frame, with its header, and where its plaintext goes, which is shorter by the header. */
typedef struct {
    const uint8_t *frame;
    size_t size;
    uint8_t *plain;
} Received;

/* Return whether a start key has the length for its bits: 8 octets for 40 or 56, 16 for 128. */
int mppe_fits(size_t length, int bits);

/* Begin with a start key that fits; stateful mode needs a stream. */
void mppe_start(MPPE *mppe, const uint8_t *key, size_t length, int bits, RC4 *stream);

/* Begin as a copy of another, whose stream, if it has one, is copied to this one. */
void mppe_copy(MPPE *mppe, const MPPE *other, RC4 *stream);

/* The most octets of a saved state. */
#define MPPE_STATE (sizeof(MPPE) + sizeof(RC4))

/* Save the state, in the memory of the same process. Return how many octets it has. */
size_t mppe_save(const MPPE *mppe, uint8_t *state);

/* Return whether a saved state of this size is one of stateful mode. */
int mppe_is_stateful(size_t size);

/* Go on from a saved state; stateful mode needs a stream. Return -1 if it isn't one. */
int mppe_restore(MPPE *mppe, const uint8_t *state, size_t size, RC4 *stream);

/* Overwrite all keys. */
void mppe_forget(MPPE *mppe);

/* Write the header of the next packet to send, and protocol and packet encrypted, to frame. */
void mppe_encrypt(MPPE *mppe, const uint8_t *protocol, size_t protocol_size, const uint8_t *packet,
                  size_t packet_size, uint8_t *frame);

/* Write the header of the next packet to send to frame, and begin the stream that encrypts what follows;
 * in stateless mode only. */
void mppe_begin(MPPE *mppe, uint8_t *frame, RC4 *rc4);

/* Have the next packet sent as a flushed one. */
void mppe_reset(MPPE *mppe);

/* Return 0 if a received frame, with its header, can be decrypted, or else the reason why not. */
int mppe_check(const MPPE *mppe, const uint8_t *frame, size_t size);

/* Decrypt a frame that mppe_check() doesn't refuse. */
void mppe_decrypt(MPPE *mppe, const Received *received);

/* Decrypt frames, from the first one to the one before the first that mppe_check() refuses. In stateless
 * mode some of them may still wait in streams. Return how many are decrypted then. */
unsigned mppe_decrypt_run(MPPE *mppe, const Received *received, unsigned count, Streams *streams);

/* Leave out so many packets, which were lost. */
void mppe_skip(MPPE *mppe, unsigned long packets);

#endif
