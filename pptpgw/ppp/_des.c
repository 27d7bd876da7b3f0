/*
 * DES (FIPS 46-3) with a key of seven octets, the twin of pythonDES in des.py.
 *
 * This module uses the limited API of CPython 3.11. Nothing is kept between two calls but tables that
 * depend on nothing, and a call allocates nothing but what it returns.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* The number INTERFACE of pptpgw/ports/compiled.py. */
#define INTERFACE 10

#define BLOCK 8
#define KEY 7
#define ROUNDS 16
#define HALF_KEY 28

/* The tables of the standard: each entry is the place of a bit, the first one being 1. */
static const uint8_t INITIAL[64] = {
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22,
    14, 6,  64, 56, 48, 40, 32, 24, 16, 8, 57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35,
    27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
};
static const uint8_t FINAL[64] = {
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22,
    62, 30, 37, 5, 45, 13, 53, 21, 61, 29, 36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11,
    51, 19, 59, 27, 34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
};
static const uint8_t PERMUTED[32] = {
    16, 7, 20, 21, 29, 12, 28, 17, 1,  15, 23, 26, 5,  18, 31, 10,
    2,  8, 24, 14, 32, 27, 3,  9,  19, 13, 30, 6,  22, 11, 4,  25,
};
/* Of a key of 64 bits, every eighth of which is for parity. */
static const uint8_t CHOICE1[56] = {
    57, 49, 41, 33, 25, 17, 9,  1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43,
    35, 27, 19, 11, 3,  60, 52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7,  62, 54,
    46, 38, 30, 22, 14, 6,  61, 53, 45, 37, 29, 21, 13, 5,  28, 20, 12, 4,
};
static const uint8_t CHOICE2[48] = {
    14, 17, 11, 24, 1,  5,  3,  28, 15, 6,  21, 10, 23, 19, 12, 4,  26, 8,  16, 7,  27, 20, 13, 2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
};
static const uint8_t SHIFTS[ROUNDS] = {1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1};
/* The selection functions, each as four rows of sixteen. */
static const uint8_t SELECTION[8][64] = {
    {14, 4,  13, 1, 2,  15, 11, 8,  3,  10, 6, 12, 5,  9,  0, 7, 0,  15, 7, 4,  14, 2,
     13, 1,  10, 6, 12, 11, 9,  5,  3,  8,  4, 1,  14, 8,  13, 6, 2,  11, 15, 12, 9,  7,
     3,  10, 5,  0, 15, 12, 8,  2,  4,  9,  1, 7,  5,  11, 3, 14, 10, 0,  6, 13},
    {15, 1,  8,  14, 6,  11, 3,  4,  9,  7, 2,  13, 12, 0, 5,  10, 3,  13, 4,  7, 15, 2,
     8,  14, 12, 0,  1,  10, 6,  9,  11, 5, 0,  14, 7,  11, 10, 4, 13, 1,  5,  8, 12, 6,
     9,  3,  2,  15, 13, 8,  10, 1,  3,  15, 4, 2,  11, 6, 7,  12, 0,  5,  14, 9},
    {10, 0, 9,  14, 6,  3,  15, 5, 1,  13, 12, 7,  11, 4, 2, 8, 13, 7,  0,  9, 3, 4,
     6,  10, 2, 8,  5,  14, 12, 11, 15, 1, 13, 6,  4,  9, 8, 15, 3, 0,  11, 1, 2, 12,
     5,  10, 14, 7, 1,  10, 13, 0, 6,  9,  8,  7,  4,  15, 14, 3, 11, 5, 2,  12},
    {7, 13, 14, 3, 0, 6, 9,  10, 1,  2, 8, 5,  11, 12, 4,  15, 13, 8, 11, 5, 6,  15,
     0, 3,  4,  7, 2, 12, 1, 10, 14, 9, 10, 6, 9,  0,  12, 11, 7,  13, 15, 1, 3, 14,
     5, 2,  8,  4, 3, 15, 0, 6,  10, 1, 13, 8, 9,  4,  5,  11, 12, 7, 2,  14},
    {2, 12, 4, 1,  7,  10, 11, 6,  8,  5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7,
     13, 1, 5, 0,  15, 10, 3,  9,  8,  6, 4, 2,  1,  11, 10, 13, 7, 8,  15, 9, 12, 5,
     6, 3,  0, 14, 11, 8,  12, 7,  1,  14, 2, 13, 6, 15, 0,  9, 10, 4,  5, 3},
    {12, 1,  10, 15, 9, 2,  6, 8,  0, 13, 3,  4,  14, 7,  5, 11, 10, 15, 4, 2,  7,  12,
     9,  5,  6,  1,  13, 14, 0, 11, 3, 8,  9,  14, 15, 5,  2, 8,  12, 3, 7, 0,  4,  10,
     1,  13, 11, 6,  4, 3,  2, 12, 9, 5,  15, 10, 11, 14, 1, 7,  6,  0,  8, 13},
    {4, 11, 2,  14, 15, 0,  8, 13, 3, 12, 9, 7,  5,  10, 6,  1, 13, 0,  11, 7, 4, 9,
     1, 10, 14, 3,  5,  12, 2, 15, 8, 6,  1, 4,  11, 13, 12, 3, 7,  14, 10, 15, 6, 8,
     0, 5,  9,  2,  6,  11, 13, 8, 1, 4,  10, 7,  9,  5,  0, 15, 14, 2,  3, 12},
    {13, 2,  8, 4, 6, 15, 11, 1,  10, 9,  3, 14, 5,  0,  12, 7, 1, 15, 13, 8, 10, 3,
     7,  4,  12, 5, 6, 11, 0,  14, 9,  2,  7, 11, 4,  1,  9,  12, 14, 2, 0, 6, 10, 13,
     15, 3,  5, 8, 2, 1,  14, 7,  4,  10, 8, 13, 15, 12, 9,  0, 3, 5,  6,  11},
};

