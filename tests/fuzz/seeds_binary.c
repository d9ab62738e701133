/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Archives, frames, tiles, git objects and an ELF file. */
#include "seeds.h"

#include "file.h"
#include "frame.h"
#include "fuzz_canon.h"
#include "fuzz_git.h"
#include "fuzz_log.h"
#include "payload.h"
#include "scratch.h"
#include "tiledir.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- archives ---- */

static void put_with(const char *target, const char *name, char how, struct view content)
{
    CLEANUP_BUF struct buf seed = BUF_INIT;
    buf_add_byte(&seed, how);
    buf_add_view(&seed, content);
    seed_put(target, name, buf_view(&seed));
}

static void put_tars(void)
{
    CLEANUP_BUF struct buf tar = BUF_INIT;
    tar_member(&tar, 1000, "a-1/", '5', "", 0755, "");
    tar_member(&tar, 1000, "a-1/b", '0', "", 04755, "content");
    tar_member(&tar, 1001, "a-1/c", '2', "b", 0777, "");
    tar_member(&tar, 1002, "a-1/d", '1', "a-1/b", 0644, "");
    tar_member(&tar, 1002, "a-1/e/f", '0', "", 0644, "");
    tar_end(&tar);
    put_with("unpack", "tar", 1, buf_view(&tar));
    put_with("unpack", "strip", 3, buf_view(&tar));
    put_with("base", "tar", 1, buf_view(&tar));
    buf_clear(&tar);
    tar_member(&tar, 1000, "../x", '0', "", 0644, "out");
    tar_member(&tar, 1000, "l", '2', "/", 0644, "");
    tar_member(&tar, 1000, "l/etc", '0', "", 0644, "through");
    tar_member(&tar, 1000, "dev", '3', "", 0644, "");
    tar_end(&tar);
    put_with("unpack", "hostile", 1, buf_view(&tar));
    put_with("base", "hostile", 1, buf_view(&tar));
}

/* What other packers make of the same files. */
static void put_packed(void)
{
    static const char *const commands[][2] = {{"tar.gz", "tar -czf - a-1"},
                                              {"tar.xz", "tar -cJf - a-1"},
                                              {"tar.bz2", "tar -cjf - a-1"},
                                              {"tar.zst", "tar -c --zstd -f - a-1"},
                                              {"pax", "tar -c --format=pax -f - a-1"},
                                              {"zip", "bsdtar -cf - --format=zip a-1"}};
    struct scratch *scratch = NULL;
    assert_int_equal(scratch_setup((void **)&scratch), 0);
    put_dir(scratch->fd, "a-1", 0755);
    put_file(scratch->fd, "a-1/b", "content", 0755);
    put_link(scratch->fd, "a-1/c", "b");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        CLEANUP_FREE char *command = mem_format("%s > out", commands[i][1]);
        assert_int_equal(shell(scratch->fd, command), 0);
        struct buf packed = get_bytes(scratch->fd, "out");
        put_with("unpack", commands[i][0], 0, buf_view(&packed));
        buf_done(&packed);
    }
    assert_int_equal(scratch_teardown((void **)&scratch), 0);
}

static void put_canonical(void)
{
    for (unsigned int i = 0; i < CANON_PAYLOADS; i++) {
        const struct canon *canon = canon_payload(i);
        CLEANUP_BUF struct buf text = BUF_INIT;
        CLEANUP_FREE char *whole = mem_format("whole-%u", i);
        CLEANUP_FREE char *changed = mem_format("changed-%u", i);
        put_with("canontar", whole, (char)(i << 1), buf_view(&canon->tar));
        put_with("canontar", changed, (char)(i << 1 | 1), view_of("\x7c\0\x31", 3));
        manifest_write(&canon->manifest, &text);
        seed_put("manifest", whole, buf_view(&text));
    }
}

static void put_gz(unsigned int number)
{
    struct scratch *scratch = NULL;
    struct store *store = NULL;
    struct digest tar, gz;
    uint64_t size;
    CLEANUP_FREE char *name = mem_format("gz-%u", number);
    assert_int_equal(scratch_setup((void **)&scratch), 0);
    assert_int_equal(store_open(scratch->fd, "store", 1, &store, NULL), 0);
    assert_int_equal(store_put(store, buf_view(&canon_payload(number)->tar), &tar, NULL), 0);
    CLEANUP_CLOSE int fd = openat(scratch->fd, "gz", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(payload_export_gz(store, &tar, fd, &gz, &size, NULL), 0);
    struct buf packed = get_bytes(scratch->fd, "gz");
    put_with("payload_gz", name, (char)number, buf_view(&packed));
    buf_done(&packed);
    store_close(store);
    assert_int_equal(scratch_teardown((void **)&scratch), 0);
}

static void put_frame(const char *name, int level, struct view content)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_CLOSE int fd = memfd_create("frame", MFD_CLOEXEC);
    struct frame_encoder *encoder = frame_encoder_new(fd, level);
    assert_int_equal(frame_encode(encoder, content.data, content.size, NULL), 0);
    assert_int_equal(frame_encode_end(encoder, NULL), 0);
    frame_encoder_free(encoder);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(file_read_fd(fd, "frame", 1 << 20, &text, NULL), 0);
    seed_put("frame", name, buf_view(&text));
}

