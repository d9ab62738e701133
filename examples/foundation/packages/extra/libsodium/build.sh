#!/bin/bash
# libsodium: the archive is made from the tag and has no configure script yet. Code for newer processors is compiled in and
# chosen at run time, so the flags of the environment remain the floor.

configure() {
    autoreconf -i
    ./configure --prefix=/usr --libdir=/usr/lib --disable-static --disable-dependency-tracking
}

build() {
    pkg_make
}

do_install() {
    make DESTDIR="$DESTDIR" install
    pkg_drop_static
}
