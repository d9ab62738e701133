/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "elfneed.h"

#include <elf.h>

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#else
#error "elfneed.c: name the ELF machine of this architecture"
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

/* What is found in the dynamic section: values of the tags, offsets into the string table. */
struct dynamic {
    uint64_t strings_address, strings_size;
    uint64_t needed[ELFNEED_MAX];
    size_t nneeded;
    uint64_t rpath, runpath, soname;
    bool has_strings, has_rpath, has_runpath, has_soname;
};

static int bad(struct diag *diag, const char *what)
{
    return diag_set(diag, FARM_E_SYNTAX, "damaged ELF file: %s", what);
}

/* Copies, since nothing in a file need be aligned. */
static bool read_at(struct view file, uint64_t offset, void *ret, size_t size)
{
    if (offset > file.size || size > file.size - offset)
        return false;
    memcpy(ret, file.data + offset, size);
    return true;
}

static bool is_loadable(const Elf64_Ehdr *header)
{
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
           header->e_ident[EI_DATA] == NATIVE_DATA && header->e_machine == NATIVE_MACHINE &&
           (header->e_type == ET_EXEC || header->e_type == ET_DYN);
}

static int segment(struct view file, const Elf64_Ehdr *header, unsigned index, Elf64_Phdr *ret,
                   struct diag *diag)
{
    uint64_t offset = header->e_phoff + (uint64_t)index * sizeof *ret;
    if (offset < header->e_phoff || !read_at(file, offset, ret, sizeof *ret))
        return bad(diag, "its program headers end beyond the file");
    return 0;
}

static int segment_bytes(struct view file, const Elf64_Phdr *header, struct view *ret, struct diag *diag)
{
    if (header->p_offset > file.size || header->p_filesz > file.size - header->p_offset)
        return bad(diag, "a segment ends beyond the file");
    *ret = view_of(file.data + header->p_offset, (size_t)header->p_filesz);
    return 0;
}

static int take_interpreter(struct view bytes, struct elfneed *elf, struct diag *diag)
{
    if (bytes.size < 2 || memchr(bytes.data, '\0', bytes.size) != bytes.data + bytes.size - 1)
        return bad(diag, "its interpreter is no text");
    elf->interpreter = view_of(bytes.data, bytes.size - 1);
    return 0;
}

static int take_entry(const Elf64_Dyn *entry, struct dynamic *dynamic, struct diag *diag)
{
    uint64_t value = entry->d_un.d_val;
    switch (entry->d_tag) {
    case DT_NEEDED:
        if (dynamic->nneeded == ELFNEED_MAX)
            return diag_set(diag, FARM_E_LIMIT, "the file needs more than %d libraries", ELFNEED_MAX);
        dynamic->needed[dynamic->nneeded++] = value;
        break;
    case DT_STRTAB:
        dynamic->strings_address = value;
        dynamic->has_strings = true;
        break;
    case DT_STRSZ:
        dynamic->strings_size = value;
        break;
    case DT_RPATH:
        dynamic->rpath = value;
        dynamic->has_rpath = true;
        break;
    case DT_RUNPATH:
        dynamic->runpath = value;
        dynamic->has_runpath = true;
        break;
    case DT_SONAME:
        dynamic->soname = value;
        dynamic->has_soname = true;
        break;
    default: /* not an enum of ours: the ABI has dozens that do not matter here */
        break;
    }
    return 0;
}

static int read_dynamic(struct view bytes, struct dynamic *dynamic, struct diag *diag)
{
    Elf64_Dyn entry;
    int error = 0;
    for (size_t i = 0; error >= 0; i++) {
        if (i == ELFNEED_DYNAMIC_MAX)
            return diag_set(diag, FARM_E_LIMIT, "the dynamic section has more than %d entries",
                            ELFNEED_DYNAMIC_MAX);
        if (!read_at(bytes, i * sizeof entry, &entry, sizeof entry))
            return bad(diag, "its dynamic section has no end");
        if (entry.d_tag == DT_NULL)
            return 0;
        error = take_entry(&entry, dynamic, diag);
    }
    return error;
}

