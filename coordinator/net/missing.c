/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "missing_private.h"

#include "farmlog.h"
#include "outputs.h"
#include "source_fetch.h"

#include <stdlib.h>

enum {
    LOOK_AT = 256,         /* objects of one look: all of a disk's would keep the loop */
    LOOK_MS = 2000,        /* between two looks whether something came back */
    RETRY_MS = 3600 * 1000 /* between two tries to bring the same object back */
};

static struct view digest_key(const struct digest *digest)
{
    return view_of(digest->bytes, DIGEST_SIZE);
}

/* ---- payloads ---- */

static void feed(struct farm *farm, enum core_event_type type, const struct loss *loss)
{
    struct core_event event = {.type = type, .key = loss->job};
    event.answer.payload = loss->payload;
    (void)farm_feed(farm, &event, NULL);
}

static struct lost_payload *find_payload(const struct lost_job *job, const struct digest *payload)
{
    for (size_t i = 0; i < job->npayloads; i++)
        if (digest_equal(&job->payloads[i].payload, payload))
            return &job->payloads[i];
    return NULL;
}

static struct lost_job *obtain_job(struct missing *missing, const struct digest *key)
{
    struct lost_job *job = map_get(missing->jobs, digest_key(key));
    if (job != NULL)
        return job;
    job = mem_zero(1, sizeof *job);
    job->job = *key;
    map_set(missing->jobs, digest_key(key), job);
    return job;
}

static void lose(struct farm *farm, const struct loss *loss)
{
    struct lost_job *job = obtain_job(farm->missing, &loss->job);
    struct lost_payload *payload = find_payload(job, &loss->payload);
    if (payload == NULL) {
        job->payloads = mem_grow(job->payloads, job->npayloads + 1, sizeof *job->payloads);
        payload = &job->payloads[job->npayloads++];
        *payload = (struct lost_payload){.payload = loss->payload};
    }
    payload->objects++;
    feed(farm, CORE_PAYLOAD_LOST, loss);
}

static void free_job(struct lost_job *job)
{
    free(job->payloads);
    free(job);
}

static void bring_back(struct farm *farm, const struct loss *loss)
{
    struct lost_job *job = map_get(farm->missing->jobs, digest_key(&loss->job));
    struct lost_payload *payload = job != NULL ? find_payload(job, &loss->payload) : NULL;
    if (payload == NULL || --payload->objects > 0)
        return;
    *payload = job->payloads[--job->npayloads];
    if (job->npayloads == 0) {
        (void)map_remove(farm->missing->jobs, digest_key(&loss->job));
        free_job(job);
    }
    feed(farm, CORE_PAYLOAD_BACK, loss);
}

void missing_tell(struct farm *farm, const struct digest *key)
{
    const struct lost_job *job = map_get(farm->missing->jobs, digest_key(key));
    for (size_t i = 0; job != NULL && i < job->npayloads; i++) {
        struct loss loss = {*key, job->payloads[i].payload};
        feed(farm, CORE_PAYLOAD_LOST, &loss);
    }
}

/* ---- whose object it is: the holders name answers, and those say what they named ---- */

struct envelopes {
    struct digest *items;
    size_t count, capacity;
};

static int take_envelope(void *context, const char *holder)
{
    static const char prefix[] = "attestation:";
    struct envelopes *envelopes = context;
    struct digest digest;
    if (strncmp(holder, prefix, sizeof prefix - 1) != 0 ||
        !digest_parse(view_text(holder + sizeof prefix - 1), &digest))
        return 0;
    envelopes->items =
        mem_reserve(envelopes->items, &envelopes->capacity, envelopes->count + 1, sizeof *envelopes->items);
    envelopes->items[envelopes->count++] = digest;
    return 0;
}

struct named {
    const struct digest *object;
    struct digest nonce;
    struct loss loss;
    bool is_output;
};

static int take_answer(void *context, const struct db_attestation *row)
{
    struct named *named = context;
    named->is_output = digest_equal(&row->payload, named->object) || digest_equal(&row->tar, named->object);
    named->nonce = row->nonce;
    named->loss.payload = row->payload;
    return 0;
}

static int take_job(void *context, const struct db_lease *row)
{
    ((struct named *)context)->loss.job = row->job;
    return 0;
}

