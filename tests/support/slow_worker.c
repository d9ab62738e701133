/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A worker whose upload takes $FARM_TEST_SLOW seconds longer, so that its answer is late, but comes (case W7,
 * W13). */
#include "lease.h"

#include <stdlib.h>
#include <unistd.h>

int __real_lease_deliver(const struct spool_entry *entry, struct bulk_client *bulk, struct store *store,
                         struct diag *diag);
int __wrap_lease_deliver(const struct spool_entry *entry, struct bulk_client *bulk, struct store *store,
                         struct diag *diag);

int __wrap_lease_deliver(const struct spool_entry *entry, struct bulk_client *bulk, struct store *store,
                         struct diag *diag)
{
    const char *seconds = getenv("FARM_TEST_SLOW");
    sleep(seconds != NULL ? (unsigned int)atoi(seconds) : 5);
    return __real_lease_deliver(entry, bulk, store, diag);
}
