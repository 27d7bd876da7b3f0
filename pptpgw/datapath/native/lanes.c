#include "lanes.h"

void
lanes_begin(Lanes *lanes)
{
    fair_begin(&lanes->fair);
    for (lanes->count = 0; lanes->count < FAIR_MOST + LANES_SPARE; lanes->count++)
        lanes->unused[lanes->count] = &lanes->slots[FAIR_MOST + LANES_SPARE - 1 - lanes->count];
}
