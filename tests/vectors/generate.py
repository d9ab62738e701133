#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Second implementation of the payload manifest and the canonical tar, written from docs/FORMATS.md alone.

Prints the vectors of this directory: generate.py DIRECTORY writes them. The unit tests compare the C code with the
committed files, which nothing may move; this script is how they came to be, and how to check them by eye.
"""
import hashlib
import os
import sys

EPOCH = 1700000000
LONG = "long/" + "d" * 90                       # with "./" and a name: exactly 100 bytes, and 101
CONTENT = {
    "etc/empty": b"",
    "usr/bin/tool": b"#!/bin/sh\nexit 0\n",
    "usr/bin/su": b"S" * 512,
    "usr/share/a b#c\\d=e~\x7f": b"odd bytes\n",
    "usr/share/\u00e9": b"composed\n",
    "usr/share/e\u0301": b"decomposed\n",
    b"usr/share/\xff\n": b"not UTF-8\n",
    LONG + "/n1": b"1",
    LONG + "/n22": b"22",
}
MODES = {"usr/bin/tool": 0o755, "usr/bin/su": 0o4755, LONG + "/n1": 0o400, "etc/empty": 0o000}
DIRS = {"": 0o755, "etc": 0o755, "tmp": 0o1777, "long": 0o755, LONG: 0o2750, "usr": 0o755, "usr/bin": 0o555,
        "usr/bin-x": 0o755, "usr/share": 0o755}
LINKS = {"bin": "usr/bin", "usr/bin/sh": "tool", "etc/mtab": "/proc/self/mounts", "long/l100": "x" * 100,
         "long/l101": "y" * 101, "usr/share/l=": "a b\\#"}
PKGINFO = b"pkgname = vector\npkgver = 1.0\n"


def raw(text):
    return text if isinstance(text, bytes) else text.encode()


def entries():
    found = {}
    for path, mode in DIRS.items():
        found[raw(path)] = ("dir", mode, None)
    for path, content in CONTENT.items():
        found[raw(path)] = ("file", MODES.get(path, 0o644), content)
    for path, target in LINKS.items():
        found[raw(path)] = ("link", 0o777, raw(target))
    return sorted(found.items())


def escape(data):
    return "".join(chr(b) if 0x21 <= b <= 0x7e and chr(b) not in "#\\=" else "\\%03o" % b for b in data)


def manifest():
    lines = ["#mtree"]
    for path, (kind, mode, value) in entries():
        line = ("./" + escape(path) if path else ".") + " type=%s mode=%04o uid=0 gid=0" % (kind, mode)
        if kind == "file":
            line += " size=%d sha256digest=%s" % (len(value), hashlib.sha256(value).hexdigest())
        if kind == "link":
            line += " link=" + escape(value)
        lines.append(line)
    return ("\n".join(lines) + "\n").encode()


def header(name, kind, mode, size, link=b"", epoch=EPOCH):
    stored = 0 if size >= 8 ** 11 else size
    head = (name[:100].ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2 + b"%011o\0" % stored +
            b"%011o\0" % epoch + b" " * 8 + kind + link[:100].ljust(100, b"\0") + b"ustar\0" + b"00" +
            b"\0" * 64 + b"0000000\0" * 2 + b"\0" * 155 + b"\0" * 12)
    assert len(head) == 512
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def record(key, value):
    length = len(key) + len(value) + 3
    while True:
        whole = b"%d %s=%s\n" % (length, key, value)
        if len(whole) == length:
            return whole
        length = len(whole)


def pad(data):
    return data + b"\0" * (-len(data) % 512)


def member(name, kind, mode, content=b"", link=b"", size=None):
    size = len(content) if size is None else size
    records = b""
    if len(link) > 100:
        records += record(b"linkpath", link)
    if len(name) > 100:
        records += record(b"path", name)
    if size >= 8 ** 11:
        records += record(b"size", b"%d" % size)
    pax = header(b"././@PaxHeader", b"x", 0o644, len(records)) + pad(records) if records else b""
    return pax + header(name, kind, mode, size, link) + pad(content)


def tar(pkginfo):
    out = member(b".PKGINFO", b"0", 0o644, pkginfo) if pkginfo else b""
    for path, (kind, mode, value) in entries():
        if path == b"":
            continue
        if kind == "dir":
            out += member(b"./" + path + b"/", b"5", mode)
        elif kind == "file":
            out += member(b"./" + path, b"0", mode, value)
        else:
            out += member(b"./" + path, b"2", mode, link=value)
    return out + b"\0" * 1024


def dump(data):
    """Hex, 32 bytes a line; runs of zero lines are counted."""
    out, zeros = [], 0
    for at in range(0, len(data), 32):
        line = data[at:at + 32]
        if not any(line):
            zeros += len(line)
            continue
        if zeros:
            out.append("zeros %d" % zeros)
        zeros = 0
        text = "".join(chr(b) if 0x20 <= b <= 0x7e else "." for b in line)
        out.append("%s  # %05x %s" % (line.hex(), at, text))
    if zeros:
        out.append("zeros %d" % zeros)
    return ("\n".join(out) + "\n").encode()


def main(directory):
    whole = tar(PKGINFO)
    files = {
        "payload.mtree": manifest(),
        "payload.tar.hex": dump(whole),
        "pax-size.hex": dump(member(b"./" + b"b" * 120, b"0", 0o644, size=8 ** 11)),
        "payload.sha256": b"%s  payload.mtree\n%s  payload.tar\n%s  payload.tar without .PKGINFO\n" % tuple(
            hashlib.sha256(data).hexdigest().encode() for data in (manifest(), whole, tar(b""))),
    }
    for name, data in files.items():
        with open(os.path.join(directory, name), "wb") as out:
            out.write(data)
    if len(sys.argv) > 2:
        with open(sys.argv[2], "wb") as out:
            out.write(whole)


main(sys.argv[1])
