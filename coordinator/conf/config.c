/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config.h"

#include "buf.h"
#include "farmlog.h"
#include "file.h"
#include "web.h"

#include <fcntl.h>
#include <stdlib.h>

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
    KEY(log_format, CONF_TEXT, "text", 0, 0),
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
    KEY(plan_memory, CONF_SECONDS, "1h", 1, 365 * 86400),
    KEY(keep_finished, CONF_SECONDS, "0s", 0, 0),
    KEY(collect_grace, CONF_SECONDS, "24h", 0, 0),
    KEY(reserve, CONF_BYTES, "1G", 0, (uint64_t)1 << 40),
    KEY(scrub_interval, CONF_SECONDS, "7d", 0, 0),
    KEY(allow_http, CONF_FLAG, "no", 0, 0),
    KEY(allow_private_addresses, CONF_FLAG, "no", 0, 0),
    {"web", "listen", CONF_TEXT, offsetof(struct coordinator_config, web_listen), "", 0, 0},
};
const size_t coordinator_nkeys = ARRAY_SIZE(coordinator_keys);

/* What a table of types and ranges cannot say. */
static int check_values(const struct coordinator_config *config, const char *path, struct diag *diag)
{
    if (log_level_parse(config->log_level) < 0)
        return diag_set(diag, FARM_E_CONFIG,
                        "%s: log_level \"%.40s\": expected error, warning, info or debug", path,
                        config->log_level);
    if (log_format_parse(config->log_format) < 0)
        return diag_set(diag, FARM_E_CONFIG, "%s: log_format \"%.40s\": expected text or json", path,
                        config->log_format);
    return config->web_listen[0] == '\0' ? 0 : web_listen_check(config->web_listen, diag);
}

int config_read(const char *path, struct coordinator_config *ret, struct diag *diag)
{
    static const char *const foreign[] = {"worker", "limits", "allow", NULL};
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct coordinator_config config = {0};
    int result = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &text, diag);
    if (result < 0)
        return diag_set(diag, FARM_E_CONFIG, "%s", diag_text(diag, result));
    result = conf_read(buf_view(&text), path, coordinator_keys, coordinator_nkeys, foreign, &config, diag);
    if (result < 0)
        return result;
    result = check_values(&config, path, diag);
    if (result < 0) {
        config_done(&config);
        return result;
    }
    config.path = mem_string(path);
    *ret = config;
    return 0;
}

void config_apply_log(const struct coordinator_config *config)
{
    log_set_level((enum log_level)log_level_parse(config->log_level));
    log_set_format((enum log_format)log_format_parse(
        config->forced_log_format != NULL ? config->forced_log_format : config->log_format));
}

static void swap(char **a, char **b)
{
    char *kept = *a;
    *a = *b;
    *b = kept;
}

/* Both print the same keys in the same order, one a line. */
static void list_changes(const struct coordinator_config *now, const struct coordinator_config *read,
                         struct buf *ret)
{
    CLEANUP_BUF struct buf old_text = BUF_INIT, new_text = BUF_INIT;
    conf_print(coordinator_keys, coordinator_nkeys, now, &old_text);
    conf_print(coordinator_keys, coordinator_nkeys, read, &new_text);
    struct view old_rest = buf_view(&old_text), new_rest = buf_view(&new_text), old_line, new_line, name;
    while (view_split(&old_rest, '\n', &old_line) && view_split(&new_rest, '\n', &new_line)) {
        struct view line = new_line;
        if (view_equal(old_line, new_line) || !view_split(&line, ' ', &name))
            continue;
        buf_add_format(ret, "%s%.*s", ret->size > 0 ? ", " : "", VIEW_ARG(name));
    }
}

int config_reread(struct coordinator_config *config, struct buf *ret_later, struct diag *diag)
{
    struct coordinator_config read = {0};
    int result = config_read(config->path, &read, diag);
    if (result < 0)
        return result;
    swap(&config->log_level, &read.log_level);
    swap(&config->log_format, &read.log_format);
    free(read.log_level);
    free(read.log_format);
    read.log_level = mem_string(config->log_level);
    read.log_format = mem_string(config->log_format);
    list_changes(config, &read, ret_later);
    config_done(&read);
    return 0;
}

void config_done(struct coordinator_config *config)
{
    free(config->path);
    config->path = NULL;
    conf_done(coordinator_keys, coordinator_nkeys, config);
}
