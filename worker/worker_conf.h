/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * worker.conf: what this worker is and what its owner allows it. Written once by "farm-worker init" with a
 * comment at each key; the owner edits it afterwards, and it is read when the worker starts;
 * log_level and log_format also at a SIGHUP.
 *
 *     [worker]
 *     name = attic
 *     operator = alice
 *     coordinator = farm.example.org:7100
 *     server_key = <64 hex>
 *     root = <64 hex, zeros: none>
 *     log_level = info   error, warning, info or debug
 *     log_format = text  or json
 *     [limits]
 *     slots = 1          leases at a time
 *     cores = 4          that all builds together keep busy
 *     memory = 8G        that all builds together use
 *     disk = 40G         that all builds together write
 *     cache = 20G        downloaded objects, unpacked roots and package trees
 *     reserve = 2G       builds stop when the disk has less than this left
 *     [allow]
 *     bases =            digests; empty: any that the trust root allows (any at all if the join string pins no root)
 *     trees =            URL prefixes; empty: any https URL
 *     hosts =            host names; empty: any that is not private
 *     verify_upstream = no   fetch the package tree from its URL, not from the coordinator
 *
 * What the allow lists decide is in here too, as pure functions.
 */
#ifndef FARM_WORKER_CONF_H
#define FARM_WORKER_CONF_H

#include "buf.h"
#include "diag.h"
#include "digest.h"
#include "join.h"

enum {
    WORKER_SLOTS_MAX = 64, /* each is a thread with a connection */
    WORKER_CONF_MAX = 64 * 1024
};

struct worker_conf {
    char *name, *operator_name, *coordinator;
    char *server_key_text, *root_text; /* as written; decoded below */
    unsigned char server_key[JOIN_CURVE_SIZE];
    struct digest root;
    uint64_t slots, cores;
    uint64_t memory_bytes, disk_bytes, cache_bytes, reserve_bytes;
    char *bases, *trees, *hosts; /* "a,b,c"; "" */
    bool verify_upstream;
    char *log_level, *log_format; /* names that farmlog.h knows */
};

/* What init was told; 0 and NULL are "not said". */
struct worker_wish {
    struct join join;
    const char *name, *operator_name;
    uint64_t slots, cores, memory_bytes, disk_bytes, cache_bytes;
    const char *trees, *bases, *hosts;
    bool verify_upstream;
};
/* What this machine could give, for the defaults of a new worker.conf. */
struct worker_machine {
    uint64_t cores, memory_bytes, disk_free_bytes;
};

/* Appends a complete, commented worker.conf. Names must be valid. */
void worker_conf_write(const struct worker_wish *wish, const struct worker_machine *machine, struct buf *ret);
int worker_conf_parse(struct view text, const char *file, struct worker_conf *ret,
                      struct diag *diag) MUST_USE;
void worker_conf_done(struct worker_conf *conf);
/* Does 'conf' say everything that 'wish' says? Otherwise FARM_E_EXISTS naming each difference. */
int worker_conf_agrees(const struct worker_conf *conf, const struct worker_wish *wish,
                       struct diag *diag) MUST_USE;

/* K7: the owner's list; an empty one allows every base. */
bool worker_conf_allows_base(const struct worker_conf *conf, const struct digest *base);
/*
 * K8: is this URL of a package tree one that the owner allows? FARM_E_REFUSED names the list that it is not on. An entry of 'trees' is
 * a prefix that ends at the end of the URL or before a '/', so that "https://a.org/x" does not allow "https://a.org/xy" nor
 * "https://a.org.evil/". An entry of 'hosts' is a host ("a.org", with ":port" if it is not 443), or "*.a.org" for all below it;
 * both lists must allow the URL. Paths and file:// URLs have no host, and are possible only if 'trees' names them.
 */
int worker_conf_check_tree(const struct worker_conf *conf, struct view url, struct diag *diag) MUST_USE;
/* Level and format, as it says, are the log's from now on. */
void worker_conf_apply_log(const struct worker_conf *conf);
/* For people: what may be built here, one line each. */
void worker_conf_describe(const struct worker_conf *conf, struct buf *ret);

/*
 * Where bulk traffic goes: 'offered' is the coordinator's word, ":port" on the host that its owner named in the join string.
 * Another host, or anything else that libzmq would understand, is refused (FARM_E_REFUSED): nobody sends a donor's machine
 * to an address of its choice (K8). *ret is owned: "tcp://host:port".
 */
int worker_conf_bulk_endpoint(const struct worker_conf *conf, const char *offered, char **ret,
                              struct diag *diag) MUST_USE;

#endif
