/*
 * The type Receiver of the module _gre.
 */

#ifndef PPTPGW_RECEIVER_H
#define PPTPGW_RECEIVER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Add the type to the module. Return -1 with an exception set on failure. */
int add_receiver(PyObject *module);

#endif
