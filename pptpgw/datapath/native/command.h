/*
 * For the thread of the native data path: the commands that Python gave it.
 */

#ifndef PPTPGW_COMMAND_H
#define PPTPGW_COMMAND_H

#include "engine.h"

/* Carry out the commands that wait. */
void command_run(Engine *engine);

/* Have the thread end. */
void command_stop(Engine *engine);

#endif
