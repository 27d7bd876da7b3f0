/*
 * Encryption and decryption of MPPE packets, one call for each packet or for a run of them:
 * native/mppe.c as objects of Python, twins of PythonEncryptor and PythonDecryptor in mppe.py.
 *
 * This module uses the limited API of CPython 3.11. An object holds its state in place, except for
 * RC4's in stateful mode; the only memory that a call allocates is what it returns. Every length that
 * comes from the caller is checked before it is used.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "native/mppe.h"

/* The number INTERFACE of pptpgw/ports/compiled.py. */
#define INTERFACE 10

#define LONGEST 65535

typedef struct {
    PyObject_HEAD
    MPPE mppe;
} Cipher;

/* Return an object without a state, with memory for RC4 if it is stateful. */
static Cipher *
allocate(PyTypeObject *type, int stateful)
{
    Cipher *self = (Cipher *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);

    if (self != NULL && stateful) {
        self->mppe.stream = PyMem_Calloc(1, sizeof(RC4));
        if (self->mppe.stream == NULL) {
            PyErr_NoMemory();
            Py_CLEAR(self);
        }
    }
    return self;
}

static PyObject *
cipher_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *NAMES[] = {"startKey", "bits", "stateful", NULL};
    const char *start;
    Py_ssize_t length;
    int bits, stateful = 0;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y#i|p", NAMES, &start, &length, &bits,
                                     &stateful))
        return NULL;
    if (!mppe_fits((size_t)length, bits)) {
        PyErr_SetString(PyExc_ValueError, "MPPE takes 8 octets for 40 or 56 bits, 16 for 128");
        return NULL;
    }
    Cipher *self = allocate(type, stateful);
    if (self != NULL)
        mppe_start(&self->mppe, (const uint8_t *)start, (size_t)length, bits, self->mppe.stream);
    return (PyObject *)self;
}

