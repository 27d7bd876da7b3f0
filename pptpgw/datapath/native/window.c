#include "window.h"

#include <stdlib.h>
#include <string.h>

#include "session.h"

/* REPETITIONS of window.py. */
#define REPETITIONS 3

/* Return the place of the first held frame whose number isn't before this one. */
static unsigned
place_of(const Session *session, uint32_t sequence)
{
    const Window *window = &session->window;
    uint32_t ahead = sequence - session->expected;
    unsigned place = window->count;

    while (place && window->held[place - 1]->frame.sequence - session->expected >= ahead)
        place--;
    return place;
}

int
window_holds(const Session *session, uint32_t sequence)
{
    unsigned place = place_of(session, sequence);

    return place < session->window.count
           && session->window.held[place]->frame.sequence == sequence;
}

int
window_hold(Session *session, const Frame *frame, uint64_t now)
{
    Window *window = &session->window;
    unsigned place = place_of(session, frame->sequence);

    if (window->held == NULL) {
        window->held = malloc((HELD_LIMIT + 1) * sizeof *window->held);
        if (window->held == NULL)
            return -1;
    }
    Held *held = malloc(sizeof *held + frame->length);
    if (held == NULL) {
        window_free(session, 0);
        return -1;
    }
    memcpy(held->octets, frame->information, frame->length);
    held->frame = *frame;
    held->frame.information = held->octets;
    held->time = now;
    memmove(window->held + place + 1, window->held + place,
            (window->count - place) * sizeof *window->held);
    window->held[place] = held;
    window->count++;
    return 0;
}

void
window_free(Session *session, unsigned count)
{
    Window *window = &session->window;

    for (unsigned i = 0; i < count; i++)
        free(window->held[i]);
    window->count -= count;
    if (window->count)
        memmove(window->held, window->held + count, window->count * sizeof *window->held);
    else {
        free(window->held);
        window->held = NULL;
    }
}

uint64_t
window_oldest(const Session *session)
{
    uint64_t oldest = UINT64_MAX;

    for (unsigned i = 0; i < session->window.count; i++)
        if (session->window.held[i]->time < oldest)
            oldest = session->window.held[i]->time;
    return oldest;
}

int
window_repeated(Session *session, uint32_t sequence)
{
    Window *window = &session->window;
    int late = 0, doubtful = 1;

    for (unsigned i = 0; i < GAPS_KNOWN && !late; i++) {
        uint32_t first = window->gaps[i].first, length = window->gaps[i].length;

        late = sequence - first < length;
        doubtful = !late || session->expected - first - length < REPETITIONS;
    }
    if (doubtful) {
        if (window->repeated + 1 >= REPETITIONS)
            return 0;
        window->repeated++;
    }
    session_count(session, late ? LATE : DUPLICATE, 1);
    return 1;
}

void
window_go_on(Session *session, uint32_t ahead)
{
    Window *window = &session->window;

    if (ahead > window->dropped)
        session_count(session, LOST, ahead - window->dropped);
    window->dropped = 0;
    memmove(window->gaps, window->gaps + 1, (GAPS_KNOWN - 1) * sizeof *window->gaps);
    window->gaps[GAPS_KNOWN - 1] = (Gap){session->expected, ahead};
    /* An acknowledgement that was due at a number inside the gap is due at its end. */
    if (session->due - session->expected < ahead)
        session->due = session->expected + ahead;
    session->expected += ahead;
}
