/*
 * Encryption and decryption of MPPE packets (RFC 3078, RFC 3079), one call for each packet: the
 * compiled twin of PythonEncryptor and PythonDecryptor in mppe.py, where the terms and constants
 * are explained.
 *
 * This module uses the limited API of CPython 3.11. An object holds all of its state in place; the
 * only memory that a call allocates is the bytes object that it returns. Every offset that comes
 * from the caller or from the network is checked before it is used.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The number INTERFACE of pptpgw/ports/compiled.py. */
#define INTERFACE 2

#define COUNTS 4096
#define FLUSHED 0x8000
#define ENCRYPTED 0x1000
#define FLAGS 0xF000
#define LONGEST 65535
#define RESETS 8

/* The reasons for which decrypt() refuses a frame, as in mppe.py. */
#define MALFORMED 1
#define SKIPPED 2
#define LOST 3

/* ---- SHA-1 (FIPS 180-4), one block at a time ---- */

#define ROTATE(value, bits) (((value) << (bits)) | ((value) >> (32 - (bits))))

static void
sha1_block(uint32_t state[5], const uint8_t *octets)
{
    uint32_t w[16], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)octets[4 * i] << 24 | (uint32_t)octets[4 * i + 1] << 16
               | (uint32_t)octets[4 * i + 2] << 8 | octets[4 * i + 3];

#define EXPAND(i)                                                                                  \
    (w[(i) & 15] = ROTATE(w[((i) + 13) & 15] ^ w[((i) + 8) & 15] ^ w[((i) + 2) & 15] ^ w[(i) & 15], 1))
#define ROUND(f, k, word)                                                                          \
    do {                                                                                           \
        uint32_t sum = ROTATE(a, 5) + (f) + e + (k) + (word);                                      \
        e = d, d = c, c = ROTATE(b, 30), b = a, a = sum;                                           \
    } while (0)

    int i = 0;
    for (; i < 16; i++)
        ROUND((b & c) | (~b & d), 0x5A827999u, w[i]);
    for (; i < 20; i++)
        ROUND((b & c) | (~b & d), 0x5A827999u, EXPAND(i));
    for (; i < 40; i++)
        ROUND(b ^ c ^ d, 0x6ED9EBA1u, EXPAND(i));
    for (; i < 60; i++)
        ROUND((b & c) | (b & d) | (c & d), 0x8F1BBCDCu, EXPAND(i));
    for (; i < 80; i++)
        ROUND(b ^ c ^ d, 0xCA62C1D6u, EXPAND(i));

    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* ---- RC4 ---- */

/* Both loops below read the next entry of the table before they write this step's swap, and correct
 * the entry if the swap changed it. So no step waits for the stores of the step before: rc4_key()
 * takes half the time and rc4_apply() two thirds. */

/* The entries are words and not octets, which makes the loops a tenth faster. */
typedef struct {
    uint32_t table[256];
    uint8_t i, j;
} RC4;

static void
rc4_key(RC4 *restrict rc4, const uint8_t *restrict key, unsigned length)
{
    uint32_t *restrict table = rc4->table;
    unsigned j = 0;

    for (unsigned i = 0; i < 256; i++)
        table[i] = i;
    uint32_t value = 0;
    for (unsigned i = 0; i < 256; i++) {
        unsigned following = (i + 1) & 255;
        uint32_t next = table[following];
        /* The length is 8 or 16, so this mask gives the remainder of a division by it. */
        j = (j + value + key[i & (length - 1)]) & 255;
        table[i] = table[j];
        table[j] = value;
        value = j == following ? value : next;
    }
    rc4->i = rc4->j = 0;
}

static void
rc4_apply(RC4 *restrict rc4, const uint8_t *restrict from, uint8_t *restrict to, size_t length)
{
    uint32_t *restrict table = rc4->table;
    unsigned i = (rc4->i + 1u) & 255, j = rc4->j;
    uint32_t value = table[i];

    for (size_t n = 0; n < length; n++) {
        unsigned following = (i + 1) & 255;
        uint32_t next = table[following];
        j = (j + value) & 255;
        uint32_t other = table[j];
        table[i] = other;
        table[j] = value;
        to[n] = from[n] ^ (uint8_t)table[(value + other) & 255];
        value = j == following ? value : next;
        i = following;
    }
    rc4->i = (uint8_t)(i - 1);
    rc4->j = (uint8_t)j;
}

