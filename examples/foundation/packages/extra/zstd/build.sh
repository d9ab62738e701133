#!/bin/bash
# zstd: plain makefiles. The library is built with threads; the program reads and writes gzip and lz4 as well, and links
# the library instead of carrying a second copy of it.

zstd_make() {
    pkg_make PREFIX=/usr LIBDIR=/usr/lib HAVE_LZMA=0 "$@"
}

build() {
    zstd_make -C lib libzstd-mt libzstd.pc
    zstd_make -C programs HAVE_ZLIB=1 HAVE_LZ4=1 zstd-dll
}

do_install() {
    zstd_make -C lib DESTDIR="$DESTDIR" install-shared install-pc install-includes
    install -D -m 0755 programs/zstd "$DESTDIR/usr/bin/zstd"
    ln -s zstd "$DESTDIR/usr/bin/unzstd"
    ln -s zstd "$DESTDIR/usr/bin/zstdcat"
    pkg_drop_static
}
