#define _GNU_SOURCE
#include "precedence.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How much nicer the low threads are: one gets a quarter of a processor that another always wants. */
#define NICER 5
#define NICEST 19

/* How long a prompt thread runs in its turn, in nanoseconds. Since Linux 6.12 it interrupts those with
 * longer turns, as all have by default; before that, a thread that has waited interrupts every other. */
#define TURN 300000u

/* The first form of struct sched_attr, which C libraries before glibc 2.41 don't have. */
typedef struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
} Attributes;

/* Change the calling thread; without a turn it has the default one. */
static void
change(int nicer, uint64_t turn)
{
    Attributes attributes;

    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0
        || (attributes.policy != SCHED_OTHER && attributes.policy != SCHED_BATCH))
        return;
    attributes.nice = attributes.nice + nicer < NICEST ? attributes.nice + nicer : NICEST;
    attributes.runtime = turn;
    syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void
precedence_prompt(void)
{
    change(0, TURN);
}

void
precedence_low(void)
{
    change(NICER, 0);
}
