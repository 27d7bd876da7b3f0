/*
 * The native data path for Python: its threads (native/engine.h) and its sessions (native/session.h) as
 * objects. Each thread has tables of its own, and is given every command. pptpgw/datapath/engine.py and
 * pptpgw/tunnels/pptp/native.py use them.
 *
 * This module uses the limited API of CPython 3.11. The threads use nothing of Python.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "_native.h"

/* The number INTERFACE of pptpgw/ports/compiled.py. */
#define INTERFACE 10

static PyTypeObject *session_type;

/* ---- engines ---- */

static PyObject *
engine_object_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    unsigned threads = 1;

    if (!PyArg_ParseTuple(arguments, "|I", &threads))
        return NULL;
    if (threads == 0 || threads > THREADS) {
        PyErr_SetString(PyExc_ValueError, "1 to 64 threads");
        return NULL;
    }
    EngineObject *self = (EngineObject *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    for (; self != NULL && self->count < threads; self->count++)
        if ((self->engines[self->count] = engine_new(self->count)) == NULL) {
            PyErr_SetFromErrno(PyExc_OSError);
            Py_CLEAR(self);
        }
    return (PyObject *)self;
}

static void
stop_all(EngineObject *self)
{
    for (unsigned i = 0; i < self->count; i++)
        engine_stop(self->engines[i]);
}

static void
engine_dealloc(EngineObject *self)
{
    stop_all(self);
    for (unsigned i = 0; i < self->count; i++)
        engine_free(self->engines[i]);
    native_release((PyObject *)self);
}

