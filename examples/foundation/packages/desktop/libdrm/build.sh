#!/bin/bash
# libdrm: what a desktop and the compute stack link. The Intel part is what needs libpciaccess. Parts for boards that are
# not x86, test programs and manual pages (their tools are not in the base) are left out by name.

configure() {
    meson setup build --prefix=/usr --libdir=/usr/lib --buildtype=plain --wrap-mode=nodownload \
        -Damdgpu=enabled -Dradeon=enabled -Dintel=enabled -Dnouveau=enabled -Dvmwgfx=disabled \
        -Domap=disabled -Dexynos=disabled -Dfreedreno=disabled -Dtegra=disabled -Dvc4=disabled -Detnaviv=disabled \
        -Dcairo-tests=disabled -Dman-pages=disabled -Dvalgrind=disabled -Dtests=false -Dudev=false
}

build() {
    ninja -C build -j "$IGOS_JOBS"
}

do_install() {
    DESTDIR="$DESTDIR" meson install -C build --no-rebuild
}
