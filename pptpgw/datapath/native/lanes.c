#include "lanes.h"

#include <stdlib.h>

Lanes *
lanes_new(void)
{
    Lanes *lanes = malloc(sizeof *lanes);

    if (lanes == NULL)
        return NULL;
    fair_begin(&lanes->fair);
    for (lanes->count = 0; lanes->count < FAIR_MOST + LANES_SPARE; lanes->count++)
        lanes->unused[lanes->count] = &lanes->slots[FAIR_MOST + LANES_SPARE - 1 - lanes->count];
    return lanes;
}
