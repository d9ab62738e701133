/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conf.h"

#include <assert.h>
#include <ini.h>
#include <stdlib.h>

/* inih's own buffer, with room for the line end and NUL: a longer line would be cut without a word. */
enum { LINE_LENGTH_MAX = INI_MAX_LINE - 2 };

struct unit {
    char letter;
    uint64_t factor;
};

static bool parse_unit(struct view text, const struct unit *units, size_t count, uint64_t *ret)
{
    uint64_t number, factor = 1;
    for (size_t i = 0; text.size > 0 && i < count; i++)
        if (text.data[text.size - 1] == units[i].letter) {
            factor = units[i].factor;
            text.size--;
            break;
        }
    return view_decimal(text, &number) && !__builtin_mul_overflow(number, factor, ret);
}

bool conf_parse_bytes(struct view text, uint64_t *ret)
{
    static const struct unit units[] = {{'K', (uint64_t)1 << 10},
                                        {'M', (uint64_t)1 << 20},
                                        {'G', (uint64_t)1 << 30},
                                        {'T', (uint64_t)1 << 40}};
    return parse_unit(text, units, ARRAY_SIZE(units), ret);
}

bool conf_parse_seconds(struct view text, uint64_t *ret)
{
    static const struct unit units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    return parse_unit(text, units, ARRAY_SIZE(units), ret);
}

/* One value while it is not yet sure that the whole file is good. */
struct value {
    bool given;
    char *text;      /* of texts and lists; owned until it is stored */
    uint64_t number; /* of everything else */
};

struct reading {
    struct view rest; /* what inih has not asked for yet */
    const char *file;
    const struct conf_key *keys;
    size_t nkeys;
    const char *const *foreign;
    struct value *values;
    int line; /* of what inih looks at */
    int status;
    struct diag *diag;
};

static bool parse_number(const struct conf_key *key, struct view text, uint64_t *ret)
{
    switch (key->type) {
    case CONF_NUMBER:
        return view_decimal(text, ret);
    case CONF_BYTES:
        return conf_parse_bytes(text, ret);
    case CONF_SECONDS:
        return conf_parse_seconds(text, ret);
    case CONF_FLAG:
        *ret = view_equal(text, VIEW("yes"));
        return *ret != 0 || view_equal(text, VIEW("no"));
    case CONF_TEXT:
    case CONF_LIST:
        break;
    }
    return false;
}

static const char *type_words(enum conf_type type)
{
    switch (type) {
    case CONF_TEXT:
        return "a text";
    case CONF_NUMBER:
        return "a whole number";
    case CONF_BYTES:
        return "a size such as 512M (K, M, G, T)";
    case CONF_SECONDS:
        return "a time such as 90s or 15m (s, m, h, d)";
    case CONF_FLAG:
        return "yes or no";
    case CONF_LIST:
        return "a list, separated by commas, without empty items";
    }
    return "?";
}

