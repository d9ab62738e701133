/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is missing, in words: whose it is, whether it comes back by itself, and what somebody could do about it. */
#include "missing_private.h"

#include <stdlib.h>

enum { LISTED_MAX = 1000 }; /* in one answer; more of them are a disk that is gone */

/* Which of these an object is of decides what brings it back; the first that fits is told. */
static const struct {
    const char *holder, *remedy;
    bool by_itself;
} remedies[] = {
    {"source:", "fetched again by itself; if that fails: farmctl source add FILE, with the same bytes", true},
    {"base:", "farmctl base import again, from the same tar", false},
    {"attestation:",
     "a build log, which nobody can make again; it hinders nothing: farmctl scrub --accept-loss OBJECT",
     false},
    {"release:",
     "its archive: put the file from an export back with farmctl source add; or draft the release again",
     false},
    {"plan:", "a plan or package tree is made again by farmctl plan, on the same commit; or restore a backup",
     false},
};

struct said {
    json_t *holders;
    char *node;  /* NULL: it is no payload's */
    char *words; /* NULL: not known yet */
    bool by_itself;
};

static void say(struct said *said, bool by_itself, char *words)
{
    said->by_itself = by_itself;
    said->words = words;
}

/* ---- payloads ---- */

static int take_node(void *context, const char *node)
{
    ((struct said *)context)->node = mem_string(node);
    return 0;
}

static bool find_view(const struct farm *farm, const struct farm_plan *plan, const char *node,
                      struct core_node_view *ret)
{
    size_t index = plan_find(plan->plan, view_text(node));
    return index != SIZE_MAX && core_node(farm->core, &plan->id, index, ret);
}

static void say_wanted(struct said *said, const struct core_node_view *view)
{
    say(said, true,
        mem_format("its payload is agreed, and is built again: the job is %s, in round %u; \"farmctl why "
                   "%s\" says what it waits for",
                   node_state_name(view->state), view->round, said->node));
}

static void say_in_core(const struct farm *farm, const struct farm_plan *plan, const struct loss *loss,
                        struct said *said)
{
    struct core_node_view view;
    if (!find_view(farm, plan, said->node, &view) || !view.keyed || !digest_equal(&view.key, &loss->job))
        say(said, false, mem_string("its job is not part of any plan as it stands now; it hinders nothing"));
    else if (view.has_payload && digest_equal(&view.payload, &loss->payload))
        say_wanted(said, &view);
    else
        say(said, false,
            mem_format(
                "an answer that is not agreed on (the job is %s): it is evidence alone, and hinders nothing",
                node_state_name(view.state)));
}

static void say_payload(struct farm *farm, const struct loss *loss, struct said *said)
{
    const struct farm_plan *plan = missing_plan(farm, &loss->job);
    if (db_find_job(farm->db, &loss->job, take_node, said, NULL) <= 0 || plan == NULL)
        return;
    const char *id = digest_hex(&plan->id).text;
    if (plan->active)
        say_in_core(farm, plan, loss, said);
    else if (plan->forgotten)
        say(said, true,
            mem_format("its plan ended a while ago, and is brought back within the hour to build it again; "
                       "at once: farmctl "
                       "build %.12s",
                       id));
    else
        say(said, false, mem_format("its plan was cancelled: farmctl build %.12s builds it again", id));
}

/* ---- specs ---- */

static void say_spec(struct farm *farm, const struct digest *object, struct said *said)
{
    const struct farm_plan *plan = missing_plan(farm, object);
    if (plan == NULL || db_find_job(farm->db, object, take_node, said, NULL) <= 0)
        return;
    if (plan->forgotten || plans_node_of(farm, plan, object) != SIZE_MAX)
        say(said, true, mem_string("a job's spec: made again by itself, from its plan and package tree"));
    else if (plan->active)
        say(said, false,
            mem_string("a job's spec, which is not part of any plan as it stands now; it hinders nothing"));
    else
        say(said, false,
            mem_format("a job's spec, of a plan that was cancelled: farmctl build %.12s makes it again",
                       digest_hex(&plan->id).text));
}

/* ---- all ---- */

static int take_holder(void *context, const char *holder)
{
    struct said *said = context;
    json_array_append_new(said->holders, json_string(holder));
    for (size_t i = 0; said->words == NULL && i < ARRAY_SIZE(remedies); i++)
        if (strncmp(holder, remedies[i].holder, strlen(remedies[i].holder)) == 0)
            say(said, remedies[i].by_itself, mem_string(remedies[i].remedy));
    return 0;
}

/* 'said' gets its words; holders, node and words are the caller's. */
static void say_object(struct farm *farm, const struct missing_object *object, struct said *said)
{
    for (size_t i = 0; i < object->nlosses && !said->by_itself; i++) {
        free(STEAL(said->node));
        free(STEAL(said->words));
        say_payload(farm, &object->losses[i], said);
    }
    if (object->nlosses == 0)
        say_spec(farm, &object->object, said);
    (void)!db_each_holder(farm->db, &object->object, take_holder, said, NULL);
}

bool missing_is_final(struct farm *farm, const struct missing_object *object)
{
    struct said said = {.holders = json_array()};
    size_t index;
    json_t *holder;
    say_object(farm, object, &said);
    bool is_final = !said.by_itself;
    json_array_foreach(said.holders, index, holder)
    {
        is_final = is_final && strncmp(json_string_value(holder), "attestation:", 12) == 0;
    }
    json_decref(said.holders);
    free(said.node);
    free(said.words);
    return is_final;
}

static json_t *object_json(struct farm *farm, const struct missing_object *object)
{
    struct said said = {.holders = json_array()};
    say_object(farm, object, &said);
    json_t *json =
        json_pack("{s:o, s:o, s:s, s:s?, s:b, s:s}", "object", json_digest(&object->object), "holders",
                  said.holders, "found", moment_format(object->found_ms).text, "node", said.node, "by_itself",
                  (int)said.by_itself, "do", said.words != NULL ? said.words : "restore a backup");
    free(said.node);
    free(said.words);
    return json;
}

json_t *missing_report(struct farm *farm)
{
    json_t *list = json_array();
    struct view key;
    void *value;
    for (size_t cursor = 0;
         json_array_size(list) < LISTED_MAX && map_next(farm->missing->objects, &cursor, &key, &value);)
        json_array_append_new(list, object_json(farm, value));
    return list;
}
