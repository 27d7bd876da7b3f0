#include "fair.h"

#include <stddef.h>
#include <string.h>

void
fair_begin(Fair *fair)
{
    memset(fair, 0, sizeof *fair);
    for (unsigned i = 0; i <= FAIR_MOST; i++) {
        fair->lanes[i].chained = fair->free;
        fair->free = &fair->lanes[i];
    }
}

/* Return the place that leads to the lane of a key, or to where it would be. */
static Lane **
find(Fair *fair, uint64_t key)
{
    Lane **place = &fair->chains[(key * 0x9E3779B97F4A7C15u) >> 52 & (FAIR_CHAINS - 1)];

    while (*place != NULL && (*place)->key != key)
        place = &(*place)->chained;
    return place;
}

int
fair_has(const Fair *fair, uint64_t key)
{
    return *find((Fair *)fair, key) != NULL;
}

/* Change the number of packets of a lane. It is the newest one with that number. */
static void
count(Fair *fair, Lane *lane, unsigned packets)
{
    if (lane->packets > 0) {
        if (lane->older != NULL)
            lane->older->newer = lane->newer;
        if (lane->newer != NULL)
            lane->newer->older = lane->older;
        else
            fair->newest[lane->packets] = lane->older;
    }
    lane->packets = packets;
    if (packets > 0) {
        lane->newer = NULL;
        lane->older = fair->newest[packets];
        if (lane->older != NULL)
            lane->older->newer = lane;
        fair->newest[packets] = lane;
    }
    /* A lane changes by one packet at a time, so the longest one is at most one shorter now. */
    if (packets > fair->longest)
        fair->longest = packets;
    else if (fair->newest[fair->longest] == NULL)
        fair->longest = packets;
}

/* Make an empty lane, whose turn comes after all others. */
static Lane *
begin(Fair *fair, Lane **place, uint64_t key)
{
    Lane *lane = fair->free, *turn = fair->turn;

    fair->free = lane->chained;
    *lane = (Lane){.key = key, .credit = FAIR_QUANTUM};
    *place = lane;
    if (turn == NULL)
        fair->turn = lane->before = lane->after = lane;
    else {
        lane->after = turn;
        lane->before = turn->before;
        lane->before->after = turn->before = lane;
    }
    return lane;
}

/* Remove a lane that is empty. */
static void
end(Fair *fair, Lane *lane)
{
    *find(fair, lane->key) = lane->chained;
    lane->before->after = lane->after;
    lane->after->before = lane->before;
    if (fair->turn == lane)
        fair->turn = lane->after == lane ? NULL : lane->after;
    lane->chained = fair->free;
    fair->free = lane;
}

/* Take the first packet of a lane. */
static Waiting *
take(Fair *fair, Lane *lane, uint64_t *key)
{
    Waiting *packet = lane->first;

    *key = lane->key;
    lane->first = packet->next;
    fair->waiting--;
    count(fair, lane, lane->packets - 1);
    if (lane->packets == 0)
        end(fair, lane);
    return packet;
}

Waiting *
fair_add(Fair *fair, uint64_t key, Waiting *packet, uint64_t *loser)
{
    Lane **place = find(fair, key);
    Lane *lane = *place != NULL ? *place : begin(fair, place, key);

    packet->next = NULL;
    if (lane->packets == 0)
        lane->first = packet;
    else
        lane->last->next = packet;
    lane->last = packet;
    count(fair, lane, lane->packets + 1);
    if (++fair->waiting <= FAIR_MOST)
        return NULL;
    return take(fair, fair->newest[fair->longest], loser);
}

Waiting *
fair_take(Fair *fair, uint64_t *key)
{
    if (fair->turn == NULL)
        return NULL;
    while (fair->turn->credit <= 0) {
        fair->turn->credit += FAIR_QUANTUM;
        fair->turn = fair->turn->after;
    }
    fair->turn->credit -= (int)(fair->turn->first->size + FAIR_COST);
    return take(fair, fair->turn, key);
}