static bool is_known(const struct missing_object *object, const struct loss *loss)
{
    for (size_t i = 0; i < object->nlosses; i++)
        if (memcmp(&object->losses[i], loss, sizeof *loss) == 0)
            return true;
    return false;
}

static void add_loss(struct farm *farm, struct missing_object *object, const struct digest *envelope)
{
    struct named named = {.object = &object->object};
    if (db_find_attestation(farm->db, envelope, take_answer, &named, NULL) <= 0 || !named.is_output ||
        db_find_lease(farm->db, &named.nonce, take_job, &named, NULL) <= 0 || is_known(object, &named.loss))
        return;
    object->losses =
        mem_reserve(object->losses, &object->capacity, object->nlosses + 1, sizeof *object->losses);
    object->losses[object->nlosses++] = named.loss;
}

static void find_losses(struct farm *farm, struct missing_object *object)
{
    struct envelopes envelopes = {0};
    (void)!db_each_holder(farm->db, &object->object, take_envelope, &envelopes, NULL);
    for (size_t i = 0; i < envelopes.count; i++)
        add_loss(farm, object, &envelopes.items[i]);
    free(envelopes.items);
}

/* ---- the list ---- */

static void free_object(struct missing_object *object)
{
    free(object->losses);
    free(object);
}

void missing_add(struct farm *farm, const struct digest *digest)
{
    struct missing *missing = farm->missing;
    if (map_get(missing->objects, digest_key(digest)) != NULL)
        return;
    struct missing_object *object = mem_zero(1, sizeof *object);
    object->object = *digest;
    object->found_ms = moment_wall_ms();
    map_set(missing->objects, digest_key(digest), object);
    log_event(LOG_LEVEL_ERROR, "an object is damaged or missing; \"farmctl scrub\" says what to do",
              log_digest(FIELD_OBJECT, digest));
    find_losses(farm, object);
    for (size_t i = 0; i < object->nlosses; i++)
        lose(farm, &object->losses[i]);
}

int missing_accept(struct farm *farm, const struct digest *digest, struct diag *diag)
{
    struct missing_object *object = map_get(farm->missing->objects, digest_key(digest));
    if (object == NULL)
        return diag_set(diag, FARM_E_UNKNOWN, "%s is not missing; farmctl scrub lists what is",
                        digest_hex(digest).text);
    if (!missing_is_final(farm, object))
        return diag_set(diag, FARM_E_REFUSED, "%s is needed; farmctl scrub says what brings it back",
                        digest_hex(digest).text);
    db_drop_references(farm_write(farm), digest);
    outputs_forget(farm->outputs);
    (void)map_remove(farm->missing->objects, digest_key(digest));
    log_event(LOG_LEVEL_WARNING, "the loss of an object was accepted", log_digest(FIELD_OBJECT, digest));
    free_object(object); /* of its payloads the core goes on knowing that they are lost */
    return 0;
}

static void remove_object(struct farm *farm, struct missing_object *object)
{
    (void)map_remove(farm->missing->objects, digest_key(&object->object));
    log_event(LOG_LEVEL_INFO, "an object that was missing is here again",
              log_digest(FIELD_OBJECT, &object->object));
    for (size_t i = 0; i < object->nlosses; i++)
        bring_back(farm, &object->losses[i]);
    free_object(object);
}

/* ---- sources are fetched again ---- */

struct healing {
    struct source_fetch source;
    struct digest object; /* the one that is missing */
};

static void healed(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct healing *healing = (struct healing *)task;
    struct source_fetch *source = &healing->source;
    struct missing_object *object = map_get(farm->missing->objects, digest_key(&healing->object));
    farm->missing->fetching = false;
    missing_hurry(farm);
    if (source->result < 0) {
        log_event(LOG_LEVEL_WARNING, "a damaged source cannot be fetched again",
                  log_text(FIELD_ADDRESS, source->url),
                  log_text(FIELD_REASON, diag_text(&source->diag, source->result)));
    } else {
        source_fetch_record(farm,
                            source); /* of git perhaps in another pack: the row names that one from now on */
        if (object != NULL && !digest_equal(&source->object, &healing->object))
            remove_object(farm, object);
    }
    source_fetch_done(source);
    free(healing);
}

