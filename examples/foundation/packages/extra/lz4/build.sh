#!/bin/bash
# lz4: plain makefiles. They set their own optimisation, which CFLAGS from the environment replaces.

lz4_make() {
    pkg_make PREFIX=/usr LIBDIR=/usr/lib BUILD_STATIC=no "$@"
}

build() {
    lz4_make -C lib
    lz4_make -C programs
}

do_install() {
    lz4_make -C lib DESTDIR="$DESTDIR" install
    lz4_make -C programs DESTDIR="$DESTDIR" install
    pkg_drop_static
}
