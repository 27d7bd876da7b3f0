#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "packet.h"

#define SMALLEST 64

/* The octets of a processor's cache line. */
#define LINE 64

/* Mix all bits (the finalizer of splitmix64). */
static uint64_t
mixed(uint64_t number)
{
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9u;
    number = (number ^ number >> 27) * 0x94D049BB133111EBu;
    return number ^ number >> 31;
}

static size_t
first_place(const Table *table, Key key)
{
    return (size_t)mixed(key.low ^ mixed(key.high ^ mixed(key.kind))) & (table->size - 1);
}

static Key
key_at(const Place *place)
{
    return (Key){place->high, place->low, place->kind};
}

static int
has(const Place *place, Key key)
{
    return place->low == key.low && place->high == key.high && place->kind == key.kind;
}

/* Return the place of a key, or the free one where it belongs. */
static Place *
place_of(const Table *table, Key key)
{
    size_t at = first_place(table, key);

    while (table->places[at].used && !has(&table->places[at], key))
        at = (at + 1) & (table->size - 1);
    return &table->places[at];
}

static int
grow(Table *table)
{
    Table larger = {NULL, table->size ? table->size * 2 : SMALLEST, table->used};

    larger.places = aligned_alloc(LINE, larger.size * sizeof *larger.places);
    if (larger.places == NULL)
        return -1;
    memset(larger.places, 0, larger.size * sizeof *larger.places);
    for (size_t i = 0; i < table->size; i++)
        if (table->places[i].used)
            *place_of(&larger, key_at(&table->places[i])) = table->places[i];
    free(table->places);
    *table = larger;
    return 0;
}

int
table_set(Table *table, Key key, void *value)
{
    if (2 * (table->used + 1) > table->size && grow(table) < 0)
        return -1;
    Place *place = place_of(table, key);
    table->used += !place->used;
    *place = (Place){key.high, key.low, value, key.kind, 1};
    return 0;
}

int
table_remove(Table *table, Key key)
{
    if (table->size == 0)
        return 0;
    Place *place = place_of(table, key);
    if (!place->used)
        return 0;
    place->used = 0;
    table->used--;
    /* Those that follow may have been kept from this place. */
    size_t at = (size_t)(place - table->places);
    for (;;) {
        at = (at + 1) & (table->size - 1);
        Place moved = table->places[at];
        if (!moved.used)
            return 1;
        table->places[at].used = 0;
        *place_of(table, key_at(&moved)) = moved;
    }
}

const Place *
table_find(const Table *table, Key key)
{
    if (table->size == 0)
        return NULL;
    const Place *place = place_of(table, key);
    return place->used ? place : NULL;
}

void
table_free(Table *table)
{
    free(table->places);
    *table = (Table){NULL, 0, 0};
}

/* ---- routes ---- */

/* Return the key of the network with so many free bits that an address is in. */
static Key
network(unsigned family, unsigned unused, const uint8_t *address)
{
    Key key = {0, 0, family << 8 | unused};

    if (family == 0) {
        key.low = packet_number(address);
        key.low = key.low >> unused << unused;
        return key;
    }
    key.high = (uint64_t)packet_number(address) << 32 | packet_number(address + 4);
    key.low = (uint64_t)packet_number(address + 8) << 32 | packet_number(address + 12);
    if (unused >= 64) {
        key.low = 0;
        key.high = unused >= 128 ? 0 : key.high >> (unused - 64) << (unused - 64);
    }
    else
        key.low = key.low >> unused << unused;
    return key;
}

int
routes_set(Routes *routes, unsigned family, unsigned unused, const uint8_t *address, void *value)
{
    Key key = network(family, unused, address);
    size_t before = routes->table.used;

    if (table_set(&routes->table, key, value) < 0)
        return -1;
    routes->counts[family][unused] += routes->table.used > before;
    return 0;
}

void
routes_remove(Routes *routes, unsigned family, unsigned unused, const uint8_t *address)
{
    if (table_remove(&routes->table, network(family, unused, address)))
        routes->counts[family][unused]--;
}

const Place *
routes_find(const Routes *routes, unsigned family, const uint8_t *address)
{
    const Place *found = NULL;

    for (unsigned unused = 0; found == NULL && unused <= (family ? 128u : 32u); unused++)
        if (routes->counts[family][unused])
            found = table_find(&routes->table, network(family, unused, address));
    return found;
}
