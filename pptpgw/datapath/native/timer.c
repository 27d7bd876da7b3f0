#include "timer.h"

void
timer_start(Timers *timers, Timer *timer, uint64_t end)
{
    if (timer->runs)
        return;
    timer->runs = 1;
    timer->end = end;
    timer->next = NULL;
    if (timers->first == NULL)
        timers->first = timer;
    else
        timers->last->next = timer;
    timers->last = timer;
}

void
timer_stop(Timers *timers, Timer *timer)
{
    Timer *before = NULL;

    if (!timer->runs)
        return;
    timer->runs = 0;
    for (Timer *each = timers->first; each != timer; each = each->next)
        before = each;
    if (before == NULL)
        timers->first = timer->next;
    else
        before->next = timer->next;
    if (timers->last == timer)
        timers->last = before;
}

void *
timer_ended(Timers *timers, uint64_t now)
{
    Timer *timer = timers->first;

    if (timer == NULL || timer->end > now)
        return NULL;
    timers->first = timer->next;
    timer->runs = 0;
    return timer->owner;
}