static PyObject *
start(EngineObject *self, PyObject *Py_UNUSED(nothing))
{
    errno = 0;
    for (unsigned i = 0; i < self->count && errno == 0; i++)
        errno = engine_start(self->engines[i]);
    if (errno) {
        PyErr_SetFromErrno(PyExc_OSError);
        stop_all(self);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
stop(EngineObject *self, PyObject *Py_UNUSED(nothing))
{
    Py_BEGIN_ALLOW_THREADS
    stop_all(self);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* Descriptors, one for each thread; or fewer, in which case the threads beyond write to the first one, and
 * read none. */
typedef struct {
    unsigned count;
    int descriptors[THREADS];
} Shares;

/* Read descriptors from a tuple. Return -1 with an exception set if it has other things, or too many. */
static int
parse_shares(const EngineObject *self, PyObject *tuple, Shares *shares)
{
    Py_ssize_t count = PyTuple_Size(tuple);

    if (count < 0)
        return -1;
    if (count > (Py_ssize_t)self->count) {
        PyErr_SetString(PyExc_ValueError, "more descriptors than threads");
        return -1;
    }
    *shares = (Shares){(unsigned)count, {-1}};
    for (Py_ssize_t i = 0; i < count; i++)
        shares->descriptors[i] = (int)PyLong_AsLong(PyTuple_GetItem(tuple, i));
    return PyErr_Occurred() ? -1 : 0;
}

static int
share_of(const Shares *shares, unsigned thread)
{
    return shares->descriptors[thread < shares->count ? thread : 0];
}

static PyObject *
tun(EngineObject *self, PyObject *arguments)
{
    int offload, left, result = 0;
    PyObject *tuple;
    Shares shares;

    if (!PyArg_ParseTuple(arguments, "Opi", &tuple, &offload, &left)
        || parse_shares(self, tuple, &shares) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (unsigned i = 0; i < self->count && result == 0; i++)
        result = engine_tun(self->engines[i], share_of(&shares, i), i < shares.count, offload, left);
    Py_END_ALLOW_THREADS
    return native_done(result);
}

/* Have the first threads, so many, forget a socket. Return -1 if there is no memory. */
static int
forget_all(EngineObject *self, unsigned count, unsigned place)
{
    int result = 0;

    for (unsigned i = 0; i < count; i++)
        result |= engine_forget(self->engines[i], place);
    return result;
}

static PyObject *
watch(EngineObject *self, PyObject *arguments)
{
    int left, place = -1;
    unsigned tunnel;
    PyObject *tuple;
    Shares shares;

    if (!PyArg_ParseTuple(arguments, "IOi", &tunnel, &tuple, &left)
        || parse_shares(self, tuple, &shares) < 0)
        return NULL;
    if (tunnel >= TUNNELS || shares.count == 0) {
        PyErr_SetString(PyExc_ValueError, "no tunnel, or no descriptor");
        return NULL;
    }
    for (unsigned i = 0; i < self->count; i++) {
        int before = place;
        place = engine_watch(self->engines[i], (Tunnel)tunnel, share_of(&shares, i),
                             i < shares.count, left);
        if (place < 0) {
            if (i > 0)
                forget_all(self, i, (unsigned)before);
            return native_done(-1);
        }
    }
    /* All threads have the same places. */
    self->tunnels[place] = (Tunnel)tunnel;
    self->readers[place] = shares.count;
    return PyLong_FromLong(place);
}

static PyObject *
forget(EngineObject *self, PyObject *argument)
{
    unsigned long place = PyLong_AsUnsignedLong(argument);
    int result;

    if (PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    result = forget_all(self, self->count, place < PORTS ? (unsigned)place : PORTS);
    Py_END_ALLOW_THREADS
    return native_done(result);
}

static PyObject *
sync_all(EngineObject *self, PyObject *Py_UNUSED(nothing))
{
    int result = 0;

    Py_BEGIN_ALLOW_THREADS
    for (unsigned i = 0; i < self->count; i++)
        result |= engine_sync(self->engines[i]);
    Py_END_ALLOW_THREADS
    return native_done(result);
}

/* Read the arguments that name a network. Return -1 with an exception set if they don't. */
static int
parse_network(PyObject *arguments, unsigned *family, unsigned *unused, const char **address,
              PyObject **session)
{
    Py_ssize_t size;

    *session = Py_None;
    if (!PyArg_ParseTuple(arguments, "Iy#|O", unused, address, &size, session))
        return -1;
    *family = size == 16;
    if ((size != 4 && size != 16) || *unused > (unsigned)size * 8) {
        PyErr_SetString(PyExc_ValueError, "no network");
        return -1;
    }
    return 0;
}

static PyObject *
route(EngineObject *self, PyObject *arguments)
{
    unsigned family, unused;
    const char *address;
    PyObject *target;
    Session *session = NULL;

    if (parse_network(arguments, &family, &unused, &address, &target) < 0)
        return NULL;
    if (target != Py_None) {
        if (!PyObject_TypeCheck(target, session_type)) {
            PyErr_SetString(PyExc_TypeError, "route(unused, address, session)");
            return NULL;
        }
        session = ((SessionObject *)target)->session;
    }
    int result = 0;
    for (unsigned i = 0; i < self->count && result == 0; i++)
        result = engine_route(self->engines[i], family, unused, (const uint8_t *)address, session);
    return native_done(result);
}

static PyObject *
unroute(EngineObject *self, PyObject *arguments)
{
    unsigned family, unused;
    const char *address;
    PyObject *target;

    if (parse_network(arguments, &family, &unused, &address, &target) < 0)
        return NULL;
    int result = 0;
    for (unsigned i = 0; i < self->count; i++)
        result |= engine_unroute(self->engines[i], family, unused, (const uint8_t *)address);
    return native_done(result);
}

static PyObject *
set_time(EngineObject *self, PyObject *argument)
{
    unsigned long long time = PyLong_AsUnsignedLongLong(argument);

    if (PyErr_Occurred())
        return NULL;
    for (unsigned i = 0; i < self->count; i++)
        atomic_store_explicit(&self->engines[i]->time, time, memory_order_relaxed);
    Py_RETURN_NONE;
}

/* Append what happened in one thread. Return the list; NULL with an exception set on failure. */
static PyObject *
append_events(Engine *engine, PyObject *found)
{
    for (unsigned event = 0; event < EVENTS; event++)
        for (unsigned error = 0; found != NULL && error < ERRORS; error++) {
            atomic_ulong *number = &engine->events[event][error];
            if (atomic_load_explicit(number, memory_order_relaxed) == 0)
                continue;
            unsigned long count = atomic_exchange_explicit(number, 0, memory_order_relaxed);
            PyObject *one = Py_BuildValue("IIk", event, error, count);
            if (one == NULL || PyList_Append(found, one) < 0)
                Py_CLEAR(found);
            Py_XDECREF(one);
        }
    return found;
}

static PyObject *
events(EngineObject *self, PyObject *Py_UNUSED(nothing))
{
    PyObject *found = PyList_New(0);

    for (unsigned i = 0; i < self->count; i++)
        found = append_events(self->engines[i], found);
    return found;
}

int
native_remove(EngineObject *self, Session *session)
{
    int result = 0;

    for (unsigned i = 0; i < self->count; i++)
        result |= engine_remove(self->engines[i], session);
    return result;
}

/* Have all threads handle a session's packets. Return -1 if there is no memory; the session is released
 * then. */
static int
add_session(EngineObject *self, Session *session)
{
    for (unsigned i = 0; i < self->count; i++)
        if (engine_add(self->engines[i], session) < 0) {
            for (unsigned rest = i; rest < self->count; rest++)
                session_release(session);
            while (i > 0)
                engine_remove(self->engines[--i], session);
            return -1;
        }
    return 0;
}

static PyObject *
make_session(EngineObject *self, PyObject *arguments)
{
    unsigned port, udp;
    const uint8_t *peer, *local;
    Py_ssize_t peer_size, local_size;
    Ends ends;

    if (!PyArg_ParseTuple(arguments, "Iy#Iy#II", &port, &peer, &peer_size, &udp, &local, &local_size,
                          &ends.local_ids, &ends.peer_ids))
        return NULL;
    if (port >= PORTS || peer_size != 4 || udp > 0xFFFF || local_size != 4
        || (self->tunnels[port] == TUNNEL_GRE && (ends.local_ids | ends.peer_ids) > 0xFFFF)) {
        PyErr_SetString(PyExc_ValueError, "session(place, peer, port, local, localIDs, peerIDs)");
        return NULL;
    }
    ends.tunnel = self->tunnels[port];
    memcpy(ends.peer, peer, 4);
    packet_put_word(ends.peer + 4, (uint16_t)udp);
    memcpy(ends.local, local, 4);
    SessionObject *made
        = (SessionObject *)((allocfunc)PyType_GetSlot(session_type, Py_tp_alloc))(session_type, 0);
    if (made == NULL)
        return NULL;
    Session *session
        = session_new(port, &ends, self->count, self->readers[port] ? self->readers[port] : 1);
    if (session == NULL || add_session(self, session) < 0) {
        Py_DECREF((PyObject *)made);
        return PyErr_NoMemory();
    }
    Py_INCREF((PyObject *)self);
    made->owner = self;
    made->session = session;
    return (PyObject *)made;
}

/* ---- the module ---- */

static PyMethodDef ENGINE_METHODS[] = {
    {"start", METHOD(start), METH_NOARGS, "start(): start the threads; raises OSError."},
    {"stop", METHOD(stop), METH_NOARGS, "stop(): end the threads."},
    {"tun", METHOD(tun), METH_VARARGS,
     "tun(descriptors, offload, left): read the queues of a TUN device; none if there are none."},
    {"watch", METHOD(watch), METH_VARARGS,
     "watch(tunnel, descriptors, left): read the sockets of a port of GRE or L2TP; return their place."},
    {"forget", METHOD(forget), METH_O, "forget(place): read sockets no more."},
    {"sync", METHOD(sync_all), METH_NOARGS,
     "sync(): wait until the threads have noticed that descriptors were replaced."},
    {"route", METHOD(route), METH_VARARGS,
     "route(unused, address, session): have a network lead to a session, or None: to Python."},
    {"unroute", METHOD(unroute), METH_VARARGS,
     "unroute(unused, address): have a network lead nowhere."},
    {"session", METHOD(make_session), METH_VARARGS,
     "session(place, peer, port, local, localIDs, peerIDs): make a session, which Python owns."},
    {"time", METHOD(set_time), METH_O,
     "time(nanoseconds): have the time stand still for tests; 0: take that of the system."},
    {"events", METHOD(events), METH_NOARGS,
     "events(): return what happened since the last call, each with an error's number and a count."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot ENGINE_SLOTS[] = {
    {Py_tp_doc, "Engine(threads): the threads of the native data path."},
    {Py_tp_new, engine_object_new},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_methods, ENGINE_METHODS},
    {0, NULL},
};

static PyType_Spec ENGINE = {
    "pptpgw.datapath._native.Engine", sizeof(EngineObject), 0, Py_TPFLAGS_DEFAULT, ENGINE_SLOTS,
};

static int
execute(PyObject *module)
{
    PyObject *engine = PyType_FromModuleAndSpec(module, &ENGINE, NULL);
    PyObject *session = PyType_FromModuleAndSpec(module, &native_session, NULL);
    int failed = engine == NULL || session == NULL
                 || PyModule_AddType(module, (PyTypeObject *)engine) < 0
                 || PyModule_AddType(module, (PyTypeObject *)session) < 0;

    Py_XDECREF(engine);
    if (failed) {
        Py_XDECREF(session);
        return -1;
    }
    /* The reference is kept for as long as the process runs. */
    session_type = (PyTypeObject *)session;
    return PyModule_AddIntConstant(module, "GRE", TUNNEL_GRE)
           | PyModule_AddIntConstant(module, "L2TP", TUNNEL_L2TP)
           | PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot MODULE_SLOTS[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pptpgw.datapath._native",
    .m_doc = "The native data path, compiled.",
    .m_size = 0,
    .m_slots = MODULE_SLOTS,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&MODULE);
}
