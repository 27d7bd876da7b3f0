/*
 * The sessions of the native data path as objects of Python.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "_native.h"

void
native_release(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

PyObject *
native_done(int result)
{
    if (result < 0) {
        PyErr_SetString(PyExc_OSError, "no memory for the change");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Return the session of an object; NULL with an exception set if it is closed. */
static Session *
opened(SessionObject *self)
{
    if (self->session == NULL)
        PyErr_SetString(PyExc_ValueError, "the session is closed");
    return self->session;
}

static PyObject *
session_close(SessionObject *self, PyObject *Py_UNUSED(nothing))
{
    if (self->session != NULL) {
        session_take(self->session);
        if (native_remove(self->owner, self->session) < 0)
            return native_done(-1);
        self->session = NULL;
    }
    Py_RETURN_NONE;
}

static void
session_dealloc(SessionObject *self)
{
    Py_XDECREF(session_close(self, NULL));
    Py_XDECREF((PyObject *)self->owner);
    native_release((PyObject *)self);
}

/* ---- owning ---- */

/* The numbers of a session in the order in which Python knows them: see suspend() in handover.py. */
#define NUMBERS (6 + 2 * GAPS_KNOWN)

static void
find_numbers(Session *session, uint32_t *numbers[NUMBERS])
{
    Window *window = &session->window;
    uint32_t **at = numbers;

    *at++ = &session->expected;
    *at++ = &session->acknowledged;
    *at++ = &session->due;
    *at++ = &session->sending;
    *at++ = &window->dropped;
    *at++ = &window->repeated;
    for (unsigned i = 0; i < GAPS_KNOWN; i++) {
        *at++ = &window->gaps[i].first;
        *at++ = &window->gaps[i].length;
    }
}

/* Return the numbers as a tuple. */
static PyObject *
make_numbers(Session *session)
{
    uint32_t *numbers[NUMBERS];
    PyObject *made = PyTuple_New(NUMBERS);

    find_numbers(session, numbers);
    for (Py_ssize_t i = 0; made != NULL && i < NUMBERS; i++) {
        PyObject *one = PyLong_FromUnsignedLong(*numbers[i]);
        if (one == NULL || PyTuple_SetItem(made, i, one) < 0)
            Py_CLEAR(made);
    }
    return made;
}

/* Set the numbers. Return -1 with an exception set if they are none. */
static int
set_numbers(Session *session, PyObject *given)
{
    uint32_t *numbers[NUMBERS];

    find_numbers(session, numbers);
    if (PyTuple_Size(given) != NUMBERS) {
        PyErr_SetString(PyExc_ValueError, "a session has other numbers");
        return -1;
    }
    for (Py_ssize_t i = 0; i < NUMBERS; i++)
        *numbers[i] = (uint32_t)PyLong_AsUnsignedLong(PyTuple_GetItem(given, i));
    return PyErr_Occurred() ? -1 : 0;
}

/* Return the frames that are held as a list, with the seconds since each came. */
static PyObject *
make_held(const Engine *engine, const Session *session)
{
    const Window *window = &session->window;
    uint64_t now = engine_now(engine);
    PyObject *made = PyList_New(0);

    for (unsigned i = 0; made != NULL && i < window->count; i++) {
        const Held *held = window->held[i];
        PyObject *one = Py_BuildValue("IIy#d", held->frame.sequence, held->frame.protocol,
                                      held->octets, (Py_ssize_t)held->frame.length,
                                      (double)(now - held->time) / 1e9);
        if (one == NULL || PyList_Append(made, one) < 0)
            Py_CLEAR(made);
        Py_XDECREF(one);
    }
    return made;
}

static PyObject *
take(SessionObject *self, PyObject *Py_UNUSED(nothing))
{
    Session *session = opened(self);
    uint8_t sending[MPPE_STATE], receiving[MPPE_STATE], before[MPPE_STATE];
    Py_ssize_t sending_size = 0, receiving_size = 0, before_size = 0;

    if (session == NULL)
        return NULL;
    session_take(session);
    if (session->encrypts)
        sending_size = (Py_ssize_t)mppe_save(&session->sending_mppe, sending);
    if (session->decrypts)
        receiving_size = (Py_ssize_t)mppe_save(&session->receiving_mppe, receiving);
    if (session->decrypts && session->believed == session->receiving_mppe.count)
        before_size = (Py_ssize_t)mppe_save(&session->before, before);
    PyObject *numbers = make_numbers(session);
    PyObject *held = numbers == NULL ? NULL : make_held(self->owner->engines[0], session);
    if (held == NULL) {
        Py_XDECREF(numbers);
        return NULL;
    }
    window_free(session, session->window.count);
    return Py_BuildValue("NNy#y#y#", numbers, held, sending, sending_size, receiving, receiving_size,
                         before, before_size);
}