/* ---- keys (RFC 3079 sections 2 and 3, RFC 3078 section 7) ---- */

typedef struct {
    PyObject_HEAD
    RC4 rc4;
    uint8_t start[16], session[16];
    uint8_t length, bits;
    uint8_t stateful;
    /* Whether the next packet must be flushed: to be sent so, or to be accepted. */
    uint8_t pending;
    uint16_t count;
    unsigned int rekeys;
} Cipher;

/* GetNewKeyFromSHA: the first octets of SHA-1 over both keys and the two pads. */
static void
new_key(const Cipher *self, uint8_t key[16])
{
    uint8_t message[128];
    uint32_t state[5] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u};
    unsigned length = self->length, total = 2 * length + 80;

    memset(message, 0, sizeof message);
    memcpy(message, self->start, length);
    memcpy(message + length + 40, self->session, length);
    memset(message + 2 * length + 40, 0xF2, 40);
    message[total] = 0x80;
    message[126] = (uint8_t)(total * 8 >> 8);
    message[127] = (uint8_t)(total * 8);
    sha1_block(state, message);
    sha1_block(state, message + 64);
    for (unsigned i = 0; i < length; i++)
        key[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

static void
salt(Cipher *self)
{
    static const uint8_t SALT[3] = {0xD1, 0x26, 0x9E};

    if (self->bits == 40)
        memcpy(self->session, SALT, 3);
    else if (self->bits == 56)
        self->session[0] = SALT[0];
}

static void
change_key(Cipher *self)
{
    uint8_t interim[16];

    new_key(self, interim);
    rc4_key(&self->rc4, interim, self->length);
    rc4_apply(&self->rc4, interim, self->session, self->length);
    salt(self);
    self->rekeys++;
}

static void
initialize(Cipher *self)
{
    rc4_key(&self->rc4, self->session, self->length);
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
    if (!((length == 8 && (bits == 40 || bits == 56)) || (length == 16 && bits == 128))) {
        PyErr_SetString(PyExc_ValueError, "MPPE takes 8 octets for 40 or 56 bits, 16 for 128");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Cipher *self = (Cipher *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->length = (uint8_t)length;
    self->bits = (uint8_t)bits;
    self->stateful = (uint8_t)stateful;
    self->count = COUNTS - 1;
    memcpy(self->start, start, (size_t)length);
    memcpy(self->session, start, (size_t)length);
    uint8_t key[16];
    new_key(self, key);
    memcpy(self->session, key, (size_t)length);
    salt(self);
    initialize(self);
    return (PyObject *)self;
}

static void
cipher_dealloc(Cipher *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    volatile uint8_t *secrets = (volatile uint8_t *)&self->rc4;

    for (size_t i = 0; i < offsetof(Cipher, length) - offsetof(Cipher, rc4); i++)
        secrets[i] = 0;
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* ---- sending ---- */

static PyObject *
encryptor_encrypt(Cipher *self, PyObject *const *arguments, Py_ssize_t given)
{
    char *parts[3];
    Py_ssize_t sizes[3], total = 2;

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

    unsigned flags = ENCRYPTED;
    unsigned count = (self->count + 1) % COUNTS;
    if (self->pending) {
        count |= 0xFF;
        self->pending = 0;
    }
    if (!self->stateful || (count & 0xFF) == 0xFF) {
        change_key(self);
        initialize(self);
        flags |= FLUSHED;
    }
    self->count = (uint16_t)count;

    memcpy(to, parts[0], (size_t)sizes[0]);
    to += sizes[0];
    to[0] = (uint8_t)((flags | count) >> 8);
    to[1] = (uint8_t)count;
    rc4_apply(&self->rc4, (const uint8_t *)parts[1], to + 2, (size_t)sizes[1]);
    rc4_apply(&self->rc4, (const uint8_t *)parts[2], to + 2 + sizes[1], (size_t)sizes[2]);
    return frame;
}

static PyObject *
encryptor_reset(Cipher *self, PyObject *Py_UNUSED(nothing))
{
    self->pending = self->stateful;
    Py_RETURN_NONE;
}

/* ---- receiving ---- */

/* Return whether these octets begin like an IP packet after its PPP protocol number. */
static int
looks_like_ip(const uint8_t *plain, size_t length)
{
    if (length > 0 && plain[0] == 0) {
        plain++;
        length--;
    }
    return length > 1
           && ((plain[0] == 0x21 && plain[1] >> 4 == 4) || (plain[0] == 0x57 && plain[1] >> 4 == 6));
}

static PyObject *
decryptor_decrypt(Cipher *self, PyObject *frame)
{
    char *octets;
    Py_ssize_t size;

    if (PyBytes_AsStringAndSize(frame, &octets, &size) < 0)
        return NULL;
    /* The header has two octets, and at least one of ciphertext must follow. */
    if (size < 3)
        return PyLong_FromLong(MALFORMED);

    const uint8_t *from = (const uint8_t *)octets;
    size_t length = (size_t)size - 2;
    unsigned flags = (unsigned)from[0] << 8 & FLAGS;
    unsigned count = ((unsigned)from[0] << 8 | from[1]) & (COUNTS - 1);
    int flushed = (flags & FLUSHED) != 0, flag = (count & 0xFF) == 0xFF;
    if ((flags & ~(unsigned)FLUSHED) != ENCRYPTED || (!flushed && !self->stateful))
        return PyLong_FromLong(MALFORMED);
    if (count != (self->count + 1u) % COUNTS)
        return PyLong_FromLong(SKIPPED);
    if (!flushed && self->pending)
        return PyLong_FromLong(LOST);

    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (result == NULL)
        return NULL;
    uint8_t *plain = (uint8_t *)PyBytes_AsString(result);

    self->count = (uint16_t)count;
    self->pending = 0;
    if (!self->stateful || flag)
        change_key(self);
    if (flushed || flag)
        initialize(self);
    rc4_apply(&self->rc4, from + 2, plain, length);
    if (self->stateful && flushed && !flag && !looks_like_ip(plain, length)) {
        Cipher changed = *self;
        int tries = 0, right = 0;
        while (!right && tries++ < RESETS) {
            change_key(&changed);
            initialize(&changed);
            rc4_apply(&changed.rc4, from + 2, plain, length);
            right = looks_like_ip(plain, length);
        }
        if (right) {
            self->rc4 = changed.rc4;
            memcpy(self->session, changed.session, sizeof self->session);
            self->rekeys = changed.rekeys;
        }
        else {
            initialize(self);
            rc4_apply(&self->rc4, from + 2, plain, length);
        }
    }
    return result;
}

static PyObject *
decryptor_skip(Cipher *self, PyObject *argument)
{
    unsigned long packets = PyLong_AsUnsignedLong(argument);
    if (packets == (unsigned long)-1 && PyErr_Occurred())
        return NULL;

    unsigned long changes = packets;
    if (self->stateful && packets > 0) {
        changes = ((self->count + packets + 1) >> 8) - ((self->count + 1ul) >> 8);
        self->pending = 1;
    }
    for (; changes > 0; changes--)
        change_key(self);
    self->count = (uint16_t)((self->count + packets) % COUNTS);
    Py_RETURN_NONE;
}

static PyObject *
decryptor_copy(Cipher *self, PyObject *Py_UNUSED(nothing))
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Cipher *other = (Cipher *)allocate(type, 0);
    if (other == NULL)
        return NULL;
    memcpy((char *)other + offsetof(Cipher, rc4), (char *)self + offsetof(Cipher, rc4),
           sizeof(Cipher) - offsetof(Cipher, rc4));
    other->pending = other->stateful;
    return (PyObject *)other;
}

/* ---- the module ---- */

/* PyMethodDef has one type for all functions. A cast by way of a function without parameters is the
 * one that compilers don't warn about. */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef ENCRYPTOR_METHODS[] = {
    {"encrypt", METHOD(encryptor_encrypt), METH_FASTCALL,
     "encrypt(prefix, protocol, packet): prefix, MPPE header and ciphertext."},
    {"reset", METHOD(encryptor_reset), METH_NOARGS, "Flag the next packet."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef DECRYPTOR_METHODS[] = {
    {"decrypt", METHOD(decryptor_decrypt), METH_O,
     "decrypt(frame): the plaintext, or why there is none."},
    {"skip", METHOD(decryptor_skip), METH_O, "skip(packets): leave out so many packets."},
    {"copy", METHOD(decryptor_copy), METH_NOARGS, "copy(): another in the same state."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef MEMBERS[] = {
    {"count", T_USHORT, offsetof(Cipher, count), READONLY, "The last packet's coherency count."},
    {"rekeys", T_UINT, offsetof(Cipher, rekeys), READONLY, "How often the key changed."},
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
