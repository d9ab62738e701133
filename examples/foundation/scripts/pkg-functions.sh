#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Sourced at the start of every build phase, before the recipe's own build.sh. Each phase is a shell of its own, so nothing
# set here survives into the next one except by being set again.

set -e

# Where .pc files live: what this tree installs comes first, then the base's multiarch directory (OpenSSL).
export PKG_CONFIG_LIBDIR=/usr/lib/pkgconfig:/usr/share/pkgconfig:/usr/lib/x86_64-linux-gnu/pkgconfig

# Configure scripts and the libtool they write would each search for a shell to their taste. Naming one takes that choice
# from them, and this one starts libtool twice as fast as bash does.
export CONFIG_SHELL=/bin/sh

# make, with the number of jobs that the job spec states. Never the machine's own count: it can reach the output.
pkg_make() {
    make -j"$IGOS_JOBS" "$@"
}

# Removes from the staged tree what nobody links any more: static archives, and libtool's descriptions, which would
# otherwise carry link lines from one build into the next.
pkg_drop_static() {
    find "$DESTDIR" \( -name '*.la' -o -name '*.a' \) -type f -delete
}
