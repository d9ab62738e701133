#!/bin/bash
# zlib: its configure script is its own, not autoconf's.

configure() {
    ./configure --prefix=/usr --libdir=/usr/lib
}

build() {
    pkg_make
}

check() {
    make check
}

do_install() {
    make DESTDIR="$DESTDIR" install
    pkg_drop_static
}
