#!/bin/bash
# libyaml: the archive is made from the tag and has no configure script yet. Its CMake files install no .pc file.

configure() {
    autoreconf -i
    ./configure --prefix=/usr --libdir=/usr/lib --disable-static --disable-dependency-tracking
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
