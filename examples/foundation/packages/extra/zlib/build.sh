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

# Its install rule would refresh the linker's cache of the machine it runs on, outside DESTDIR.
do_install() {
    make LDCONFIG=: DESTDIR="$DESTDIR" install
    pkg_drop_static
}
