#!/bin/bash
# libdeflate: one makefile. It chooses code for the processor at run time, so the build machine's does not matter.

build() {
    pkg_make PREFIX=/usr LIBDIR=/usr/lib
}

do_install() {
    make PREFIX=/usr LIBDIR=/usr/lib DESTDIR="$DESTDIR" install
    pkg_drop_static
}
