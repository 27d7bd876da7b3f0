/*
 * The functions reader(), writer() and allWriter() make functions for one TUN or TAP device, as the
 * methods of those names in devicesystem.py do. They neither release the GIL nor repeat a call that a signal
 * interrupted. With offload each packet of the device has a VNet header before it: the reader splits
 * what the kernel joined, and allWriter() joins TCP segments.
 *
 * This module uses the limited API of CPython 3.11.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../datapath/native/coalesce.h"
#include "../datapath/native/segment.h"

/* The version of the interface to Python, as in compiled.py. */
#define INTERFACE 10

/* READ_SIZE and BATCH of devicesystem.py. */
#define READ_SIZE 4096
#define BATCH 128

/* A frame that fills it may have been cut. */
#define FRAME_SIZE (VNET_SIZE + 65536)

/* What was read. It is used only while the GIL is held. */
static uint8_t buffer[FRAME_SIZE];

/* ---- reading ---- */

/* Append a packet of size octets to a list. Return its octets, for the caller to fill; NULL with an
 * exception set on failure. */
static uint8_t *
append(PyObject *packets, size_t size)
{
    PyObject *packet = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (packet == NULL)
        return NULL;
    uint8_t *octets = (uint8_t *)PyBytes_AsString(packet);
    int failed = PyList_Append(packets, packet);
    Py_DECREF(packet);
    return failed ? NULL : octets;
}

/* Append the packets of the frame in the buffer to a list. Return 0; 1 if the frame is malformed; -1
 * with an exception set on failure. */
static int
split(PyObject *packets, size_t size)
{
    Segments segments;

    if (size == FRAME_SIZE || segment_begin(&segments, buffer, size) < 0)
        return 1;
    while ((size = segment_size(&segments)) != 0) {
        uint8_t *octets = append(packets, size);
        if (octets == NULL)
            return -1;
        segment_make(&segments, octets);
    }
    return 0;
}

/* Append the packet in the buffer to a list, as split() does. */
static int
copy(PyObject *packets, size_t size)
{
    uint8_t *octets = append(packets, size);
    if (octets == NULL)
        return -1;
    memcpy(octets, buffer, size);
    return 0;
}

/* Read up to BATCH frames, or as many as have that many packets. */
static PyObject *
read_batch(PyObject *descriptor, size_t limit, int (*take)(PyObject *, size_t))
{
    int number = (int)PyLong_AsLong(descriptor);
    long malformed = 0;
    PyObject *packets = PyList_New(0);

    for (int i = 0; packets != NULL && i < BATCH && PyList_Size(packets) < BATCH; i++) {
        ssize_t size = read(number, buffer, limit);
        if (size < 0) {
            if (i > 0 || errno == EAGAIN || errno == EINTR)
                break;
            PyErr_SetFromErrno(PyExc_OSError);
            Py_CLEAR(packets);
            break;
        }
        int result = take(packets, (size_t)size);
        if (result < 0)
            Py_CLEAR(packets);
        else
            malformed += result;
    }
    return packets == NULL ? NULL : Py_BuildValue("Nl", packets, malformed);
}

static PyObject *
read_packets(PyObject *self, PyObject *Py_UNUSED(nothing))
{
    return read_batch(self, READ_SIZE, copy);
}

static PyObject *
read_frames(PyObject *self, PyObject *Py_UNUSED(nothing))
{
    return read_batch(self, FRAME_SIZE, split);
}

/* ---- writing ---- */

static PyObject *
write_one(PyObject *self, PyObject *packet, int offload)
{
    static const VNet WHOLE;
    int descriptor = (int)PyLong_AsLong(self);
    char *octets;
    Py_ssize_t size;

    if (PyBytes_AsStringAndSize(packet, &octets, &size) < 0)
        return NULL;
    struct iovec frame[2] = {{(void *)&WHOLE, VNET_SIZE}, {octets, (size_t)size}};
    if ((offload ? writev(descriptor, frame, 2) : write(descriptor, octets, (size_t)size)) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *
write_packet(PyObject *self, PyObject *packet)
{
    return write_one(self, packet, 0);
}

static PyObject *
write_frame(PyObject *self, PyObject *packet)
{
    return write_one(self, packet, 1);
}

static ssize_t
write_vectors(void *context, const struct iovec *frame, int vectors)
{
    return writev(*(const int *)context, frame, vectors);
}

static PyObject *
write_all(PyObject *self, PyObject *given, int offload)
{
    /* It is used only while the GIL is held, and knows what the kernel has refused before. */
    static Coalescing coalescing;
    int descriptor = (int)PyLong_AsLong(self);
    PyObject *packets = PySequence_Tuple(given);

    if (packets == NULL)
        return NULL;
    coalesce_begin(&coalescing, write_vectors, &descriptor, 0);
    Py_ssize_t count = PyTuple_Size(packets);
    for (Py_ssize_t i = 0; i < count; i++) {
        char *octets;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(packets, i), &octets, &size) < 0)
            break;
        if (offload)
            coalesce_add(&coalescing, (const uint8_t *)octets, (size_t)size);
        else if (write(descriptor, octets, (size_t)size) < 0)
            coalescing.refused++;
    }
    coalesce_end(&coalescing);
    Py_DECREF(packets);
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLong(coalescing.refused);
}

static PyObject *
write_packets(PyObject *self, PyObject *packets)
{
    return write_all(self, packets, 0);
}

static PyObject *
write_frames(PyObject *self, PyObject *packets)
{
    return write_all(self, packets, 1);
}

/* ---- the functions that make these ---- */

/* Without offload, and with it. */
static PyMethodDef READ[] = {
    {"read", read_packets, METH_NOARGS, "read(): return packets that have arrived."},
    {"read", read_frames, METH_NOARGS, "read(): return packets that have arrived."},
};
static PyMethodDef WRITE[] = {
    {"write", write_packet, METH_O, "write(packet): write one packet; raises OSError."},
    {"write", write_frame, METH_O, "write(packet): write one packet; raises OSError."},
};
static PyMethodDef WRITE_ALL[] = {
    {"writeAll", write_packets, METH_O, "writeAll(packets): return how many were refused."},
    {"writeAll", write_frames, METH_O, "writeAll(packets): return how many were refused."},
};

static PyObject *
bind(PyObject *arguments, PyMethodDef *methods)
{
    int descriptor, offload;

    if (!PyArg_ParseTuple(arguments, "ip", &descriptor, &offload))
        return NULL;
    PyObject *self = PyLong_FromLong(descriptor);
    if (self == NULL)
        return NULL;
    PyObject *function = PyCFunction_NewEx(&methods[offload], self, NULL);
    Py_DECREF(self);
    return function;
}

static PyObject *
reader(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    return bind(arguments, READ);
}

static PyObject *
writer(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    return bind(arguments, WRITE);
}

static PyObject *
all_writer(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    return bind(arguments, WRITE_ALL);
}

static PyMethodDef METHODS[] = {
    {"reader", reader, METH_VARARGS,
     "reader(descriptor, offload): return a function that reads packets from a device."},
    {"writer", writer, METH_VARARGS,
     "writer(descriptor, offload): return a function that writes a packet to a device."},
    {"allWriter", all_writer, METH_VARARGS,
     "allWriter(descriptor, offload): return a function that writes packets to a device."},
    {NULL, NULL, 0, NULL},
};

static int
execute(PyObject *module)
{
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot SLOTS[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pptpgw.ports._tun",
    .m_doc = "Reading from and writing to TUN and TAP devices, compiled.",
    .m_size = 0,
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC
PyInit__tun(void)
{
    return PyModuleDef_Init(&MODULE);
}
