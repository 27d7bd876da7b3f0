/*
 * receive() reads GRE packets and finds the calls that they belong to; sender() makes a function that
 * sends them. Both do the same as the methods of those names in raw.py, which describes them.
 *
 * This uses the limited API of CPython 3.11. It knows only one form of header, and checks every
 * length in it. Packets of another form, or of unknown calls, are passed to Python whole.
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* The version of the interface to Python, as in pptpgw/ports/compiled.py. */
#define INTERFACE 2

/* RECEIVE_SIZE and BATCH of raw.py. */
#define RECEIVE_SIZE 4096
#define BATCH 128

/* Offsets in a packet: an IP header without options, then the GRE header, which has flags and
 * version, protocol type, length, call id, and one or two numbers. */
#define SOURCE 12
#define GRE 20
#define ONE_NUMBER (GRE + 12)
#define TWO_NUMBERS (GRE + 16)
#define DATA 0x3001880Bu
#define DATA_ACKNOWLEDGEMENT 0x3081880Bu

/* The packet that is being handled. It is used only while the GIL is held. */
static uint8_t buffer[RECEIVE_SIZE];

static uint32_t
number(const uint8_t *octets)
{
    return (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16 | (uint32_t)octets[2] << 8
           | octets[3];
}

/* A PPP frame, and the call that it belongs to. */
typedef struct {
    PyObject *channel; /* borrowed; None: no call's, and information is the whole packet */
    uint64_t key;      /* peer address and call id, as in the dict of channels */
    uint32_t sequence;
    unsigned protocol;
    const uint8_t *information;
    size_t length;
} Frame;

/* Parse a packet into *frame. Return 0 if Python has to handle it, or if an exception is set. Most
 * packets belong to the same call as the one before, whose channel needn't be looked up again. */
static int
parse(PyObject *channels, const uint8_t *octets, size_t size, const Frame *last, Frame *frame)
{
    if (size < ONE_NUMBER || octets[0] != 0x45)
        return 0;
    uint32_t first = number(octets + GRE), second = number(octets + GRE + 4);
    size_t start;
    if (first == DATA)
        start = ONE_NUMBER;
    else if (first == DATA_ACKNOWLEDGEMENT)
        start = TWO_NUMBERS;
    else
        return 0;
    size_t length = second >> 16;
    if (start + length > size)
        return 0;

    const uint8_t *at = octets + start;
    if (length >= 2 && at[0] == 0xFF && at[1] == 0x03) {
        at += 2;
        length -= 2;
    }
    if (length >= 1 && at[0] & 1) {
        frame->protocol = at[0];
        at += 1;
        length -= 1;
    }
    else if (length >= 2 && at[1] & 1) {
        frame->protocol = (unsigned)at[0] << 8 | at[1];
        at += 2;
        length -= 2;
    }
    else
        return 0;
    frame->information = at;
    frame->length = length;
    frame->sequence = number(octets + GRE + 8);

    frame->key = (uint64_t)number(octets + SOURCE) << 16 | (second & 0xFFFF);
    if (last->channel != Py_None && last->key == frame->key) {
        frame->channel = last->channel;
        return 1;
    }
    PyObject *key = PyLong_FromUnsignedLongLong(frame->key);
    if (key == NULL)
        return 0;
    frame->channel = PyDict_GetItemWithError(channels, key);
    Py_DECREF(key);
    return frame->channel != NULL;
}

/* Make a run of one frame. *list becomes its list of frames, a borrowed reference. */
static PyObject *
begin(const Frame *frame, PyObject *octets, PyObject **list)
{
    PyObject *run = PyTuple_New(4);
    if (run == NULL)
        return NULL;
    Py_INCREF(frame->channel);
    Py_INCREF(octets);
    PyObject *items[4] = {
        frame->channel,
        PyLong_FromUnsignedLong(frame->sequence),
        PyLong_FromUnsignedLong(frame->protocol),
        *list = PyList_New(1),
    };
    int failed = *list == NULL;
    if (failed)
        Py_DECREF(octets);
    else
        PyList_SetItem(*list, 0, octets);
    for (int i = 0; i < 4; i++) {
        failed |= items[i] == NULL;
        /* This steals the reference, which may be NULL. */
        PyTuple_SetItem(run, i, items[i]);
    }
    if (failed)
        Py_CLEAR(run);
    return run;
}

/* Append a frame to the last run, whose list of frames is *list, if it continues that run, and
 * otherwise as a new run. Return -1 with an exception set on failure. */
static int
append(PyObject *runs, PyObject **list, const Frame *last, const Frame *frame)
{
    PyObject *octets
        = PyBytes_FromStringAndSize((const char *)frame->information, (Py_ssize_t)frame->length);
    if (octets == NULL)
        return -1;
    int failed = -1;
    if (frame->channel != Py_None && frame->channel == last->channel
        && frame->protocol == last->protocol && frame->sequence == (uint64_t)last->sequence + 1)
        failed = PyList_Append(*list, octets);
    else {
        PyObject *run = begin(frame, octets, list);
        if (run != NULL)
            failed = PyList_Append(runs, run);
        Py_XDECREF(run);
    }
    Py_DECREF(octets);
    return failed;
}

static PyObject *
receive(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    if (given != 2 || !PyDict_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "receive(descriptor, channels)");
        return NULL;
    }
    long descriptor = PyLong_AsLong(arguments[0]);
    if (descriptor == -1 && PyErr_Occurred())
        return NULL;
    PyObject *runs = PyList_New(0), *list = NULL;
    Frame last = {.channel = Py_None};
    for (int i = 0; runs != NULL && i < BATCH; i++) {
        ssize_t size = recv((int)descriptor, buffer, RECEIVE_SIZE, MSG_DONTWAIT);
        if (size < 0) {
            if (errno == EAGAIN || errno == EINTR || i > 0)
                break;
            PyErr_SetFromErrno(PyExc_OSError);
            Py_CLEAR(runs);
            break;
        }
        Frame frame;
        if (!parse(arguments[1], buffer, (size_t)size, &last, &frame))
            frame = (Frame){Py_None, 0, 0, 0, buffer, (size_t)size};
        if (PyErr_Occurred() || append(runs, &list, &last, &frame) < 0)
            Py_CLEAR(runs);
        last = frame;
    }
    return runs;
}

