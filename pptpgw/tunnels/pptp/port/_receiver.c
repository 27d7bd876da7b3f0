/*
 * Receiver reads GRE packets from a raw socket, has them wait in a lane for each call
 * (native/lanes.h), and returns the frames of those whose turn it is. It does the same as
 * PythonReceiver of raw.py, which describes it.
 *
 * Packets of another form than native/gre.h knows, or of unknown calls, are passed to Python whole.
 */

#define _GNU_SOURCE
#include "_receiver.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../../../datapath/native/gre.h"
#include "../../../datapath/native/lanes.h"
#include "../../../datapath/native/packet.h"

/* READ and BATCH of fair.py. */
#define READ 1024
#define BATCH 128

/* Where the call id is in the GRE header. */
#define CALL_ID 6

/* How many packets are read by one system call. */
#define AT_ONCE 32

typedef struct {
    PyObject_HEAD
    int descriptor;
    Lanes *lanes;
    /* Where packets are read. */
    struct iovec vectors[AT_ONCE];
    struct mmsghdr messages[AT_ONCE];
} Receiver;

/* Return the key of the call that a packet belongs to, if it has the form of one of a call. */
static uint64_t
key_of(const uint8_t *octets, size_t size)
{
    size_t start = size > 0 ? (octets[0] & 0x0Fu) * 4 : 0;

    if (start < IPV4_HEADER || start + GRE_SHORTEST > size)
        return LANES_STRAYS;
    return (uint64_t)packet_number(octets + IPV4_SOURCE) << 16 | packet_word(octets + start + CALL_ID);
}

/* Set *channel to the channel of a key, a new reference; to None if there is no such call; to NULL with
 * an exception set on failure. What it was before is released. */
static void
find(PyObject *channels, uint64_t key, PyObject **channel)
{
    PyObject *number = PyLong_FromUnsignedLongLong(key), *before = *channel;
    PyObject *found = number == NULL ? NULL : PyDict_GetItemWithError(channels, number);

    if (found == NULL && !PyErr_Occurred())
        found = Py_None;
    Py_XINCREF(found);
    *channel = found;
    Py_XDECREF(before);
    Py_XDECREF(number);
}

/* ---- reading ---- */

/* How many packets of one key were dropped, one after the other. */
typedef struct {
    uint64_t key;
    unsigned long count;
} Dropped;

/* Add what was dropped to a dict. Return -1 with an exception set on failure. */
static int
note(PyObject *drops, const Dropped *dropped)
{
    if (dropped->count == 0)
        return 0;
    PyObject *key = PyLong_FromUnsignedLongLong(dropped->key);
    PyObject *before = key == NULL ? NULL : PyDict_GetItemWithError(drops, key);
    unsigned long count = dropped->count + (before == NULL ? 0 : PyLong_AsUnsignedLong(before));
    PyObject *after = PyErr_Occurred() ? NULL : PyLong_FromUnsignedLong(count);
    int failed = after == NULL ? -1 : PyDict_SetItem(drops, key, after);
    Py_XDECREF(key);
    Py_XDECREF(after);
    return failed;
}

/* Have a packet wait, and note the one that is dropped for it. Return -1 with an exception set on
 * failure. */
static int
wait_for_turn(Receiver *self, Slot *packet, PyObject *channels, PyObject *drops, Dropped *dropped)
{
    uint64_t key = key_of(packet->octets, packet->waiting.size), loser;

    if (!fair_has(&self->lanes->fair, key)) {
        PyObject *channel = NULL;
        find(channels, key, &channel);
        if (channel == NULL) {
            lanes_free(self->lanes, packet);
            return -1;
        }
        if (channel == Py_None)
            key = LANES_STRAYS;
        Py_DECREF(channel);
    }
    if (!lanes_add(self->lanes, key, packet, &loser))
        return 0;
    if (loser == dropped->key) {
        dropped->count++;
        return 0;
    }
    int failed = note(drops, dropped);
    *dropped = (Dropped){loser, 1};
    return failed;
}

/* Read up to AT_ONCE packets into the last ones that are unused. Return how many were read; -1 with
 * errno set on failure. */
static int
read_some(Receiver *self, Slot **read)
{
    for (int i = 0; i < AT_ONCE; i++) {
        read[i] = lanes_slot(self->lanes);
        self->vectors[i] = (struct iovec){read[i]->octets, PACKET_SIZE};
    }
    int count = recvmmsg(self->descriptor, self->messages, AT_ONCE, MSG_DONTWAIT, NULL);
    for (int i = AT_ONCE; i > (count < 0 ? 0 : count); i--)
        lanes_free(self->lanes, read[i - 1]);
    for (int i = 0; i < count; i++)
        read[i]->waiting.size = self->messages[i].msg_len;
    return count;
}