/* The dynamic section speaks in addresses; the loaded segments say where in the file they are. */
static int find_strings(struct view file, const Elf64_Ehdr *header, const struct dynamic *dynamic,
                        struct view *ret, struct diag *diag)
{
    Elf64_Phdr load = {0};
    struct view bytes = VIEW_NONE;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        int error = segment(file, header, i, &load, diag);
        if (error < 0)
            return error;
        if (load.p_type != PT_LOAD || dynamic->strings_address < load.p_vaddr ||
            dynamic->strings_address - load.p_vaddr >= load.p_filesz)
            continue;
        uint64_t offset = dynamic->strings_address - load.p_vaddr;
        error = segment_bytes(file, &load, &bytes, diag);
        if (error < 0)
            return error;
        if (dynamic->strings_size > bytes.size - offset)
            return bad(diag, "its string table ends beyond its segment");
        *ret = view_of(bytes.data + offset, (size_t)dynamic->strings_size);
        return 0;
    }
    return bad(diag, "its string table is in no segment");
}

static int text(struct view strings, uint64_t offset, struct view *ret, struct diag *diag)
{
    if (offset >= strings.size)
        return bad(diag, "a name lies beyond the string table");
    const char *start = strings.data + offset;
    const char *end = memchr(start, '\0', strings.size - (size_t)offset);
    if (end == NULL)
        return bad(diag, "a name goes on beyond the string table");
    *ret = view_of(start, (size_t)(end - start));
    return 0;
}

static int take_texts(struct view strings, const struct dynamic *dynamic, struct elfneed *elf,
                      struct diag *diag)
{
    int error = 0;
    for (size_t i = 0; error >= 0 && i < dynamic->nneeded; i++) {
        error = text(strings, dynamic->needed[i], &elf->needed[i], diag);
        if (error >= 0 && elf->needed[i].size == 0)
            error = bad(diag, "it needs a library without a name");
    }
    elf->nneeded = dynamic->nneeded;
    if (error >= 0 && dynamic->has_rpath)
        error = text(strings, dynamic->rpath, &elf->rpath, diag);
    if (error >= 0 && dynamic->has_runpath)
        error = text(strings, dynamic->runpath, &elf->runpath, diag);
    if (error >= 0 && dynamic->has_soname)
        error = text(strings, dynamic->soname, &elf->soname, diag);
    return error;
}

static int read_segments(struct view file, const Elf64_Ehdr *header, struct elfneed *elf,
                         struct view *ret_dynamic, struct diag *diag)
{
    Elf64_Phdr program = {0};
    struct view bytes = VIEW_NONE;
    int error = 0;
    for (unsigned i = 0; error >= 0 && i < header->e_phnum; i++) {
        error = segment(file, header, i, &program, diag);
        /* A separate debug file keeps the headers and none of the contents. */
        if (error < 0 || program.p_filesz == 0 ||
            (program.p_type != PT_INTERP && program.p_type != PT_DYNAMIC))
            continue;
        error = segment_bytes(file, &program, &bytes, diag);
        if (error >= 0 && program.p_type == PT_INTERP)
            error = take_interpreter(bytes, elf, diag);
        else if (error >= 0)
            *ret_dynamic = bytes;
    }
    return error;
}

bool elfneed_is_native(struct view start)
{
    Elf64_Ehdr header;
    return read_at(start, 0, &header, sizeof header) && is_loadable(&header);
}

int elfneed_read(struct view file, struct elfneed *ret, struct diag *diag)
{
    Elf64_Ehdr header;
    struct view bytes = VIEW_NONE, strings = VIEW_NONE;
    struct dynamic dynamic = {.nneeded = 0};
    ret->kind = ELFNEED_NONE;
    ret->interpreter = ret->rpath = ret->runpath = ret->soname = VIEW_NONE;
    ret->nneeded = 0;
    if (!read_at(file, 0, &header, sizeof header) || !is_loadable(&header))
        return 0;
    if (header.e_phnum > 0 && header.e_phentsize != sizeof(Elf64_Phdr))
        return bad(diag, "its program headers have an unknown size");
    int error = read_segments(file, &header, ret, &bytes, diag);
    if (error < 0)
        return error;
    ret->kind = bytes.size == 0 ? ELFNEED_STATIC : ELFNEED_DYNAMIC;
    if (bytes.size == 0)
        return 0;
    error = read_dynamic(bytes, &dynamic, diag);
    if (error >= 0 && (dynamic.has_strings || dynamic.nneeded > 0))
        error = find_strings(file, &header, &dynamic, &strings, diag);
    return error < 0 ? error : take_texts(strings, &dynamic, ret, diag);
}