/* The data that a function made by sender() is bound to, stored in a bytes object. */
typedef struct {
    int descriptor;
    struct in_addr source;
    struct sockaddr_in destination;
} Path;

static PyObject *
send_packet(PyObject *self, PyObject *packet)
{
    Path path;
    char *octets;
    Py_ssize_t size;
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control;

    if (PyBytes_AsStringAndSize(packet, &octets, &size) < 0)
        return NULL;
    memcpy(&path, PyBytes_AsString(self), sizeof path);
    memset(&control, 0, sizeof control);
    control.header.cmsg_level = IPPROTO_IP;
    control.header.cmsg_type = IP_PKTINFO;
    control.header.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo information = {.ipi_spec_dst = path.source};
    memcpy(CMSG_DATA(&control.header), &information, sizeof information);
    struct iovec vector = {octets, (size_t)size};
    struct msghdr message = {
        .msg_name = &path.destination,
        .msg_namelen = sizeof path.destination,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control.octets,
    };
    if (sendmsg(path.descriptor, &message, MSG_DONTWAIT) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyMethodDef SEND = {
    "send", send_packet, METH_O, "send(packet): send one GRE packet; raises OSError.",
};

static PyObject *
sender(PyObject *Py_UNUSED(module), PyObject *arguments)
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
    PyObject *function = PyCFunction_NewEx(&SEND, bound, NULL);
    Py_DECREF(bound);
    return function;
}

/* PyMethodDef has one function type for all; the cast by way of void avoids a warning. */
static PyMethodDef METHODS[] = {
    {"receive", (PyCFunction)(void (*)(void))receive, METH_FASTCALL,
     "receive(descriptor, channels): return the runs of frames that have arrived."},
    {"sender", sender, METH_VARARGS,
     "sender(descriptor, source, destination): return a function that sends packets."},
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