struct wanted {
    struct farm *farm;
    const struct missing_object *object;
    bool found;
};

static int fetch_source(void *context, const struct db_source *row)
{
    struct wanted *wanted = context;
    bool is_git = row->commit[0] != '\0';
    if (wanted->found || !digest_equal(&row->object, &wanted->object->object) ||
        strncmp(row->origin, "added: ", 7) == 0)
        return 0;
    struct healing *healing = mem_zero(1, sizeof *healing);
    source_fetch_init(wanted->farm, &healing->source);
    healing->source.task.done = healed;
    healing->source.is_git = is_git;
    healing->source.url = mem_string(row->origin);
    snprintf(healing->source.commit, sizeof healing->source.commit, "%s", row->commit);
    healing->source.pin = row->pin;
    healing->source.size = row->size;
    healing->object = wanted->object->object;
    wanted->found = wanted->farm->missing->fetching = true;
    pool_submit(wanted->farm->pool, &healing->source.task);
    return 0;
}

/* ---- plans are brought back ---- */

struct plan_choice {
    struct farm *farm;
    const struct digest *job;
    struct farm_plan *best;
    int rank;
};

static int rank(const struct plan_choice *choice, const struct farm_plan *plan)
{
    if (plans_node_of(choice->farm, plan, choice->job) != SIZE_MAX)
        return 4;
    return plan->active ? 3 : plan->forgotten ? 2 : 1;
}

static int take_plan(void *context, const char *holder)
{
    static const char prefix[] = "plan:";
    struct plan_choice *choice = context;
    struct digest id;
    if (strncmp(holder, prefix, sizeof prefix - 1) != 0 ||
        !digest_parse(view_text(holder + sizeof prefix - 1), &id))
        return 0;
    struct farm_plan *plan = plans_get(choice->farm, &id);
    int its_rank = plan != NULL ? rank(choice, plan) : 0;
    if (its_rank > choice->rank) {
        choice->best = plan;
        choice->rank = its_rank;
    }
    return 0;
}

struct farm_plan *missing_plan(struct farm *farm, const struct digest *job)
{
    struct plan_choice choice = {.farm = farm, .job = job};
    (void)!db_each_holder(farm->db, job, take_plan, &choice, NULL);
    return choice.best;
}

/* The core is told again: an answer that came in the same moment may have made it believe otherwise. */
static void want_again(struct farm *farm, const struct missing_object *object, bool recall)
{
    struct diag why = DIAG_INIT;
    for (size_t i = 0; i < object->nlosses; i++) {
        struct farm_plan *plan = recall ? missing_plan(farm, &object->losses[i].job) : NULL;
        if (plan != NULL && plan->forgotten && plans_recall(farm, plan, &why) < 0)
            log_event(LOG_LEVEL_ERROR, "a lost payload cannot be built again",
                      log_digest(FIELD_OBJECT, &object->object), log_text(FIELD_REASON, why.text));
        feed(farm, CORE_PAYLOAD_LOST, &object->losses[i]);
    }
}

/* ---- specs are derived again ---- */

static int know_job(void *context, const char *node)
{
    (void)context;
    (void)node;
    return 0;
}

/* False: it is no spec. One that no node has as its job now is made by whoever keys that job, if anybody ever does. */
static bool derive_again(struct farm *farm, struct missing_object *object)
{
    struct diag why = DIAG_INIT;
    const struct digest *spec = &object->object;
    struct farm_plan *plan = missing_plan(farm, spec);
    if (plan == NULL || db_find_job(farm->db, spec, know_job, NULL, NULL) <= 0)
        return false;
    int result = plan->forgotten ? plans_recall(farm, plan, &why) : 0; /* which derives all of its specs */
    size_t node = result >= 0 && !store_has(farm->store, spec) ? plans_node_of(farm, plan, spec) : SIZE_MAX;
    if (node != SIZE_MAX)
        result = plans_derive_again(farm, plan, node, spec, &why);
    if (result == FARM_E_STATE)
        object->retry_ms = 0; /* its leases begin when that is agreed on again: with the next look */
    else if (result < 0)
        log_event(LOG_LEVEL_WARNING, "a lost spec cannot be made again", log_digest(FIELD_OBJECT, spec),
                  log_text(FIELD_REASON, diag_text(&why, result)));
    return true;
}

