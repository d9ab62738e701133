#!/bin/bash
# libdeflate: one makefile. It chooses code for the processor at run time, so the build machine's does not matter. Its
# install rule would compile everything a second time for a static archive, so the few files are installed by hand.

build() {
    pkg_make USE_SHARED_LIB=1 libdeflate.so gzip
}

do_install() {
    install -D -m 0755 libdeflate.so.0 "$DESTDIR/usr/lib/libdeflate.so.0"
    ln -s libdeflate.so.0 "$DESTDIR/usr/lib/libdeflate.so"
    install -D -m 0644 libdeflate.h "$DESTDIR/usr/include/libdeflate.h"
    install -D -m 0755 gzip "$DESTDIR/usr/bin/libdeflate-gzip"
    ln -s libdeflate-gzip "$DESTDIR/usr/bin/libdeflate-gunzip"
    install -d "$DESTDIR/usr/lib/pkgconfig"
    sed -e 's|@PREFIX@|/usr|' -e 's|@LIBDIR@|/usr/lib|' -e 's|@INCDIR@|/usr/include|' -e "s|@VERSION@|$PKG_VERSION|" \
        libdeflate.pc.in >"$DESTDIR/usr/lib/pkgconfig/libdeflate.pc"
}