static PyObject *
receiver_read(Receiver *self, PyObject *channels)
{
    if (!PyDict_Check(channels)) {
        PyErr_SetString(PyExc_TypeError, "read(channels)");
        return NULL;
    }
    PyObject *drops = PyDict_New();
    Slot *read[AT_ONCE];
    Dropped dropped = {LANES_STRAYS, 0};
    int count = AT_ONCE;
    for (int total = 0; drops != NULL && count == AT_ONCE && total < READ; total += count) {
        count = read_some(self, read);
        if (count < 0 && total == 0 && errno != EAGAIN && errno != EINTR) {
            PyErr_SetFromErrno(PyExc_OSError);
            Py_CLEAR(drops);
        }
        for (int i = 0; i < count; i++) {
            if (drops == NULL)
                lanes_free(self->lanes, read[i]);
            else if (wait_for_turn(self, read[i], channels, drops, &dropped) < 0)
                Py_CLEAR(drops);
        }
    }
    if (drops != NULL && note(drops, &dropped) < 0)
        Py_CLEAR(drops);
    return drops;
}

/* ---- taking ---- */

/* What was appended last to the list of runs. */
typedef struct {
    PyObject *channel;
    Frame frame;
    /* The list of frames of the last run, a borrowed reference. */
    PyObject *frames;
} Last;

/* Append a run of one frame. Return -1 with an exception set on failure. */
static int
begin(PyObject *runs, Last *last, PyObject *octets)
{
    last->frames = PyList_New(0);
    PyObject *run = last->frames == NULL
                        ? NULL
                        : Py_BuildValue("(OkkN)", last->channel, (unsigned long)last->frame.sequence,
                                        (unsigned long)last->frame.protocol, last->frames);
    int failed = run == NULL || PyList_Append(last->frames, octets) < 0
                 || PyList_Append(runs, run) < 0;
    Py_XDECREF(run);
    return failed ? -1 : 0;
}

/* Append the frame of a channel to the last run, if it continues that, and otherwise as a new run.
 * Return -1 with an exception set on failure. */
static int
append(PyObject *runs, Last *last, PyObject *channel, const Frame *frame)
{
    PyObject *octets
        = PyBytes_FromStringAndSize((const char *)frame->information, (Py_ssize_t)frame->length);
    if (octets == NULL)
        return -1;
    int continues = channel != Py_None && channel == last->channel
                    && frame->protocol == last->frame.protocol
                    && frame->sequence == (uint64_t)last->frame.sequence + 1;
    last->channel = channel;
    last->frame = *frame;
    int failed = continues ? PyList_Append(last->frames, octets) : begin(runs, last, octets);
    Py_DECREF(octets);
    return failed;
}

static PyObject *
receiver_take(Receiver *self, PyObject *channels)
{
    if (!PyDict_Check(channels)) {
        PyErr_SetString(PyExc_TypeError, "take(channels)");
        return NULL;
    }
    PyObject *runs = PyList_New(0), *channel = NULL;
    Last last = {.channel = Py_None};
    uint64_t key, found = 0;
    for (int i = 0; runs != NULL && i < BATCH; i++) {
        Slot *packet = lanes_take(self->lanes, &key);
        if (packet == NULL)
            break;
        lanes_free(self->lanes, packet);
        if (channel == NULL || key != found) {
            find(channels, key, &channel);
            found = key;
        }
        size_t size = packet->waiting.size;
        Frame frame;
        PyObject *to = channel;
        if (channel == NULL || channel == Py_None
            || gre_parse(packet->octets, size, &frame) != FRAME_FOUND) {
            frame = (Frame){.information = packet->octets, .length = size};
            to = Py_None;
        }
        if (channel == NULL || append(runs, &last, to, &frame) < 0)
            Py_CLEAR(runs);
    }
    Py_XDECREF(channel);
    return runs;
}

/* ---- the type ---- */

static PyObject *
receiver_waiting(Receiver *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(self->lanes->fair.waiting);
}

static PyObject *
receiver_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    int descriptor;

    if (!PyArg_ParseTuple(arguments, "i", &descriptor))
        return NULL;
    Receiver *self = (Receiver *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    self->descriptor = descriptor;
    self->lanes = malloc(sizeof *self->lanes);
    if (self->lanes == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    lanes_begin(self->lanes);
    for (int i = 0; i < AT_ONCE; i++)
        self->messages[i].msg_hdr = (struct msghdr){.msg_iov = &self->vectors[i], .msg_iovlen = 1};
    return (PyObject *)self;
}

static void
receiver_dealloc(Receiver *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    free(self->lanes);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef METHODS[] = {
    {"read", METHOD(receiver_read), METH_O,
     "read(channels): have packets wait that have arrived; return how many of each call were dropped."},
    {"take", METHOD(receiver_take), METH_O,
     "take(channels): return the runs of frames whose turn it is."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef VALUES[] = {
    {"waiting", (getter)receiver_waiting, NULL, "The number of packets that wait.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot RECEIVER_SLOTS[] = {
    {Py_tp_doc, "The packets of a raw socket for GRE."},
    {Py_tp_new, receiver_new},
    {Py_tp_dealloc, receiver_dealloc},
    {Py_tp_methods, METHODS},
    {Py_tp_getset, VALUES},
    {0, NULL},
};

static PyType_Spec RECEIVER = {
    "pptpgw.tunnels.pptp.port._gre.Receiver", sizeof(Receiver), 0, Py_TPFLAGS_DEFAULT,
    RECEIVER_SLOTS,
};

int
add_receiver(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &RECEIVER, NULL);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed;
}