/* ---- in each turn ---- */

static void heal(struct farm *farm, struct missing_object *object, int64_t now_ms)
{
    struct wanted wanted = {.farm = farm, .object = object};
    bool due = now_ms >= object->retry_ms;
    if (due)
        object->retry_ms = now_ms + RETRY_MS;
    if (object->nlosses > 0)
        want_again(farm, object, due);
    else if (due && !derive_again(farm, object)) {
        if (farm->missing->fetching)
            object->retry_ms = 0; /* if it is a source, its turn comes */
        else
            (void)!db_each_source(farm->db, fetch_source, &wanted, NULL);
    }
}

/* Some of the list, round and round. */
static void look(struct farm *farm, int64_t now_ms)
{
    struct missing *missing = farm->missing;
    struct view key;
    void *value;
    for (int i = 0; i < LOOK_AT; i++) {
        if (!map_next(missing->objects, &missing->look_at, &key, &value)) {
            missing->look_at = 0;
            return;
        }
        struct missing_object *object = value;
        if (store_has(farm->store, &object->object))
            remove_object(farm, object);
        else
            heal(farm, object, now_ms);
    }
}

/* What workers asked for in vain. What no row names is not ours to bring back. */
static void take_absent(struct farm *farm)
{
    enum { AT_ONCE = 16 };
    struct digest absent[AT_ONCE];
    size_t n = access_take_absent(farm->access, absent, AT_ONCE);
    for (size_t i = 0; i < n; i++)
        if (!store_has(farm->store, &absent[i]) && db_is_referenced(farm->db, &absent[i]))
            missing_add(farm, &absent[i]);
}

void missing_turn(struct farm *farm)
{
    int64_t now_ms = moment_steady_ms();
    if (farm->stopping || farm->leaving)
        return;
    take_absent(farm);
    if (now_ms < farm->missing->look_ms)
        return;
    look(farm, now_ms);
    farm->missing->look_ms = now_ms + LOOK_MS;
}

void missing_hurry(struct farm *farm)
{
    farm->missing->look_ms = 0;
}

size_t missing_count(const struct farm *farm)
{
    return map_count(farm->missing->objects);
}

/* ---- life ---- */

static int look_for(void *context, const struct digest *object)
{
    struct farm *farm = context;
    struct missing *missing = farm->missing;
    if (store_has(farm->store, object))
        return 0;
    missing->absent = mem_reserve(missing->absent, &missing->absent_capacity, missing->nabsent + 1,
                                  sizeof *missing->absent);
    missing->absent[missing->nabsent++] = *object;
    return 0;
}

/* All but specs, which stay in the list. */
static void add_absent(struct farm *farm)
{
    struct missing *missing = farm->missing;
    size_t specs = 0;
    for (size_t i = 0; i < missing->nabsent; i++)
        if (db_find_job(farm->db, &missing->absent[i], know_job, NULL, NULL) > 0)
            missing->absent[specs++] = missing->absent[i];
        else
            missing_add(farm, &missing->absent[i]);
    missing->nabsent = specs;
}

int missing_open(struct farm *farm, struct diag *diag)
{
    static const struct digest first;
    farm->missing = mem_zero(1, sizeof *farm->missing);
    farm->missing->objects = map_new();
    farm->missing->jobs = map_new();
    int result = db_each_object(farm->db, &first, -1, look_for, farm, diag);
    if (result >= 0)
        add_absent(farm);
    return result;
}

void missing_open_specs(struct farm *farm)
{
    struct missing *missing = farm->missing;
    for (size_t i = 0; i < missing->nabsent; i++)
        if (!store_has(farm->store, &missing->absent[i]))
            missing_add(farm, &missing->absent[i]);
    free(STEAL(missing->absent));
    missing->nabsent = missing->absent_capacity = 0;
}

struct missing *missing_free(struct missing *missing)
{
    struct view key;
    void *value;
    if (missing == NULL)
        return NULL;
    for (size_t cursor = 0; map_next(missing->objects, &cursor, &key, &value);)
        free_object(value);
    for (size_t cursor = 0; map_next(missing->jobs, &cursor, &key, &value);)
        free_job(value);
    map_free(missing->objects);
    map_free(missing->jobs);
    free(missing->absent);
    free(missing);
    return NULL;
}
