/*
 * Faults that each sanitizer must find, or it finds none elsewhere: an octet behind the end of an
 * allocation, and an addition that overflows.
 */

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int
planted(const unsigned char *octets, size_t size)
{
    if (size > 0 && octets[0] == 1) {
        unsigned char *copy = malloc(size);
        memcpy(copy, octets, size);
        int behind = copy[size];
        free(copy);
        return behind;
    }
    return size > 0 && octets[0] == 2 ? INT_MAX + (int)size : 0;
}
