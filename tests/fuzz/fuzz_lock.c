/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm.lock: read twice it is the same or has the same problems; what is accepted is what a lock may hold. */
#include "fuzz.h"

#include "fuzz_yaml.h"
#include "lock.h"
#include "names.h"

static void check_pin(const struct pin *pin)
{
    FUZZ_CHECK(pin->url != NULL && pin->epoch >= -1);
    FUZZ_CHECK(!digest_is_zero(&pin->digest) || pin->kind == PIN_GIT || pin->kind == PIN_ARCHIVE);
    FUZZ_CHECK(pin->kind != PIN_GIT || commit_is_plain(view_text(pin->commit)));
    FUZZ_CHECK(pin->kind != PIN_ARCHIVE || filename_is_plain(view_text(pin->filename)));
    FUZZ_CHECK(pin->into == NULL || pin->into[0] != '/');
    struct pin copy;
    pin_copy(&copy, pin);
    pin_done(&copy);
}

static void check_lock(const struct lock *lock)
{
    for (size_t i = 0; i < lock->count; i++) {
        const struct lock_entry *entry = &lock->entries[i];
        FUZZ_CHECK(name_is_plain(view_text(entry->package)));
        FUZZ_CHECK(entry->npins <= LOCK_PINS_MAX); /* none: for a package without sources */
        FUZZ_CHECK(lock_find(lock, entry->package) == entry);
        for (size_t j = 0; j < entry->npins; j++)
            check_pin(&entry->pins[j]);
    }
}

static void run(struct view input)
{
    struct problems problems = PROBLEMS_INIT, second = PROBLEMS_INIT;
    struct lock *lock = NULL, *again = NULL;
    int result = lock_parse(input, "farm.lock", &lock, &problems);
    FUZZ_CHECK(lock_parse(input, "farm.lock", &again, &second) == result);
    fuzz_check_problems(result, &problems, &second);
    FUZZ_CHECK((lock != NULL) == (result >= 0));
    if (result >= 0)
        check_lock(lock);
    lock_free(lock);
    lock_free(again);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 2 << 20, .heap_factor = 4096};
