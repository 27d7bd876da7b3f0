/*
 * The Internet checksum (RFC 1071): sums of 16-bit words in the order in which they lie in memory.
 */

#ifndef PPTPGW_CHECKSUM_H
#define PPTPGW_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Return sum with up to 65,535 octets added. An odd last octet counts as if a zero followed it. */
uint64_t checksum_add(uint64_t sum, const uint8_t *octets, size_t size);

/* Return sum as one word, with all carries added. */
uint16_t checksum_fold(uint64_t sum);

#endif
