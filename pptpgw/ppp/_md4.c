/*
 * MD4 (RFC 1320), the twin of pythonMD4 in md4.py.
 *
 * This module uses the limited API of CPython 3.11. Nothing is kept between two calls, and a call
 * allocates nothing but what it returns.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* The number INTERFACE of pptpgw/ports/compiled.py. */
#define INTERFACE 10

#define BLOCK 64
#define DIGEST 16

#define ROTATE(value, bits) (((value) << (bits)) | ((value) >> (32 - (bits))))

static void
put(uint8_t *octets, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        octets[i] = (uint8_t)(word >> 8 * i);
}

static void
add_block(uint32_t state[4], const uint8_t *octets)
{
    static const int SHIFTS[3][4] = {{3, 7, 11, 19}, {3, 5, 9, 13}, {3, 9, 11, 15}};
    static const uint8_t ORDER[3][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15},
        {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15},
    };
    static const uint32_t CONSTANTS[3] = {0, 0x5A827999u, 0x6ED9EBA1u};
    uint32_t words[16], a = state[0], b = state[1], c = state[2], d = state[3];

    for (int i = 0; i < 16; i++)
        words[i] = (uint32_t)octets[4 * i] | (uint32_t)octets[4 * i + 1] << 8
                   | (uint32_t)octets[4 * i + 2] << 16 | (uint32_t)octets[4 * i + 3] << 24;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 16; i++) {
            uint32_t mixed = round == 0   ? (b & c) | (~b & d)
                             : round == 1 ? (b & c) | (b & d) | (c & d)
                                          : b ^ c ^ d;
            uint32_t sum = a + mixed + words[ORDER[round][i]] + CONSTANTS[round];
            int shift = SHIFTS[round][i % 4];
            a = d, d = c, c = b, b = ROTATE(sum, shift);
        }
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

static PyObject *
md4(PyObject *module, PyObject *arguments)
{
    uint32_t state[4] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u};
    uint8_t last[2 * BLOCK] = {0}, digest[DIGEST];
    const char *message;
    Py_ssize_t length;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "y#", &message, &length))
        return NULL;
    const uint8_t *octets = (const uint8_t *)message;
    size_t left = (size_t)length;
    uint64_t bits = (uint64_t)left * 8;

    for (; left >= BLOCK; left -= BLOCK, octets += BLOCK)
        add_block(state, octets);
    /* What is left, a bit, zeros, and the length in the last eight octets of a block. */
    size_t end = left < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    memcpy(last, octets, left);
    last[left] = 0x80;
    put(last + end - 8, (uint32_t)bits);
    put(last + end - 4, (uint32_t)(bits >> 32));
    for (size_t at = 0; at < end; at += BLOCK)
        add_block(state, last + at);
    for (int i = 0; i < 4; i++)
        put(digest + 4 * i, state[i]);
    return PyBytes_FromStringAndSize((const char *)digest, DIGEST);
}

static PyMethodDef FUNCTIONS[] = {
    {"md4", md4, METH_VARARGS, "Return the MD4 digest of a message."},
    {NULL, NULL, 0, NULL},
};

static int
execute(PyObject *module)
{
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot MODULE_SLOTS[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pptpgw.ppp._md4",
    .m_doc = "MD4, compiled.",
    .m_size = 0,
    .m_methods = FUNCTIONS,
    .m_slots = MODULE_SLOTS,
};

PyMODINIT_FUNC
PyInit__md4(void)
{
    return PyModuleDef_Init(&MODULE);
}
