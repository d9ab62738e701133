/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker_conf.h"

#include "conf.h"
#include "farmlog.h"
#include "identity.h"

#include <stddef.h>
#include <strings.h>

#define AT(field) offsetof(struct worker_conf, field)
#define EXBIBYTE  ((uint64_t)1 << 60)

static const struct conf_key keys[] = {
    {"worker", "name", CONF_TEXT, AT(name), NULL, 0, 0},
    {"worker", "operator", CONF_TEXT, AT(operator_name), NULL, 0, 0},
    {"worker", "coordinator", CONF_TEXT, AT(coordinator), NULL, 0, 0},
    {"worker", "server_key", CONF_TEXT, AT(server_key_text), NULL, 0, 0},
    {"worker", "root", CONF_TEXT, AT(root_text), NULL, 0, 0},
    {"worker", "log_level", CONF_TEXT, AT(log_level), "info", 0, 0},
    {"worker", "log_format", CONF_TEXT, AT(log_format), "text", 0, 0},
    {"limits", "slots", CONF_NUMBER, AT(slots), "1", 1, WORKER_SLOTS_MAX},
    {"limits", "cores", CONF_NUMBER, AT(cores), NULL, 1, 65536},
    {"limits", "memory", CONF_BYTES, AT(memory_bytes), NULL, (uint64_t)64 << 20, EXBIBYTE},
    {"limits", "disk", CONF_BYTES, AT(disk_bytes), NULL, (uint64_t)64 << 20, EXBIBYTE},
    {"limits", "cache", CONF_BYTES, AT(cache_bytes), "20G", (uint64_t)256 << 20, EXBIBYTE},
    {"limits", "reserve", CONF_BYTES, AT(reserve_bytes), "1G", 0, EXBIBYTE},
    {"allow", "bases", CONF_LIST, AT(bases), "", 0, 0},
    {"allow", "trees", CONF_LIST, AT(trees), "", 0, 0},
    {"allow", "hosts", CONF_LIST, AT(hosts), "", 0, 0},
    {"allow", "verify_upstream", CONF_FLAG, AT(verify_upstream), "no", 0, 0},
};

static uint64_t or_else(uint64_t said, uint64_t otherwise)
{
    return said != 0 ? said : otherwise;
}

/* Whole MiB keep the file readable; a machine's default never goes below what a small build needs. */
static uint64_t mebibytes(uint64_t bytes)
{
    enum { LEAST = 512 };
    return bytes >> 20 > LEAST ? bytes >> 20 : LEAST;
}

