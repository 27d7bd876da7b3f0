/*
 * The state of MPPE as octets, by which one owner passes it to another in the same process.
 */

#include <string.h>

#include "mppe.h"

size_t
mppe_save(const MPPE *mppe, uint8_t *state)
{
    memcpy(state, mppe, sizeof *mppe);
    if (mppe->stream == NULL)
        return sizeof *mppe;
    memcpy(state + sizeof *mppe, mppe->stream, sizeof *mppe->stream);
    return MPPE_STATE;
}

int
mppe_is_stateful(size_t size)
{
    return size == MPPE_STATE;
}

int
mppe_restore(MPPE *mppe, const uint8_t *state, size_t size, RC4 *stream)
{
    MPPE saved;

    if (size != sizeof saved && size != MPPE_STATE)
        return -1;
    memcpy(&saved, state, sizeof saved);
    if ((saved.stream != NULL) != mppe_is_stateful(size) || !mppe_fits(saved.length, saved.bits))
        return -1;
    *mppe = saved;
    mppe->stream = NULL;
    if (mppe_is_stateful(size)) {
        memcpy(stream, state + sizeof saved, sizeof *stream);
        mppe->stream = stream;
    }
    return 0;
}
