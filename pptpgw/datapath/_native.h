/*
 * What the two parts of the module pptpgw.datapath._native have in common.
 */

#ifndef PPTPGW_NATIVE_H
#define PPTPGW_NATIVE_H

#include <Python.h>

#include "native/engine.h"

/* The most threads. */
#define THREADS 64

typedef struct {
    PyObject_HEAD
    unsigned count;
    Engine *engines[THREADS];
    /* The tunnel of the sockets at a place, and how many threads read them. */
    Tunnel tunnels[PORTS];
    unsigned readers[PORTS];
} EngineObject;

/* Have no thread handle a session's packets any more. Return -1 if there is no memory. */
int native_remove(EngineObject *self, Session *session);

typedef struct {
    PyObject_HEAD
    /* What keeps the engine. */
    EngineObject *owner;
    /* NULL once it is closed. */
    Session *session;
} SessionObject;

/* The type of sessions. */
extern PyType_Spec native_session;

/* Free an object of a type that was made from a specification. */
void native_release(PyObject *self);

/* Return None, or raise OSError if the result of a command is negative. */
PyObject *native_done(int result);

/* PyMethodDef has one function type for all; the cast by way of void avoids a warning. */
#define METHOD(function) ((PyCFunction)(void (*)(void))function)

#endif