static void
cipher_dealloc(Cipher *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    mppe_forget(&self->mppe);
    PyMem_Free(self->mppe.stream);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *
cipher_state(Cipher *self, PyObject *Py_UNUSED(nothing))
{
    uint8_t state[MPPE_STATE];

    return PyBytes_FromStringAndSize((const char *)state,
                                     (Py_ssize_t)mppe_save(&self->mppe, state));
}

static PyObject *
cipher_restore(Cipher *self, PyObject *argument)
{
    char *state;
    Py_ssize_t size;

    if (PyBytes_AsStringAndSize(argument, &state, &size) < 0)
        return NULL;
    if (mppe_is_stateful((size_t)size) != (self->mppe.stream != NULL)
        || mppe_restore(&self->mppe, (const uint8_t *)state, (size_t)size, self->mppe.stream) < 0) {
        PyErr_SetString(PyExc_ValueError, "no state of this object");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- sending ---- */

static PyObject *
encryptor_encrypt(Cipher *self, PyObject *const *arguments, Py_ssize_t given)
{
    char *parts[3];
    Py_ssize_t sizes[3], total = MPPE_HEADER;

    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, "encrypt(prefix, protocol, packet)");
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        if (PyBytes_AsStringAndSize(arguments[i], &parts[i], &sizes[i]) < 0)
            return NULL;
        if (sizes[i] > LONGEST) {
            PyErr_SetString(PyExc_ValueError, "longer than any packet");
            return NULL;
        }
        total += sizes[i];
    }
    PyObject *frame = PyBytes_FromStringAndSize(NULL, total);
    if (frame == NULL)
        return NULL;
    uint8_t *to = (uint8_t *)PyBytes_AsString(frame);

    memcpy(to, parts[0], (size_t)sizes[0]);
    to += sizes[0];
    mppe_encrypt(&self->mppe, (const uint8_t *)parts[1], (size_t)sizes[1],
                 (const uint8_t *)parts[2], (size_t)sizes[2], to);
    return frame;
}

static PyObject *
encryptor_reset(Cipher *self, PyObject *Py_UNUSED(nothing))
{
    mppe_reset(&self->mppe);
    Py_RETURN_NONE;
}

/* ---- receiving ---- */

static PyObject *
decryptor_decrypt(Cipher *self, PyObject *argument)
{
    char *octets;
    Py_ssize_t size;

    if (PyBytes_AsStringAndSize(argument, &octets, &size) < 0)
        return NULL;
    const uint8_t *frame = (const uint8_t *)octets;
    int refusal = mppe_check(&self->mppe, frame, (size_t)size);
    if (refusal)
        return PyLong_FromLong(refusal);
    PyObject *result = PyBytes_FromStringAndSize(NULL, size - MPPE_HEADER);
    if (result != NULL) {
        Received received = {frame, (size_t)size, (uint8_t *)PyBytes_AsString(result)};
        mppe_decrypt(&self->mppe, &received);
    }
    return result;
}

/* The plaintexts of the frames that are decrypted at once, used only while the GIL is held. */
static uint8_t plains[RC4_STREAMS][LONGEST];

/* Append the packet in a plaintext of at least one octet to the last run, whose list of packets is
 * *list and whose protocol number is *last, if it continues that run, and otherwise as a new run.
 * Return -1 with an exception set on failure. */
static int
append(PyObject *runs, PyObject **list, long *last, const uint8_t *plain, size_t size)
{
    long protocol = plain[0];
    size_t start = 1;
    int failed = 0;

    if (!(protocol & 1) && size > 1) {
        protocol = protocol << 8 | plain[1];
        start = 2;
    }
    if (*list == NULL || protocol != *last) {
        *list = PyList_New(0);
        PyObject *run = *list == NULL ? NULL : Py_BuildValue("(lN)", protocol, *list);
        failed = run == NULL || PyList_Append(runs, run) < 0;
        Py_XDECREF(run);
        *last = protocol;
    }
    if (failed)
        return -1;
    PyObject *packet
        = PyBytes_FromStringAndSize((const char *)plain + start, (Py_ssize_t)(size - start));
    if (packet == NULL)
        return -1;
    failed = PyList_Append(*list, packet);
    Py_DECREF(packet);
    return failed;
}

/* Have *received stand for frame number i of a list. Return -1 with an exception set on failure. */
static int
take(PyObject *frames, Py_ssize_t i, Received *received)
{
    char *octets;
    Py_ssize_t size;
    PyObject *frame = PyList_GetItem(frames, i);

    if (frame == NULL || PyBytes_AsStringAndSize(frame, &octets, &size) < 0)
        return -1;
    if (size > LONGEST) {
        PyErr_SetString(PyExc_ValueError, "longer than any packet");
        return -1;
    }
    received->frame = (const uint8_t *)octets;
    received->size = (size_t)size;
    return 0;
}

static PyObject *
decryptor_decrypt_run(Cipher *self, PyObject *frames)
{
    Received received[RC4_STREAMS];
    Streams streams = {.count = 0};
    PyObject *list = NULL;
    long last = 0;

    if (!PyList_Check(frames)) {
        PyErr_SetString(PyExc_TypeError, "decryptRun(frames)");
        return NULL;
    }
    Py_ssize_t count = PyList_Size(frames);
    /* Nothing changes if one of them is no frame. */
    for (Py_ssize_t i = 0; i < count; i++)
        if (take(frames, i, received) < 0)
            return NULL;
    PyObject *runs = PyList_New(0);
    for (Py_ssize_t i = 0; runs != NULL && i < count;) {
        unsigned some = count - i < RC4_STREAMS ? (unsigned)(count - i) : RC4_STREAMS;
        for (unsigned each = 0; each < some; each++) {
            received[each].plain = plains[each];
            if (take(frames, i + each, &received[each]) < 0) {
                Py_DECREF(runs);
                return NULL;
            }
        }
        unsigned done = mppe_decrypt_run(&self->mppe, received, some, &streams);
        streams_end(&streams);
        for (unsigned each = 0; runs != NULL && each < done; each++)
            if (append(runs, &list, &last, plains[each], received[each].size - MPPE_HEADER) < 0)
                Py_CLEAR(runs);
        i = done < some ? count : i + some;
    }
    return runs;
}

static PyObject *
decryptor_skip(Cipher *self, PyObject *argument)
{
    unsigned long packets = PyLong_AsUnsignedLong(argument);
    if (packets == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    mppe_skip(&self->mppe, packets);
    Py_RETURN_NONE;
}

static PyObject *
decryptor_copy(Cipher *self, PyObject *Py_UNUSED(nothing))
{
    Cipher *other = allocate(Py_TYPE((PyObject *)self), self->mppe.stream != NULL);
    if (other == NULL)
        return NULL;
    mppe_copy(&other->mppe, &self->mppe, other->mppe.stream);
    mppe_reset(&other->mppe);
    return (PyObject *)other;
}

/* ---- the module ---- */

/* PyMethodDef has one type for all functions. A cast by way of a function without parameters is the
 * one that compilers don't warn about. */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* The methods that both types have. */
#define STATE_METHODS                                                                              \
    {"state", METHOD(cipher_state), METH_NOARGS, "state(): the state, for this process alone."},   \
    {                                                                                              \
        "restore", METHOD(cipher_restore), METH_O, "restore(state): go on from a state."           \
    }

static PyMethodDef ENCRYPTOR_METHODS[] = {
    {"encrypt", METHOD(encryptor_encrypt), METH_FASTCALL,
     "encrypt(prefix, protocol, packet): prefix, MPPE header and ciphertext."},
    {"reset", METHOD(encryptor_reset), METH_NOARGS, "Flag the next packet."},
    STATE_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef DECRYPTOR_METHODS[] = {
    {"decrypt", METHOD(decryptor_decrypt), METH_O,
     "decrypt(frame): the plaintext, or why there is none."},
    {"decryptRun", METHOD(decryptor_decrypt_run), METH_O,
     "decryptRun(frames): the protocols and packets of the frames that can be decrypted."},
    {"skip", METHOD(decryptor_skip), METH_O, "skip(packets): leave out so many packets."},
    {"copy", METHOD(decryptor_copy), METH_NOARGS, "copy(): another in the same state."},
    STATE_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyMemberDef MEMBERS[] = {
    {"count", T_USHORT, offsetof(Cipher, mppe.count), READONLY, "The last packet's coherency count."},
    {"rekeys", T_UINT, offsetof(Cipher, mppe.rekeys), READONLY, "How often the key changed."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot ENCRYPTOR_SLOTS[] = {
    {Py_tp_doc, "One direction of MPPE, sending."},
    {Py_tp_new, cipher_new},
    {Py_tp_dealloc, cipher_dealloc},
    {Py_tp_methods, ENCRYPTOR_METHODS},
    {Py_tp_members, MEMBERS},
    {0, NULL},
};

static PyType_Slot DECRYPTOR_SLOTS[] = {
    {Py_tp_doc, "One direction of MPPE, receiving."},
    {Py_tp_new, cipher_new},
    {Py_tp_dealloc, cipher_dealloc},
    {Py_tp_methods, DECRYPTOR_METHODS},
    {Py_tp_members, MEMBERS},
    {0, NULL},
};

static PyType_Spec ENCRYPTOR = {
    "pptpgw.datapath._mppe.Encryptor", sizeof(Cipher), 0, Py_TPFLAGS_DEFAULT, ENCRYPTOR_SLOTS,
};

static PyType_Spec DECRYPTOR = {
    "pptpgw.datapath._mppe.Decryptor", sizeof(Cipher), 0, Py_TPFLAGS_DEFAULT, DECRYPTOR_SLOTS,
};

static int
execute(PyObject *module)
{
    PyType_Spec *specs[] = {&ENCRYPTOR, &DECRYPTOR};

    for (int i = 0; i < 2; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        if (type == NULL)
            return -1;
        int failed = PyModule_AddType(module, (PyTypeObject *)type);
        Py_DECREF(type);
        if (failed < 0)
            return -1;
    }
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot MODULE_SLOTS[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pptpgw.datapath._mppe",
    .m_doc = "MPPE, compiled.",
    .m_size = 0,
    .m_slots = MODULE_SLOTS,
};

PyMODINIT_FUNC
PyInit__mppe(void)
{
    return PyModuleDef_Init(&MODULE);
}
