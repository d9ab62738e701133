/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Answering a lease: the statement about it, signed; and the upload of what it names.
 */
#include "lease.h"

#include <stdlib.h>

static struct statement_source *sources_of(const struct spec *spec)
{
    struct statement_source *sources = mem_zero(spec->nsources + 1, sizeof *sources);
    for (size_t i = 0; i < spec->nsources; i++) {
        const struct spec_source *source = &spec->sources[i];
        bool git = source->kind == PIN_GIT;
        sources[i] = (struct statement_source){
            .git = git,
            .name = !git                   ? source->filename
                    : source->into != NULL ? source->into
                                           : ".",
            .commit = git ? source->commit : NULL,
            .digest = source->digest,
        };
    }
    return sources;
}

static struct statement_dependency *dependencies_of(const struct spec *spec)
{
    struct statement_dependency *dependencies = mem_zero(spec->ndependencies + 1, sizeof *dependencies);
    for (size_t i = 0; i < spec->ndependencies; i++)
        dependencies[i] =
            (struct statement_dependency){spec->dependencies[i].name, spec->dependencies[i].payload};
    return dependencies;
}

static void fill_what(struct statement *statement, const struct lease *lease)
{
    const struct spec *spec = lease->spec;
    statement->failure = lease->failure;
    statement->package = spec->name;
    statement->version = spec->version;
    statement->release = spec->release;
    statement->tier = spec->tier;
    statement->kind = spec->kind;
    statement->job = lease->key;
    statement->base = spec->base;
    statement->tree_url = lease->tree_pin.url;
    statement->tree_commit = lease->tree_pin.commit;
    statement->tree_sha256 = lease->tree_pin.sha256;
    statement->log = lease->log;
    if (lease->failure == FAILURE_NONE) {
        statement->payload = lease->payload.manifest;
        statement->tar = lease->payload.tar;
    }
}

static struct spool_entry *entry_of(const struct lease *lease, struct buf *envelope)
{
    struct spool_entry *entry = mem_zero(1, sizeof *entry);
    entry->nonce = lease->nonce;
    entry->job = lease->key;
    entry->failure = lease->failure;
    entry->node = mem_string(lease->node);
    entry->log = lease->log;
    if (lease->failure == FAILURE_NONE) {
        entry->manifest = lease->payload.manifest;
        entry->tar = lease->payload.tar;
    }
    entry->envelope = buf_steal(envelope);
    return entry;
}

int lease_sign(const struct lease *lease, const struct workshop *shop, struct spool_entry **ret,
               struct diag *diag)
{
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    const struct statement_fact facts[] = {{"cpu_level", shop->facts.cpu_level},
                                           {"cpu_vendor", shop->facts.cpu_vendor},
                                           {"farm_version", FARM_VERSION},
                                           {"kernel", shop->facts.kernel}};
    struct statement_source *sources = sources_of(lease->spec);
    struct statement_dependency *dependencies = dependencies_of(lease->spec);
    struct statement statement = {
        .sources = sources,
        .nsources = lease->spec->nsources,
        .dependencies = dependencies,
        .ndependencies = lease->spec->ndependencies,
        .worker = shop->conf.name,
        .operator_name = shop->conf.operator_name,
        .nonce = lease->nonce,
        .started_ms = lease->started_ms,
        .finished_ms = lease->finished_ms,
        .facts = facts,
        .nfacts = ARRAY_SIZE(facts),
    };
    fill_what(&statement, lease);
    int error = statement_sign(&statement, identity_keys(shop->identity), &envelope, diag);
    free(sources);
    free(dependencies);
    if (error < 0)
        return error;
    if (envelope.size > WIRE_ENVELOPE_MAX)
        return diag_set(diag, FARM_E_LIMIT, "the signed statement about %s takes %zu bytes, %d can be sent",
                        lease->node, envelope.size, WIRE_ENVELOPE_MAX);
    *ret = entry_of(lease, &envelope);
    return 0;
}

int lease_deliver(const struct spool_entry *entry, struct bulk_client *bulk, struct store *store,
                  struct diag *diag)
{
    const struct digest *const all[] = {&entry->manifest, &entry->tar, &entry->log};
    struct digest objects[ARRAY_SIZE(all)];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (!digest_is_zero(all[i]))
            objects[count++] = *all[i];
    return bulk_put_all(bulk, store, objects, count, diag);
}
