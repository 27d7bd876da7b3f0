/*
 * The tables of the native data path: the session of a call, and the session that a destination leads
 * to. One thread uses them, so they have no lock.
 */

#ifndef PPTPGW_TABLE_H
#define PPTPGW_TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t high, low;
    uint32_t kind;
} Key;

/* A key with its value. Two have a cache line. */
typedef struct {
    uint64_t high, low;
    void *value;
    uint32_t kind, used;
} Place;

/* A hash table with open addressing; all zero is an empty one. */
typedef struct {
    Place *places;
    size_t size, used;
} Table;

/* Have a key lead to a value, which may be NULL. Return -1 if there is no memory. */
int table_set(Table *table, Key key, void *value);

/* Remove a key if it is there. Return whether it was. */
int table_remove(Table *table, Key key);

/* Return the place of a key; NULL if it isn't there. */
const Place *table_find(const Table *table, Key key);

void table_free(Table *table);

/* Networks of both address families, each of which leads to a value. */
typedef struct {
    Table table;
    /* How many networks there are with so many free bits behind the prefix, by family. */
    unsigned counts[2][129];
} Routes;

/* A network: its family, 0 for IPv4 and 1 for IPv6, the bits behind the prefix, and the first address,
 * of 4 or 16 octets. */
int routes_set(Routes *routes, unsigned family, unsigned free, const uint8_t *address, void *value);
void routes_remove(Routes *routes, unsigned family, unsigned free, const uint8_t *address);

/* Return the place of the narrowest network with an address; NULL if there is none. */
const Place *routes_find(const Routes *routes, unsigned family, const uint8_t *address);

#endif