static void write_limits(const struct worker_wish *wish, const struct worker_machine *machine,
                         struct buf *ret)
{
    /* A donor's machine stays usable: three quarters of its memory, half of the free disk for builds, a
     * quarter for caches. */
    uint64_t memory =
        wish->memory_bytes != 0 ? wish->memory_bytes >> 20 : mebibytes(machine->memory_bytes / 4 * 3);
    uint64_t disk = wish->disk_bytes != 0 ? wish->disk_bytes >> 20 : mebibytes(machine->disk_free_bytes / 2);
    uint64_t cache =
        wish->cache_bytes != 0 ? wish->cache_bytes >> 20 : mebibytes(machine->disk_free_bytes / 4);
    buf_add_format(
        ret,
        "\n[limits]\n"
        "# Leases at a time.\nslots = %llu\n"
        "# Processor cores that all builds together may keep busy.\ncores = %llu\n"
        "# Memory that all builds together may use.\nmemory = %lluM\n"
        "# Disk space that all builds together may fill.\ndisk = %lluM\n"
        "# Disk space for downloads and unpacked roots that are kept for the next build.\ncache = %lluM\n"
        "# Builds stop when the disk has less than this left.\nreserve = 1G\n",
        (unsigned long long)or_else(wish->slots, 1), (unsigned long long)or_else(wish->cores, machine->cores),
        (unsigned long long)memory, (unsigned long long)disk, (unsigned long long)cache);
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

void worker_conf_write(const struct worker_wish *wish, const struct worker_machine *machine, struct buf *ret)
{
    char curve[2 * JOIN_CURVE_SIZE + 1];
    hex_encode(wish->join.curve, JOIN_CURVE_SIZE, curve);
    buf_add_format(
        ret,
        "# What this worker is and what it may use. Edit [limits] and [allow] as you like, then restart it.\n"
        "[worker]\nname = %s\noperator = %s\n"
        "# From the join string: where the coordinator is, its key, and the digest of the farm's root.json.\n"
        "coordinator = %s\nserver_key = %s\nroot = %s\n"
        "# error, warning, info or debug; and text or json. Taken over at once by a SIGHUP (systemctl "
        "reload).\n"
        "log_level = info\nlog_format = text\n",
        wish->name, wish->operator_name, wish->join.endpoint, curve, digest_hex(&wish->join.root).text);
    write_limits(wish, machine, ret);
    buf_add_format(
        ret,
        "\n[allow]\n"
        "# Digests of the base systems that builds may start from. Empty: those that the farm's trust root\n"
        "# allows.\nbases = %s\n"
        "# Package trees that this worker builds: URL prefixes, comma separated. Empty: any https "
        "URL.\ntrees = %s\n"
        "# Hosts that those URLs may name, comma separated; *.example.org is all below it. Empty: "
        "any.\nhosts = %s\n"
        "# yes: fetch each commit of a package tree from its URL, so that the coordinator cannot pass off "
        "another\n"
        "# tree under that name. Needs a way to that host; private addresses are refused.\nverify_upstream = "
        "%s\n",
        or_empty(wish->bases), or_empty(wish->trees), or_empty(wish->hosts),
        wish->verify_upstream ? "yes" : "no");
}

static int check_bases(const struct worker_conf *conf, const char *file, struct diag *diag)
{
    struct view rest = view_text(conf->bases), one;
    struct digest digest;
    while (rest.size > 0 && view_split(&rest, ',', &one))
        if (!digest_parse(one, &digest))
            return diag_set(diag, FARM_E_CONFIG, "%s: [allow] bases: \"%.*s\" is no digest (64 hex digits)",
                            file, one.size < 80 ? (int)one.size : 80, one.data);
    return 0;
}

/* Letters, digits, '-' and dots, perhaps below "*.", perhaps with a port. */
static bool host_entry_is_valid(struct view entry)
{
    struct view rest = entry, name;
    uint64_t port;
    if (view_starts(rest, VIEW("*.")))
        rest = view_of(rest.data + 2, rest.size - 2);
    if (!view_split(&rest, ':', &name) || name.size == 0 || name.size > 253)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", name.data[i]) == NULL)
            return false;
    bool has_port = name.size < entry.size && memchr(entry.data, ':', entry.size) != NULL;
    return !has_port || (view_decimal(rest, &port) && port > 0 && port < 65536);
}

static int check_hosts(const struct worker_conf *conf, const char *file, struct diag *diag)
{
    struct view rest = view_text(conf->hosts), one;
    while (rest.size > 0 && view_split(&rest, ',', &one))
        if (!host_entry_is_valid(one))
            return diag_set(
                diag, FARM_E_CONFIG,
                "%s: [allow] hosts: \"%.*s\" is no host (git.example.org, git.example.org:8443 or "
                "*.example.org, in small letters)",
                file, one.size < 80 ? (int)one.size : 80, one.data);
    return 0;
}

static int decode(struct worker_conf *conf, const char *file, struct diag *diag)
{
    const struct {
        const char *key, *text;
    } names[] = {{"name", conf->name}, {"operator", conf->operator_name}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!identity_name_is_valid(view_text(names[i].text)))
            return diag_set(
                diag, FARM_E_CONFIG,
                "%s: [worker] %s: 1 to %d of a-z 0-9 . _ - are possible, beginning with a letter or digit",
                file, names[i].key, IDENTITY_NAME_MAX);
    if (!join_endpoint_is_valid(view_text(conf->coordinator)))
        return diag_set(diag, FARM_E_CONFIG, "%s: [worker] coordinator: \"%.100s\" is no host:port", file,
                        conf->coordinator);
    if (!hex_decode(view_text(conf->server_key_text), conf->server_key, sizeof conf->server_key))
        return diag_set(diag, FARM_E_CONFIG, "%s: [worker] server_key: 64 hex digits are expected", file);
    if (!digest_parse(view_text(conf->root_text), &conf->root))
        return diag_set(diag, FARM_E_CONFIG, "%s: [worker] root: 64 hex digits are expected (zeros: none)",
                        file);
    if (log_level_parse(conf->log_level) < 0)
        return diag_set(diag, FARM_E_CONFIG, "%s: [worker] log_level: expected error, warning, info or debug",
                        file);
    if (log_format_parse(conf->log_format) < 0)
        return diag_set(diag, FARM_E_CONFIG, "%s: [worker] log_format: expected text or json", file);
    int error = check_bases(conf, file, diag);
    return error < 0 ? error : check_hosts(conf, file, diag);
}

int worker_conf_parse(struct view text, const char *file, struct worker_conf *ret, struct diag *diag)
{
    struct worker_conf conf = {0};
    int error = conf_read(text, file, keys, ARRAY_SIZE(keys), NULL, &conf, diag);
    if (error < 0)
        return error;
    error = decode(&conf, file, diag);
    if (error < 0) {
        worker_conf_done(&conf);
        return error;
    }
    *ret = conf;
    return 0;
}

void worker_conf_apply_log(const struct worker_conf *conf)
{
    log_set_level((enum log_level)log_level_parse(conf->log_level));
    log_set_format((enum log_format)log_format_parse(conf->log_format));
}

void worker_conf_done(struct worker_conf *conf)
{
    conf_done(keys, ARRAY_SIZE(keys), conf);
    *conf = (struct worker_conf){0};
}

static void differ(struct buf *list, const char *what, const char *there, const char *asked)
{
    buf_add_format(list, "%s%s is %s and not %s", list->size > 0 ? "; " : "", what, there, asked);
}

static void differ_number(struct buf *list, const char *what, uint64_t there, uint64_t asked)
{
    if (asked == 0 || there == asked)
        return;
    CLEANUP_FREE char *a = mem_format("%llu", (unsigned long long)there);
    CLEANUP_FREE char *b = mem_format("%llu", (unsigned long long)asked);
    differ(list, what, a, b);
}

int worker_conf_agrees(const struct worker_conf *conf, const struct worker_wish *wish, struct diag *diag)
{
    CLEANUP_BUF struct buf list = BUF_INIT;
    if (strcmp(conf->operator_name, wish->operator_name) != 0)
        differ(&list, "the operator", conf->operator_name, wish->operator_name);
    if (wish->name != NULL && strcmp(conf->name, wish->name) != 0)
        differ(&list, "the name", conf->name, wish->name);
    if (strcmp(conf->coordinator, wish->join.endpoint) != 0)
        differ(&list, "the coordinator", conf->coordinator, wish->join.endpoint);
    if (memcmp(conf->server_key, wish->join.curve, sizeof conf->server_key) != 0)
        buf_add_format(&list, "%sthe coordinator's key is another one", list.size > 0 ? "; " : "");
    if (!digest_equal(&conf->root, &wish->join.root))
        buf_add_format(&list, "%sthe digest of the trust root is another one", list.size > 0 ? "; " : "");
    differ_number(&list, "slots", conf->slots, wish->slots);
    differ_number(&list, "cores", conf->cores, wish->cores);
    differ_number(&list, "memory (MiB)", conf->memory_bytes >> 20, wish->memory_bytes >> 20);
    differ_number(&list, "disk (MiB)", conf->disk_bytes >> 20, wish->disk_bytes >> 20);
    differ_number(&list, "cache (MiB)", conf->cache_bytes >> 20, wish->cache_bytes >> 20);
    if (wish->trees != NULL && strcmp(conf->trees, wish->trees) != 0)
        differ(&list, "the list of trees", conf->trees, wish->trees);
    if (wish->bases != NULL && strcmp(conf->bases, wish->bases) != 0)
        differ(&list, "the list of bases", conf->bases, wish->bases);
    if (wish->hosts != NULL && strcmp(conf->hosts, wish->hosts) != 0)
        differ(&list, "the list of hosts", conf->hosts, wish->hosts);
    if (wish->verify_upstream && !conf->verify_upstream)
        differ(&list, "verify_upstream", "no", "yes");
    if (list.size == 0)
        return 0;
    return diag_set(diag, FARM_E_EXISTS,
                    "this worker exists already, with other values: %.1000s. Nothing was changed; edit "
                    "its worker.conf, or use another --state",
                    list.data);
}

bool worker_conf_allows_base(const struct worker_conf *conf, const struct digest *base)
{
    struct view rest = view_text(conf->bases), one;
    if (rest.size == 0)
        return true;
    while (view_split(&rest, ',', &one))
        if (view_equal(one, view_text(digest_hex(base).text)))
            return true;
    return false;
}

static bool prefix_allows(struct view prefix, struct view url)
{
    if (prefix.size == 0 || !view_starts(url, prefix))
        return false;
    return url.size == prefix.size || prefix.data[prefix.size - 1] == '/' || url.data[prefix.size] == '/';
}

/* "host" or "host:port" of an https URL; the port that https has anyway is left out. Empty for everything else. */
static struct view authority_of(struct view url)
{
    struct view scheme = VIEW("https://");
    if (!view_starts(url, scheme))
        return VIEW_NONE;
    struct view rest = view_of(url.data + scheme.size, url.size - scheme.size), authority = VIEW_NONE;
    (void)view_split(&rest, '/', &authority);
    if (view_ends(authority, VIEW(":443")))
        authority.size -= strlen(":443");
    return authority;
}

/*
 * Something like "https://host/a/../b" or "https://allowed@other/" must not slip through a prefix, nor "https://other?.allowed/"
 * through "*.allowed".
 */
static bool url_is_plain(struct view url)
{
    struct view rest = url, part, authority = authority_of(url);
    if (!view_is_token(url))
        return false;
    for (size_t i = 0; i < url.size; i++)
        if (strchr("@\\?#", url.data[i]) != NULL)
            return false;
    for (size_t i = 0; i < authority.size; i++)
        if (strchr("%!$&'()*+,;=~_\"<>^`{|}", authority.data[i]) != NULL)
            return false;
    while (view_split(&rest, '/', &part))
        if (view_equal(part, VIEW("..")) || view_equal(part, VIEW(".")))
            return false;
    return authority.size > 0 || !view_starts(url, VIEW("https:"));
}

static bool same_host(struct view a, struct view b)
{
    return a.size == b.size && strncasecmp(a.data, b.data, a.size) == 0;
}

/* "*.a.org" allows "x.a.org" and not "a.org". */
static bool host_allows(struct view entry, struct view authority)
{
    if (!view_starts(entry, VIEW("*.")))
        return same_host(entry, authority);
    struct view suffix = view_of(entry.data + 1, entry.size - 1);
    return authority.size > suffix.size &&
           same_host(suffix, view_of(authority.data + authority.size - suffix.size, suffix.size));
}

static bool is_on_hosts(const struct worker_conf *conf, struct view url)
{
    struct view rest = view_text(conf->hosts), one, authority = authority_of(url);
    if (rest.size == 0 || authority.size == 0)
        return true;
    while (view_split(&rest, ',', &one))
        if (host_allows(one, authority))
            return true;
    return false;
}

static bool is_on_trees(const struct worker_conf *conf, struct view url)
{
    struct view rest = view_text(conf->trees), one;
    if (rest.size == 0)
        return authority_of(url).size > 0;
    while (view_split(&rest, ',', &one))
        if (prefix_allows(one, url))
            return true;
    return false;
}

int worker_conf_check_tree(const struct worker_conf *conf, struct view url, struct diag *diag)
{
    int shown = url.size < 300 ? (int)url.size : 300;
    if (!url_is_plain(url))
        return diag_set(diag, FARM_E_REFUSED, "the package tree's URL \"%.*s\" is not a plain one", shown,
                        url.data);
    if (!is_on_trees(conf, url))
        return diag_set(
            diag, FARM_E_REFUSED,
            "the package tree %.*s is not one that this worker builds ([allow] trees in worker.conf)", shown,
            url.data);
    if (!is_on_hosts(conf, url))
        return diag_set(
            diag, FARM_E_REFUSED,
            "the package tree %.*s is on a host that this worker's owner did not allow ([allow] hosts in "
            "worker.conf)",
            shown, url.data);
    return 0;
}

void worker_conf_describe(const struct worker_conf *conf, struct buf *ret)
{
    buf_add_format(ret, "package trees allowed: %s\n",
                   conf->trees[0] != '\0' ? conf->trees : "any https URL");
    if (conf->hosts[0] != '\0')
        buf_add_format(ret, "hosts allowed: %s\n", conf->hosts);
    buf_add_format(ret, "package trees come from: %s\n",
                   conf->verify_upstream ? "their own URL" : "the coordinator, by commit and digest");
    buf_add_format(ret, "bases allowed: %s\n",
                   conf->bases[0] != '\0'        ? conf->bases
                   : digest_is_zero(&conf->root) ? "any"
                                                 : "those that the farm's trust root allows");
    buf_add_format(
        ret, "limits: %llu at a time, %llu cores, %llu MiB memory, %llu MiB disk, %llu MiB cache\n",
        (unsigned long long)conf->slots, (unsigned long long)conf->cores,
        (unsigned long long)(conf->memory_bytes >> 20), (unsigned long long)(conf->disk_bytes >> 20),
        (unsigned long long)(conf->cache_bytes >> 20));
}

int worker_conf_bulk_endpoint(const struct worker_conf *conf, const char *offered, char **ret,
                              struct diag *diag)
{
    const char *colon = strrchr(conf->coordinator, ':');
    CLEANUP_FREE char *endpoint =
        mem_format("%.*s%s", (int)(colon - conf->coordinator), conf->coordinator, offered);
    /* Both: "[::1]" and "x:1" in place of a port would make a valid endpoint of another kind. */
    if (offered[0] != ':' || strrchr(endpoint, ':') - endpoint != colon - conf->coordinator ||
        !join_endpoint_is_valid(view_text(endpoint)))
        return diag_set(
            diag, FARM_E_REFUSED,
            "the coordinator sends bulk traffic to \"%.100s\"; only a port of its own host is accepted",
            offered);
    *ret = mem_format("tcp://%s", endpoint);
    return 0;
}
