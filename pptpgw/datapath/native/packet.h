/*
 * The fields of IP, TCP and UDP headers.
 */

#ifndef PPTPGW_PACKET_H
#define PPTPGW_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "checksum.h"

#define IPV4_HEADER 20
#define IPV4_LENGTH 2
#define IPV4_IDENTIFICATION 4
#define IPV4_FRAGMENT 6
#define IPV4_PROTOCOL 9
#define IPV4_CHECKSUM 10
#define IPV4_SOURCE 12
#define IPV4_DESTINATION 16

/* In the word at IPV4_FRAGMENT: more fragments follow, or this isn't the first one. */
#define IPV4_IS_FRAGMENT 0x3FFF
#define IPV4_DONT_FRAGMENT 0x4000

#define IPV6_HEADER 40
#define IPV6_LENGTH 4
#define IPV6_NEXT 6
#define IPV6_SOURCE 8
#define IPV6_DESTINATION 24

#define TCP_PROTOCOL 6
#define TCP_HEADER 20
#define TCP_SEQUENCE 4
#define TCP_ACKNOWLEDGEMENT 8
#define TCP_OFFSET 12
#define TCP_FLAGS 13
#define TCP_WINDOW 14
#define TCP_CHECKSUM 16
#define TCP_URGENT 18

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_CWR 0x80

#define UDP_PROTOCOL 17
#define UDP_HEADER 8
#define UDP_LENGTH 4

/* Return the number of two octets. */
static inline uint16_t
packet_word(const uint8_t *octets)
{
    return (uint16_t)(octets[0] << 8 | octets[1]);
}

/* Write a number as two octets. */
static inline void
packet_put_word(uint8_t *octets, uint16_t word)
{
    octets[0] = (uint8_t)(word >> 8);
    octets[1] = (uint8_t)word;
}

/* Return the number of four octets. */
static inline uint32_t
packet_number(const uint8_t *octets)
{
    return (uint32_t)packet_word(octets) << 16 | packet_word(octets + 2);
}

/* Write a number as four octets. */
static inline void
packet_put_number(uint8_t *octets, uint32_t number)
{
    packet_put_word(octets, (uint16_t)(number >> 16));
    packet_put_word(octets + 2, (uint16_t)number);
}

/* Return a number as checksum_add() reads it from a packet. */
static inline uint16_t
packet_network(uint16_t word)
{
    uint8_t octets[2];

    packet_put_word(octets, word);
    memcpy(&word, octets, 2);
    return word;
}

/* Write the checksum of an IPv4 header of this size. */
static inline void
packet_seal(uint8_t *packet, size_t header)
{
    memset(packet + IPV4_CHECKSUM, 0, 2);
    uint16_t word = (uint16_t)~checksum_fold(checksum_add(0, packet, header));
    memcpy(packet + IPV4_CHECKSUM, &word, 2);
}

#endif
