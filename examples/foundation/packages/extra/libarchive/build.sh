#!/bin/bash
# libarchive: every library that it may use is named, so that a package missing from the root stops the build instead of
# quietly leaving a format out.

configure() {
    ./configure --prefix=/usr --libdir=/usr/lib --disable-static --disable-dependency-tracking \
        --with-zlib --with-lz4 --with-zstd --with-openssl \
        --without-bz2lib --without-lzma --without-libb2 --without-lzo2 --without-xml2 --without-expat --without-nettle \
        --disable-acl --disable-xattr --disable-bsdcat --disable-bsdcpio
    grep -q '^#define HAVE_LIBZ 1' config.h
    grep -q '^#define HAVE_LIBLZ4 1' config.h
    grep -q '^#define HAVE_LIBZSTD 1' config.h
}

build() {
    pkg_make
}

do_install() {
    make DESTDIR="$DESTDIR" install
    pkg_drop_static
}
