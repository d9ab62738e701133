/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "places.h"

#include <sched.h>
#include <stdbool.h>

unsigned places_here(unsigned *ret_count)
{
    cpu_set_t have;
    unsigned count = 0, here = 0;
    int now = sched_getcpu();
    CPU_ZERO(&have); /* more processors than a set holds: the sandbox will say so */
    (void)!sched_getaffinity(0, sizeof have, &have);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &have))
            continue;
        if (i == now)
            here = count;
        count++;
    }
    *ret_count = count > 0 ? count : 1;
    return here;
}

static bool is_held(unsigned first, const unsigned *held, size_t nheld)
{
    for (size_t i = 0; i < nheld; i++)
        if (held[i] == first)
            return true;
    return false;
}

unsigned places_choose(unsigned count, unsigned width, unsigned here, const unsigned *held, size_t nheld)
{
    unsigned wide = width > 0 ? width : 1;
    unsigned places = count > wide ? count / wide : 1;
    unsigned preferred = here / wide % places;
    for (unsigned i = 0; i < places; i++) {
        unsigned first = (preferred + i) % places * wide;
        if (!is_held(first, held, nheld))
            return first;
    }
    return preferred * wide;
}
