/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config.h"

#include "buf.h"
#include "file.h"

#include <fcntl.h>

/* A configuration is a page or two. */
enum { CONFIG_SIZE_MAX = 256 * 1024 };

#define KEY(field, kind, fallback, least, greatest)                                                          \
    {                                                                                                        \
        "coordinator", #field, kind, offsetof(struct coordinator_config, field), fallback, least, greatest   \
    }

const struct conf_key coordinator_keys[] = {
    KEY(state_dir, CONF_TEXT, NULL, 0, 0),
    KEY(control_listen, CONF_TEXT, "0.0.0.0:7440", 0, 0),
    KEY(bulk_listen, CONF_TEXT, "0.0.0.0:7441", 0, 0),
    KEY(advertise, CONF_TEXT, "localhost", 0, 0),
    KEY(control_socket, CONF_TEXT, "", 0, 0),
    KEY(local_repositories, CONF_LIST, "", 0, 0),
    KEY(log_level, CONF_TEXT, "info", 0, 0),
    KEY(log_origin, CONF_TEXT, "", 0, 0),
    KEY(pool_threads, CONF_NUMBER, "2", 1, 64),
    KEY(session_timeout, CONF_SECONDS, "30s", 1, 3600),
    KEY(lease_grace, CONF_SECONDS, "60s", 0, 86400),
    KEY(lease_margin, CONF_SECONDS, "10m", 1, 86400),
    KEY(heartbeat, CONF_SECONDS, "5s", 1, 600),
    KEY(outvoted_limit, CONF_NUMBER, "3", 1, 1000),
    KEY(refusals_limit, CONF_NUMBER, "3", 1, 1000),
    KEY(rest, CONF_SECONDS, "5m", 1, 86400),
    KEY(download_limit, CONF_BYTES, "2G", 1024, (uint64_t)1 << 40),
    KEY(upload_limit, CONF_BYTES, "8G", 1024, (uint64_t)1 << 40),
    KEY(collect_grace, CONF_SECONDS, "24h", 0, 0),
    KEY(reserve, CONF_BYTES, "1G", 0, (uint64_t)1 << 40),
    KEY(allow_http, CONF_FLAG, "no", 0, 0),
    KEY(allow_private_addresses, CONF_FLAG, "no", 0, 0),
};
const size_t coordinator_nkeys = ARRAY_SIZE(coordinator_keys);

int config_read(const char *path, struct coordinator_config *ret, struct diag *diag)
{
    static const char *const foreign[] = {"worker", "limits", "allow", NULL};
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &text, diag);
    if (result < 0)
        return diag_set(diag, FARM_E_CONFIG, "%s", diag_text(diag, result));
    return conf_read(buf_view(&text), path, coordinator_keys, coordinator_nkeys, foreign, ret, diag);
}

void config_done(struct coordinator_config *config)
{
    conf_done(coordinator_keys, coordinator_nkeys, config);
}
