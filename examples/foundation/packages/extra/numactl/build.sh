#!/bin/bash
# numactl: the archive is made from the tag and has no configure script yet.

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