static struct view trim(struct view text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = view_of(text.data + 1, text.size - 1);
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* "a, b ,c" -> "a,b,c"; an empty list is an empty text. */
static bool parse_list(struct view text, char **ret)
{
    CLEANUP_BUF struct buf list = BUF_INIT;
    struct view rest = trim(text), item;
    while (rest.size > 0 && view_split(&rest, ',', &item)) {
        item = trim(item);
        if (item.size == 0)
            return false;
        buf_add_format(&list, "%s%.*s", list.size > 0 ? "," : "", VIEW_ARG(item));
        if (rest.data != NULL && rest.size == 0)
            return false; /* a comma at the end */
    }
    *ret = buf_steal(&list);
    return true;
}

static int bad_value(const struct reading *reading, const struct conf_key *key, const char *text)
{
    return diag_set(reading->diag, FARM_E_CONFIG, "%s:%d: %s = %.60s is not %s", reading->file, reading->line,
                    key->name, text, type_words(key->type));
}

static int check_range(const struct reading *reading, const struct conf_key *key, uint64_t number)
{
    if (key->least == 0 && key->greatest == 0)
        return 0;
    if (number >= key->least && number <= key->greatest)
        return 0;
    return diag_set(reading->diag, FARM_E_CONFIG, "%s:%d: %s must be from %llu to %llu", reading->file,
                    reading->line, key->name, (unsigned long long)key->least,
                    (unsigned long long)key->greatest);
}

/* As conf_print() writes it, with spaces that need not have been there: what was printed is read again. */
static int check_length(const struct reading *reading, const struct conf_key *key, const char *text)
{
    if (strlen(key->name) + strlen(" = ") + strlen(text) <= LINE_LENGTH_MAX)
        return 0;
    return diag_set(reading->diag, FARM_E_CONFIG,
                    "%s:%d: the line is longer than %d bytes, written as \"%s = value\"; shorten it",
                    reading->file, reading->line, LINE_LENGTH_MAX, key->name);
}

static int take_value(const struct reading *reading, const struct conf_key *key, const char *text,
                      struct value *value)
{
    if (key->type == CONF_TEXT || key->type == CONF_LIST) {
        if (key->type == CONF_TEXT)
            value->text = mem_string(text);
        else if (!parse_list(view_text(text), &value->text))
            return bad_value(reading, key, text);
        return check_length(reading, key, value->text);
    }
    if (!parse_number(key, view_text(text), &value->number))
        return bad_value(reading, key, text);
    return key->type == CONF_FLAG ? 0 : check_range(reading, key, value->number);
}

static size_t find_key(const struct reading *reading, const char *section, const char *name)
{
    for (size_t i = 0; i < reading->nkeys; i++)
        if (strcmp(reading->keys[i].section, section) == 0 && strcmp(reading->keys[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

static bool is_foreign(const struct reading *reading, const char *section)
{
    for (const char *const *name = reading->foreign; name != NULL && *name != NULL; name++)
        if (strcmp(*name, section) == 0)
            return true;
    return false;
}

static int take_pair(struct reading *reading, const char *section, const char *name, const char *text)
{
    size_t index = find_key(reading, section, name);
    if (index == SIZE_MAX && is_foreign(reading, section))
        return 0;
    if (index == SIZE_MAX)
        return diag_set(reading->diag, FARM_E_CONFIG,
                        "%s:%d: unknown key \"%.60s\" in section [%.60s]; remove or correct it",
                        reading->file, reading->line, name, section);
    if (reading->values[index].given)
        return diag_set(reading->diag, FARM_E_CONFIG,
                        "%s:%d: \"%s\" stands in [%s] a second time; keep one of them", reading->file,
                        reading->line, name, section);
    reading->values[index].given = true;
    return take_value(reading, &reading->keys[index], text, &reading->values[index]);
}

/* inih's callbacks: 1 is success. After the first mistake nothing more is looked at. */
static int on_pair(void *user, const char *section, const char *name, const char *text)
{
    struct reading *reading = user;
    if (reading->status >= 0)
        reading->status = take_pair(reading, section, name, text);
    return 1;
}

/* Hands over one line, as fgets would. Lines are known to fit. */
static char *on_line(char *ret, int size, void *user)
{
    struct reading *reading = user;
    struct view line;
    if (reading->rest.size == 0 || reading->status < 0 || !view_split(&reading->rest, '\n', &line) ||
        line.size + 1 >= (size_t)size)
        return NULL;
    reading->line++;
    memcpy(ret, line.data, line.size);
    ret[line.size] = '\n';
    ret[line.size + 1] = '\0';
    return ret;
}

/* Behind a blank, and where the value would begin: "key =;x" is a value to inih, and "key = ;x" is none. */
static bool has_comment(struct view text)
{
    size_t begin = 0;
    while (begin < text.size && text.data[begin] != '=' && text.data[begin] != ':')
        begin++;
    for (size_t i = 1; i < text.size; i++)
        if ((text.data[i] == '#' || text.data[i] == ';') &&
            (text.data[i - 1] == ' ' || text.data[i - 1] == '\t' || i - 1 == begin))
            return true;
    return false;
}

/* To inih a vertical tab or a form feed is a blank, to nobody who reads the file. A return before the line's end is how some editors write it. */
static bool has_control(struct view line)
{
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    for (size_t i = 0; i < line.size; i++)
        if (((unsigned char)line.data[i] < 0x20 && line.data[i] != '\t') || line.data[i] == 0x7f)
            return true;
    return false;
}

/* What inih would take in silence: cut or continued lines, bytes that end a C string, comments behind values.
 */
static const char *line_fault(struct view line)
{
    if (line.size > LINE_LENGTH_MAX)
        return "is longer than 198 bytes; shorten it";
    if (!view_is_utf8(line))
        return "holds bytes that are not UTF-8; save the file as UTF-8";
    if (has_control(line))
        return "holds a control character; remove it";
    struct view text = trim(line);
    if (text.size == 0 || text.data[0] == '#' || text.data[0] == ';')
        return NULL;
    if (text.data != line.data)
        return "begins with a space; a value cannot go on over lines, and a key begins at the left";
    return has_comment(text) ? "has a comment behind the value; put it on a line of its own" : NULL;
}

static int check_lines(const struct reading *reading)
{
    struct view rest = reading->rest, line;
    for (int number = 1; view_split(&rest, '\n', &line); number++) {
        const char *fault = line_fault(line);
        if (fault != NULL)
            return diag_set(reading->diag, FARM_E_CONFIG, "%s:%d: the line %s", reading->file, number, fault);
    }
    return 0;
}

static int parse_text(struct reading *reading)
{
    int status = check_lines(reading);
    if (status < 0)
        return status;
    int line = ini_parse_stream(on_line, reading, on_pair, reading);
    bool malformed = line != 0 && (reading->status >= 0 || line < reading->line);
    if (reading->status < 0 && !malformed)
        return reading->status;
    if (malformed)
        return diag_set(reading->diag, FARM_E_CONFIG, "%s:%d: neither [section] nor \"key = value\"",
                        reading->file, line);
    return 0;
}

static int take_defaults(struct reading *reading)
{
    int status = 0;
    reading->line = 0;
    for (size_t i = 0; status >= 0 && i < reading->nkeys; i++) {
        const struct conf_key *key = &reading->keys[i];
        if (reading->values[i].given)
            continue;
        if (key->fallback == NULL)
            return diag_set(reading->diag, FARM_E_CONFIG, "%s: \"%s\" in section [%s] must be given",
                            reading->file, key->name, key->section);
        status = take_value(reading, key, key->fallback, &reading->values[i]);
    }
    return status;
}

static void *field(const struct conf_key *key, void *config)
{
    return (char *)config + key->offset;
}

static void store(const struct conf_key *key, struct value *value, void *config)
{
    switch (key->type) {
    case CONF_TEXT:
    case CONF_LIST:
        *(char **)field(key, config) = STEAL(value->text);
        return;
    case CONF_NUMBER:
    case CONF_BYTES:
    case CONF_SECONDS:
        *(uint64_t *)field(key, config) = value->number;
        return;
    case CONF_FLAG:
        *(bool *)field(key, config) = value->number != 0;
        return;
    }
}

int conf_read(struct view text, const char *file, const struct conf_key *keys, size_t nkeys,
              const char *const *foreign, void *config, struct diag *diag)
{
    struct value values[CONF_KEYS_MAX] = {0};
    struct reading reading = {.rest = text,
                              .file = file,
                              .keys = keys,
                              .nkeys = nkeys,
                              .foreign = foreign,
                              .values = values,
                              .diag = diag};
    assert(nkeys <= CONF_KEYS_MAX);
    if (text.size > CONF_FILE_MAX)
        return diag_set(diag, FARM_E_CONFIG, "%s: %zu bytes, the limit is %d", file, text.size,
                        CONF_FILE_MAX);
    int status = parse_text(&reading);
    if (status >= 0)
        status = take_defaults(&reading);
    for (size_t i = 0; i < reading.nkeys; i++) {
        if (status >= 0)
            store(&keys[i], &values[i], config);
        free(values[i].text);
    }
    return status;
}

void conf_done(const struct conf_key *keys, size_t nkeys, void *config)
{
    for (size_t i = 0; i < nkeys; i++)
        if (keys[i].type == CONF_TEXT || keys[i].type == CONF_LIST) {
            char **text = field(&keys[i], config);
            free(*text);
            *text = NULL;
        }
}

static void print_value(const struct conf_key *key, const void *config, struct buf *ret)
{
    const void *place = (const char *)config + key->offset;
    switch (key->type) {
    case CONF_TEXT:
    case CONF_LIST: {
        const char *text = *(char *const *)place;
        buf_add_text(ret, text != NULL ? text : "");
        return;
    }
    case CONF_NUMBER:
    case CONF_BYTES:
    case CONF_SECONDS:
        buf_add_format(ret, "%llu", (unsigned long long)*(const uint64_t *)place);
        return;
    case CONF_FLAG:
        buf_add_text(ret, *(const bool *)place ? "yes" : "no");
        return;
    }
}

void conf_print(const struct conf_key *keys, size_t nkeys, const void *config, struct buf *ret)
{
    for (size_t i = 0; i < nkeys; i++) {
        if (i == 0 || strcmp(keys[i - 1].section, keys[i].section) != 0)
            buf_add_format(ret, "%s[%s]\n", i > 0 ? "\n" : "", keys[i].section);
        buf_add_format(ret, "%s = ", keys[i].name);
        print_value(&keys[i], config, ret);
        buf_add_byte(ret, '\n');
    }
}
