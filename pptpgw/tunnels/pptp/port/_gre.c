/*
 * sender() and allSender() make functions that send GRE packets, as the methods of those names in raw.py
 * do, which describes them. The type Receiver is in _receiver.c.
 *
 * This uses the limited API of CPython 3.11.
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "_receiver.h"

/* The version of the interface to Python, as in pptpgw/ports/compiled.py. */
#define INTERFACE 10

/* BATCH of fair.py. */
#define BATCH 128

/* The data that a function made by sender() or allSender() is bound to, stored in a bytes object. */
typedef struct {
    int descriptor;
    struct in_addr source;
    struct sockaddr_in destination;
} Path;

/* The control message by which packets get their source address. */
typedef union {
    struct cmsghdr header;
    char octets[CMSG_SPACE(sizeof(struct in_pktinfo))];
} Control;

/* Read a path and write its control message. Return the beginning of every message on this path. */
static struct msghdr
address(PyObject *self, Path *path, Control *control)
{
    memcpy(path, PyBytes_AsString(self), sizeof *path);
    memset(control, 0, sizeof *control);
    control->header.cmsg_level = IPPROTO_IP;
    control->header.cmsg_type = IP_PKTINFO;
    control->header.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo information = {.ipi_spec_dst = path->source};
    memcpy(CMSG_DATA(&control->header), &information, sizeof information);
    return (struct msghdr){
        .msg_name = &path->destination,
        .msg_namelen = sizeof path->destination,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control->octets,
    };
}

/* Have a vector lead to the octets of a packet. Return -1 with an exception set on failure. */
static int
point(struct iovec *vector, PyObject *packet)
{
    char *octets;
    Py_ssize_t size;

    if (PyBytes_AsStringAndSize(packet, &octets, &size) < 0)
        return -1;
    *vector = (struct iovec){octets, (size_t)size};
    return 0;
}

static PyObject *
send_packet(PyObject *self, PyObject *packet)
{
    Path path;
    Control control;
    struct iovec vector;

    if (point(&vector, packet) < 0)
        return NULL;
    struct msghdr message = address(self, &path, &control);
    message.msg_iov = &vector;
    if (sendmsg(path.descriptor, &message, MSG_DONTWAIT) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* Append the place of a packet that wasn't sent and the error in errno to a list. Return -1 with an
 * exception set on failure. */
static int
append_failure(PyObject *failures, Py_ssize_t place)
{
    int number = errno;
    PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", number, strerror(number));
    PyObject *failure = error == NULL ? NULL : Py_BuildValue("nN", place, error);
    int failed = failure == NULL ? -1 : PyList_Append(failures, failure);
    Py_XDECREF(failure);
    return failed;
}

/* Send up to BATCH packets, the first of which has this place. Return -1 with an exception set on
 * failure. */
static int
send_batch(const Path *path, struct mmsghdr *messages, int count, PyObject *failures,
           Py_ssize_t place)
{
    for (int i = 0; i < count;) {
        int sent = sendmmsg(path->descriptor, messages + i, (unsigned)(count - i), MSG_DONTWAIT);
        if (sent > 0)
            i += sent;
        else if (append_failure(failures, place + i++) < 0)
            return -1;
    }
    return 0;
}

static PyObject *
send_all(PyObject *self, PyObject *given)
{
    Path path;
    Control control;
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
    PyObject *packets = PySequence_Tuple(given), *failures = PyList_New(0);

    if (packets == NULL || failures == NULL)
        goto failed;
    struct msghdr begin = address(self, &path, &control);
    Py_ssize_t total = PyTuple_Size(packets);
    for (Py_ssize_t place = 0; place < total; place += BATCH) {
        int count = total - place < BATCH ? (int)(total - place) : BATCH;
        for (int i = 0; i < count; i++) {
            if (point(&vectors[i], PyTuple_GetItem(packets, place + i)) < 0)
                goto failed;
            messages[i].msg_hdr = begin;
            messages[i].msg_hdr.msg_iov = &vectors[i];
        }
        if (send_batch(&path, messages, count, failures, place) < 0)
            goto failed;
    }
    Py_DECREF(packets);
    return failures;
failed:
    Py_XDECREF(packets);
    Py_XDECREF(failures);
    return NULL;
}

static PyMethodDef SEND = {
    "send", send_packet, METH_O, "send(packet): send one GRE packet; raises OSError.",
};
static PyMethodDef SEND_ALL = {
    "sendAll", send_all, METH_O, "sendAll(packets): send GRE packets; return the failures.",
};

static PyObject *
make(PyObject *arguments, PyMethodDef *method)
{
    Path path;
    const char *source, *destination;
    Py_ssize_t source_size, destination_size;

    memset(&path, 0, sizeof path);
    if (!PyArg_ParseTuple(arguments, "iy#y#", &path.descriptor, &source, &source_size, &destination,
                          &destination_size))
        return NULL;
    if (source_size != 4 || destination_size != 4) {
        PyErr_SetString(PyExc_ValueError, "an IPv4 address has 4 octets");
        return NULL;
    }
    memcpy(&path.source, source, 4);
    path.destination.sin_family = AF_INET;
    memcpy(&path.destination.sin_addr, destination, 4);
    PyObject *bound = PyBytes_FromStringAndSize((const char *)&path, sizeof path);
    if (bound == NULL)
        return NULL;
    PyObject *function = PyCFunction_NewEx(method, bound, NULL);
    Py_DECREF(bound);
    return function;
}

static PyObject *
sender(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    return make(arguments, &SEND);
}

static PyObject *
all_sender(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    return make(arguments, &SEND_ALL);
}

static PyMethodDef METHODS[] = {
    {"sender", sender, METH_VARARGS,
     "sender(descriptor, source, destination): return a function that sends a packet."},
    {"allSender", all_sender, METH_VARARGS,
     "allSender(descriptor, source, destination): return a function that sends packets."},
    {NULL, NULL, 0, NULL},
};

static int
execute(PyObject *module)
{
    if (add_receiver(module) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot SLOTS[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pptpgw.tunnels.pptp.port._gre",
    .m_doc = "Reading and sending GRE packets, compiled.",
    .m_size = 0,
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC
PyInit__gre(void)
{
    return PyModuleDef_Init(&MODULE);
}
