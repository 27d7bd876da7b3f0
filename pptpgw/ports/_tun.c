/*
 * writer() makes a function that writes packets to a TUN or TAP device: it is os.write() for one
 * descriptor, which tun.py uses otherwise, but neither releases the GIL nor repeats a call that a
 * signal interrupted.
 *
 * This module uses the limited API of CPython 3.11.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <unistd.h>

/* The version of the interface to Python, as in compiled.py. */
#define INTERFACE 2

static PyObject *
write_packet(PyObject *self, PyObject *packet)
{
    char *octets;
    Py_ssize_t size;

    if (PyBytes_AsStringAndSize(packet, &octets, &size) < 0)
        return NULL;
    long descriptor = PyLong_AsLong(self);
    if (write((int)descriptor, octets, (size_t)size) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyMethodDef WRITE = {
    "write", write_packet, METH_O, "write(packet): write one packet; raises OSError.",
};

static PyObject *
writer(PyObject *Py_UNUSED(module), PyObject *descriptor)
{
    long number = PyLong_AsLong(descriptor);

    if (number == -1 && PyErr_Occurred())
        return NULL;
    return PyCFunction_NewEx(&WRITE, descriptor, NULL);
}

static PyMethodDef METHODS[] = {
    {"writer", writer, METH_O,
     "writer(descriptor): return a function that writes packets to a device."},
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
    .m_doc = "Writing packets to TUN and TAP devices, compiled.",
    .m_size = 0,
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC
PyInit__tun(void)
{
    return PyModuleDef_Init(&MODULE);
}