static PyObject *
give(SessionObject *self, PyObject *arguments)
{
    Session *session = opened(self);
    const uint8_t *sending, *receiving;
    Py_ssize_t sending_size, receiving_size;
    PyObject *numbers;
    int doubted;

    if (session == NULL
        || !PyArg_ParseTuple(arguments, "O!py#y#", &PyTuple_Type, &numbers, &doubted, &sending,
                             &sending_size, &receiving, &receiving_size))
        return NULL;
    session_take(session);
    if (set_numbers(session, numbers) < 0)
        return NULL;
    session->window.doubted = doubted;
    session->believed = -1;
    if (session_send_mppe(session, sending, (size_t)sending_size) < 0
        || session_receive_mppe(session, receiving, (size_t)receiving_size) < 0) {
        PyErr_SetString(PyExc_ValueError, "no state of MPPE");
        return NULL;
    }
    session_give(session);
    Py_RETURN_NONE;
}

/* ---- settings and figures ---- */

/* Copy what begins a frame. Return -1 with an exception set if it is too long. */
static int
copy_prefix(uint8_t prefix[4], uint8_t *length, const char *octets, Py_ssize_t size)
{
    if (size > 4) {
        PyErr_SetString(PyExc_ValueError, "a prefix has 4 octets at most");
        return -1;
    }
    memcpy(prefix, octets, (size_t)size);
    *length = (uint8_t)size;
    return 0;
}

static PyObject *
frame(SessionObject *self, PyObject *arguments)
{
    Session *session = opened(self);
    const char *prefix;
    Py_ssize_t size;
    int clear;

    if (session == NULL || !PyArg_ParseTuple(arguments, "y#p", &prefix, &size, &clear))
        return NULL;
    session_take(session);
    session->clear = (uint8_t)clear;
    for (unsigned each = 0; each < NETWORKS; each++)
        session->networks[each].open = 0;
    return copy_prefix(session->prefix, &session->prefix_size, prefix, size) < 0 ? NULL : native_done(0);
}

static PyObject *
network(SessionObject *self, PyObject *arguments)
{
    Session *session = opened(self);
    const char *prefix, *sources;
    Py_ssize_t size, sources_size;
    unsigned family, mtu;
    int clamp, sure;

    if (session == NULL
        || !PyArg_ParseTuple(arguments, "IIppy#y#", &family, &mtu, &clamp, &sure, &prefix, &size,
                             &sources, &sources_size))
        return NULL;
    if (family >= NETWORKS || mtu > PACKET_SIZE || sources_size % (Py_ssize_t)sizeof(Source) != 0
        || sources_size > SOURCES * (Py_ssize_t)sizeof(Source) || (sure && sources_size == 0)) {
        PyErr_SetString(PyExc_ValueError, "network(family, mtu, clamp, sure, prefix, sources)");
        return NULL;
    }
    session_take(session);
    Network *network = &session->networks[family];
    if (copy_prefix(network->prefix, &network->prefix_size, prefix, size) < 0)
        return NULL;
    network->open = 1;
    network->clamp = (uint8_t)clamp;
    network->sure = (uint8_t)sure;
    network->mtu = (uint16_t)mtu;
    network->count = (uint8_t)(sources_size / (Py_ssize_t)sizeof(Source));
    memcpy(network->sources, sources, (size_t)sources_size);
    Py_RETURN_NONE;
}

static PyObject *
figures(SessionObject *self, PyObject *Py_UNUSED(nothing))
{
    Session *session = self->session;

    if (session == NULL || !atomic_load_explicit(&session->counted, memory_order_relaxed))
        Py_RETURN_NONE;
    atomic_exchange_explicit(&session->counted, 0, memory_order_acquire);
    PyObject *made = PyTuple_New(FIGURES);
    for (Py_ssize_t i = 0; made != NULL && i < FIGURES; i++) {
        unsigned long long figure
            = atomic_exchange_explicit(&session->figures[i], 0, memory_order_relaxed);
        PyObject *one = PyLong_FromUnsignedLongLong(figure);
        if (one == NULL || PyTuple_SetItem(made, i, one) < 0)
            Py_CLEAR(made);
    }
    return made;
}

static PyMethodDef SESSION_METHODS[] = {
    {"take", METHOD(take), METH_NOARGS,
     "take(): own the session; return its numbers, the frames that it held, and the states of encryptor, "
     "decryptor, and of the decryptor before the last gap if nothing followed that."},
    {"give", METHOD(give), METH_VARARGS,
     "give(numbers, doubted, encryptor, decryptor): own it no more."},
    {"frame", METHOD(frame), METH_VARARGS,
     "frame(prefix, clear): close all networks, and set what begins encrypted frames, and whether "
     "packets may come in clear."},
    {"network", METHOD(network), METH_VARARGS,
     "network(family, mtu, clamp, sure, prefix, sources): open a network."},
    {"figures", METHOD(figures), METH_NOARGS,
     "figures(): return what was counted since the last call; None if that is nothing."},
    {"close", METHOD(session_close), METH_NOARGS, "close(): handle no more packets."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot SESSION_SLOTS[] = {
    {Py_tp_doc, "A call of the native data path."},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, SESSION_METHODS},
    {0, NULL},
};

PyType_Spec native_session = {
    "pptpgw.datapath._native.Session", sizeof(SessionObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, SESSION_SLOTS,
};