/* What each selection function contributes to the result of a round, by its six bits. */
static uint32_t selected[8][64];

/* Return the bits of a value that a table names, in its order. */
static uint64_t
permute(uint64_t value, int width, const uint8_t *table, int count)
{
    uint64_t result = 0;

    for (int i = 0; i < count; i++)
        result = result << 1 | (value >> (width - table[i]) & 1);
    return result;
}

static uint64_t
get(const uint8_t *octets, int count)
{
    uint64_t value = 0;

    for (int i = 0; i < count; i++)
        value = value << 8 | octets[i];
    return value;
}

static uint64_t
with_parity(uint64_t key)
{
    uint64_t whole = 0;

    for (int shift = 49; shift >= 0; shift -= 7)
        whole = whole << 8 | (key >> shift & 0x7F) << 1;
    return whole;
}

static uint32_t
rotated(uint32_t half, int bits)
{
    return (half << bits | half >> (HALF_KEY - bits)) & 0x0FFFFFFF;
}

static uint64_t
encrypt(uint64_t clear, uint64_t key)
{
    uint64_t chosen = permute(with_parity(key), 64, CHOICE1, 56);
    uint64_t block = permute(clear, 64, INITIAL, 64);
    uint32_t c = (uint32_t)(chosen >> HALF_KEY), d = (uint32_t)chosen & 0x0FFFFFFF;
    uint32_t left = (uint32_t)(block >> 32), right = (uint32_t)block;

    for (int round = 0; round < ROUNDS; round++) {
        c = rotated(c, SHIFTS[round]);
        d = rotated(d, SHIFTS[round]);
        uint64_t subkey = permute((uint64_t)c << HALF_KEY | d, 56, CHOICE2, 48);
        /* The bits of the right half, with its last one before the first, and its first one after
         * the last: each selection function sees six of them, two of which its neighbours see. */
        uint64_t around = (uint64_t)(right & 1) << 33 | (uint64_t)right << 1 | right >> 31;
        uint32_t mixed = left;
        for (int i = 0; i < 8; i++)
            mixed ^= selected[i][(around >> (28 - 4 * i) ^ subkey >> (42 - 6 * i)) & 0x3F];
        left = right;
        right = mixed;
    }
    return permute((uint64_t)right << 32 | left, 64, FINAL, 64);
}

static PyObject *
des(PyObject *module, PyObject *arguments)
{
    const char *clear, *key;
    Py_ssize_t clear_size, key_size;
    char octets[BLOCK];

    (void)module;
    if (!PyArg_ParseTuple(arguments, "y#y#", &clear, &clear_size, &key, &key_size))
        return NULL;
    if (clear_size != BLOCK || key_size != KEY) {
        PyErr_SetString(PyExc_ValueError, "DES takes a block of 8 octets and a key of 7");
        return NULL;
    }
    uint64_t block = encrypt(get((const uint8_t *)clear, BLOCK), get((const uint8_t *)key, KEY));
    for (int i = 0; i < BLOCK; i++)
        octets[i] = (char)(block >> (56 - 8 * i));
    return PyBytes_FromStringAndSize(octets, BLOCK);
}

static PyMethodDef FUNCTIONS[] = {
    {"des", des, METH_VARARGS, "Encrypt a block of 8 octets by DES, with a key of 7."},
    {NULL, NULL, 0, NULL},
};

static int
execute(PyObject *module)
{
    for (int i = 0; i < 8; i++) {
        for (int bits = 0; bits < 64; bits++) {
            /* The outer two bits name the row. */
            int place = (((bits >> 4 & 2) | (bits & 1)) << 4) | (bits >> 1 & 15);
            uint64_t value = (uint64_t)SELECTION[i][place] << (28 - 4 * i);
            selected[i][bits] = (uint32_t)permute(value, 32, PERMUTED, 32);
        }
    }
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot MODULE_SLOTS[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pptpgw.ppp._des",
    .m_doc = "DES, compiled.",
    .m_size = 0,
    .m_methods = FUNCTIONS,
    .m_slots = MODULE_SLOTS,
};

PyMODINIT_FUNC
PyInit__des(void)
{
    return PyModuleDef_Init(&MODULE);
}
