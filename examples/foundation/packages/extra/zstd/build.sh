#!/bin/bash
# zstd: plain makefiles. The library is built with threads, and without readers for the formats that preceded 1.0. The
# program reads and writes gzip and lz4 as well; it links the library instead of carrying a second copy of it, all but the
# helpers that the library keeps to itself.

zstd_make() {
    pkg_make PREFIX=/usr LIBDIR=/usr/lib ZSTD_LEGACY_SUPPORT=0 \
        HAVE_PTHREAD=1 HAVE_ZLIB=1 HAVE_LZ4=1 HAVE_LZMA=0 \
        ZSTDLIB_LOCAL_SRC='xxhash.c pool.c threading.c zstd_common.c error_private.c' "$@"
}

build() {
    zstd_make -C lib libzstd-mt libzstd.pc
    zstd_make -C programs zstd-dll
}

do_install() {
    zstd_make -C lib DESTDIR="$DESTDIR" install-shared install-pc install-includes
    install -D -m 0755 programs/zstd "$DESTDIR/usr/bin/zstd"
    ln -s zstd "$DESTDIR/usr/bin/unzstd"
    ln -s zstd "$DESTDIR/usr/bin/zstdcat"
}
