/*
 * Timers that all run for the same time, so that the one that began first is the first to end.
 */

#ifndef PPTPGW_TIMER_H
#define PPTPGW_TIMER_H

#include <stddef.h>
#include <stdint.h>

typedef struct Timer {
    struct Timer *next;
    /* What it belongs to, when it ends, and whether it runs. */
    void *owner;
    uint64_t end;
    int runs;
} Timer;

/* The timers that run, the first to end first. */
typedef struct {
    Timer *first, *last;
} Timers;

/* Have a timer run until a time that isn't before another's, unless it runs. */
void timer_start(Timers *timers, Timer *timer, uint64_t end);

/* Have a timer not run. */
void timer_stop(Timers *timers, Timer *timer);

/* Stop a timer that has ended, and return what it belongs to; NULL if there is none. */
void *timer_ended(Timers *timers, uint64_t now);

#endif
