/*
 * Which threads run first where several of the process wait for one processor. For threads of a real-time
 * policy, and where the system doesn't permit it, nothing changes.
 */

#ifndef PPTPGW_PRECEDENCE_H
#define PPTPGW_PRECEDENCE_H

/* Have the calling thread run as soon as it has something to do, rather than after the turn of another. */
void precedence_prompt(void);

/* Have the calling thread leave most of the processor to others that want it. */
void precedence_low(void);

#endif