static void put_frames(void)
{
    struct buf random = noise(3000, 7);
    put_frame("empty", 1, VIEW_NONE);
    put_frame("text", 1, buf_view(&canon_payload(0)->tar));
    put_frame("better", 19, buf_view(&canon_payload(1)->tar));
    put_frame("noise", 1, buf_view(&random));
    buf_done(&random);
}

/* ---- the log ---- */

/* As fuzz_tiles.c reads it: the size (of which it makes 1 + 3 n), then number and content of each file. */
static void put_tiles(const char *name, unsigned char n)
{
    CLEANUP_BUF struct buf seed = BUF_INIT, bundle = BUF_INIT;
    buf_add_byte(&seed, (char)n);
    for (unsigned int at = 0; at < 1 + 3u * n; at++) {
        CLEANUP_BUF struct buf entry = BUF_INIT;
        fuzz_log_entry(at, &entry);
        tiledir_add_to_bundle(buf_view(&entry), &bundle);
        if (at % TILE_WIDTH == TILE_WIDTH - 1 || at == 3u * n) {
            buf_add_byte(&seed, (char)(at / TILE_WIDTH * 3));
            seed_add_chunk(&seed, buf_view(&bundle));
            buf_clear(&bundle);
        }
    }
    seed_put("tiles", name, buf_view(&seed));
}

static void put_log(void)
{
    put_tiles("one", 0);
    put_tiles("some", 2);
    put_tiles("bundles", 90);
    seed_put("tlog", "honest", view_of("\x2b\x01\x4d\x00\x80\x00", 6));
    seed_put("tlog", "changed", view_of("\x2b\x01\x4d\x00\x80\x00\x02\x03\x04", 9));
    seed_put("tlog", "longer", view_of("\x2b\x01\x4d\x00\x80\x00\xff\x00\x00", 9));
}

/* ---- git ---- */

static void put_git(void)
{
    CLEANUP_BUF struct buf seed = BUF_INIT, pack = BUF_INIT;
    fuzz_git_example(&seed);
    seed_put("gitwalk", "example", buf_view(&seed));
    fuzz_git_pack(buf_view(&seed), &pack);
    seed_put("gitpack", "example", buf_view(&pack));
    seed_put(
        "gittree", "entries",
        view_of("\0"
                "100644 a\0aaaaaaaaaaaaaaaaaaaa40000 b\0bbbbbbbbbbbbbbbbbbbb120000 c\0cccccccccccccccccccc",
                88));
    seed_put("gittree", "modules", view_of("\1[submodule \"a\"]\n\tpath = a\n\turl = https://a.org/a\n", 51));
}

/* ---- ELF ---- */

/* A library for this machine: one segment that is the whole file, a dynamic section, two names. */
static void put_elf(void)
{
    static const char strings[] = "\0libc.so.6\0liba.so.1\0$ORIGIN/../lib";
    struct {
        Elf64_Ehdr head;
        Elf64_Phdr segments[2];
        Elf64_Dyn dynamic[7];
        char strings[sizeof strings];
    } file = {.head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                       .e_type = ET_DYN,
                       .e_machine = EM_X86_64,
                       .e_version = EV_CURRENT,
                       .e_phoff = sizeof file.head,
                       .e_ehsize = sizeof file.head,
                       .e_phentsize = sizeof file.segments[0],
                       .e_phnum = 2}};
    size_t dynamic = (size_t)((char *)file.dynamic - (char *)&file);
    size_t table = (size_t)(file.strings - (char *)&file);
    file.segments[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_filesz = sizeof file, .p_memsz = sizeof file};
    file.segments[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
                                    .p_offset = dynamic,
                                    .p_vaddr = dynamic,
                                    .p_filesz = sizeof file.dynamic,
                                    .p_memsz = sizeof file.dynamic};
    file.dynamic[0] = (Elf64_Dyn){DT_NEEDED, {1}};
    file.dynamic[1] = (Elf64_Dyn){DT_SONAME, {11}};
    file.dynamic[2] = (Elf64_Dyn){DT_RUNPATH, {21}};
    file.dynamic[3] = (Elf64_Dyn){DT_STRTAB, {table}};
    file.dynamic[4] = (Elf64_Dyn){DT_STRSZ, {sizeof strings}};
    memcpy(file.strings, strings, sizeof strings);
    seed_put("elf", "library", view_of(&file, sizeof file));
}

void seeds_binary(void)
{
    put_tars();
    put_packed();
    put_canonical();
    for (unsigned int i = 0; i < CANON_PAYLOADS; i++)
        put_gz(i);
    put_frames();
    put_log();
    put_git();
    put_elf();
}
