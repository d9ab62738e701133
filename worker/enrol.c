/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "enrol.h"

#include "base64.h"
#include "file.h"
#include "json.h"
#include "root.h"
#include "statedir.h"
#include "workshop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void enrol_write_request(const struct identity *identity, const char *operator_name,
                         const struct facts *facts, const char *site, struct buf *ret)
{
    char curve[2 * IDENTITY_CURVE_SIZE + 1], ed25519[2 * KEYS_PUBLIC_SIZE + 1];
    hex_encode(identity_curve_public(identity), IDENTITY_CURVE_SIZE, curve);
    hex_encode(keys_public(identity_keys(identity))->bytes, KEYS_PUBLIC_SIZE, ed25519);
    CLEANUP_JSON json_t *json = json_object();
    json_t *list = json_object();
    json_object_set_new(list, "cpu_vendor", json_string(facts->cpu_vendor));
    json_object_set_new(list, "kernel", json_string(facts->kernel));
    if (site != NULL)
        json_object_set_new(list, "site", json_view(view_text(site)));
    json_object_set_new(json, "facts", list);
    json_object_set_new(json, "worker", json_string(identity_name(identity)));
    json_object_set_new(json, "operator", json_string(operator_name));
    json_object_set_new(json, "ed25519", json_string(ed25519));
    json_object_set_new(json, "curve", json_string(curve));
    json_write(json, ret);
    buf_add_byte(ret, '\n');
}

void enrol_write_code(struct view request, struct buf *ret)
{
    if (view_ends(request, VIEW("\n")))
        request.size--;
    buf_add_text(ret, ENROL_CODE);
    base64_encode(request, ret);
}

char *enrol_default_name(const char *operator_name, const char *hostname)
{
    CLEANUP_BUF struct buf name = BUF_INIT;
    buf_add_format(&name, "%s-", operator_name);
    for (const char *c = hostname; *c != '\0' && *c != '.' && name.size < IDENTITY_NAME_MAX; c++) {
        char lower = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        buf_add_byte(&name, (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') ? lower : '-');
    }
    while (name.size > 0 && name.data[name.size - 1] == '-')
        name.data[--name.size] = '\0';
    return buf_steal(&name);
}

/* ---- making one ---- */

/* A join string of before the farm had a root pins nothing; then the owner's word does: it came another way. */
static int read_root_file(const char *path, struct digest *pinned, struct buf *ret, struct diag *diag)
{
    CLEANUP_ROOT struct root *root = NULL;
    int error = file_read(AT_FDCWD, path, ROOT_SIZE_MAX, ret, diag);
    if (error < 0)
        return error;
    struct digest digest = digest_of(buf_view(ret));
    if (!digest_is_zero(pinned) && !digest_equal(&digest, pinned))
        return diag_set(
            diag, FARM_E_DIGEST,
            "%s: its digest is %s, the join string names %s: it is another root.json, or another version of "
            "it. Leave --root out: the worker fetches the one that is named, and follows it to the newest",
            path, digest_hex(&digest).text, digest_hex(pinned).text);
    error = root_parse(buf_view(ret), path, &root, diag);
    if (error >= 0)
        *pinned = digest;
    return error;
}

/* Keys of an init that was interrupted are used again, if they were made under the same name. */
static int get_identity(int fd, const char *name, struct identity **ret, struct diag *diag)
{
    struct identity *identity = NULL;
    int error = identity_read(fd, STATEDIR_KEY, &identity, diag);
    if (error == -ENOENT) {
        identity = identity_generate(name, true);
        error = identity_write(identity, fd, STATEDIR_KEY, diag);
    } else if (error >= 0 && strcmp(identity_name(identity), name) != 0) {
        error = diag_set(diag, FARM_E_EXISTS,
                         STATEDIR_KEY ": there are keys of a worker \"%s\" already; use --worker %s, or "
                                      "another --state",
                         identity_name(identity), identity_name(identity));
    }
    if (error < 0) {
        identity_free(identity);
        return error;
    }
    *ret = identity;
    return 0;
}

static int write_all(const struct enrol *enrol, struct view root, int fd, const struct identity *identity,
                     struct diag *diag)
{
    CLEANUP_BUF struct buf request = BUF_INIT;
    CLEANUP_BUF struct buf conf = BUF_INIT;
    struct facts facts;
    int error = facts_read(fd, &facts, diag);
    if (error < 0)
        return error;
    const struct worker_machine machine = {facts.cores, facts.memory_bytes, facts.disk_free_bytes};
    enrol_write_request(identity, enrol->wish.operator_name, &facts, enrol->site, &request);
    worker_conf_write(&enrol->wish, &machine, &conf);
    struct worker_conf check = {0};
    error = worker_conf_parse(buf_view(&conf), STATEDIR_CONF, &check,
                              diag); /* bad --allow-... shows here, before it is kept */
    worker_conf_done(&check);
    if (error >= 0)
        error = file_write(fd, STATEDIR_REQUEST, buf_view(&request), 0600, diag);
    if (error >= 0 && root.size > 0)
        error = file_write(fd, STATEDIR_ROOT, root, 0600, diag);
    if (error >= 0)
        error = statedir_fill(fd, diag);
    return error >= 0 ? file_create(fd, STATEDIR_CONF, buf_view(&conf), 0600, diag) : error;
}

static int make(const struct enrol *enrol, struct view root, int fd, struct diag *diag)
{
    struct identity *identity = NULL;
    int error = get_identity(fd, enrol->wish.name, &identity, diag);
    if (error >= 0)
        error = write_all(enrol, root, fd, identity, diag);
    identity_free(identity);
    return error >= 0 ? statedir_hand_over(fd, true, diag) : error;
}

/* ---- telling ---- */

static void tell_next(const struct enrol *enrol, const char *code, FILE *out)
{
    fprintf(out,
            "\nWhat comes next. On the computer that has your own key (any OpenSSH ed25519 key, also one on "
            "a token), make a "
            "directory entry of the request and sign it:\n\n"
            "    farm-sign entry init --request %s --operator-key YOUR-KEY.pub --expires YYYY-MM-DD --out "
            "entry.json\n"
            "    farm-sign entry entry.json --key YOUR-KEY\n\n"
            "Send entry.json and entry.json.sig.d to the farm's operator. They sign it too, with the "
            "enrolment role's key, "
            "and admit it:\n\n"
            "    farm-sign entry entry.json --key ENROLMENT-KEY\n"
            "    farmctl worker admit entry.json\n\n"
            "Then, or now (it waits until it is admitted), start it, and see what it does:\n\n"
            "    farm-worker run --state %s\n"
            "    farm-worker status --state %s\n",
            code, enrol->state, enrol->state);
}

static int tell(const struct enrol *enrol, int fd, const char *what, FILE *out, struct diag *diag)
{
    CLEANUP_BUF struct buf request = BUF_INIT, allowed = BUF_INIT, code = BUF_INIT;
    struct worker_conf conf = {0};
    int error = file_read(fd, STATEDIR_REQUEST, WORKER_CONF_MAX, &request, diag);
    if (error >= 0)
        error = workshop_read_conf(fd, &conf, diag);
    if (error < 0)
        return error;
    worker_conf_describe(&conf, &allowed);
    enrol_write_code(buf_view(&request), &code);
    fprintf(out, "%s worker %s of %s in %s\n%s", what, conf.name, conf.operator_name, enrol->state,
            allowed.data);
    if (digest_is_zero(&conf.root))
        fputs("trust root: none is pinned, so neither the farm's bases nor its log are checked; a join "
              "string of today "
              "may name one\n",
              out);
    else
        fprintf(out, "trust root pinned: %s\n", digest_hex(&conf.root).text);
    fprintf(out, "\nIts enrolment request is the file %s/" STATEDIR_REQUEST ", or, to paste:\n\n%s\n",
            enrol->state, code.data);
    tell_next(enrol, code.data, out);
    worker_conf_done(&conf);
    return 0;
}

static int compare(const struct enrol *enrol, int fd, struct diag *diag)
{
    struct worker_conf conf = {0};
    int error = workshop_read_conf(fd, &conf, diag);
    if (error >= 0)
        error = worker_conf_agrees(&conf, &enrol->wish, diag);
    worker_conf_done(&conf);
    return error;
}

static int make_or_compare(struct enrol *enrol, int fd, FILE *out, struct diag *diag)
{
    char hostname[256] = "";
    CLEANUP_BUF struct buf root = BUF_INIT;
    int error = 0;
    if (enrol->root_file != NULL)
        error = read_root_file(enrol->root_file, &enrol->wish.join.root, &root, diag);
    if (error < 0)
        return error;
    if (faccessat(fd, STATEDIR_CONF, F_OK, AT_EACCESS) == 0) {
        error = compare(enrol, fd, diag);
        return error >= 0 ? tell(enrol, fd, "already there, nothing was changed:", out, diag) : error;
    }
    if (gethostname(hostname, sizeof hostname - 1) < 0)
        return diag_errno(diag, "gethostname");
    CLEANUP_FREE char *made = enrol_default_name(enrol->wish.operator_name, hostname);
    if (enrol->wish.name == NULL)
        enrol->wish.name = made;
    error = make(enrol, buf_view(&root), fd, diag);
    return error >= 0 ? tell(enrol, fd, "made", out, diag) : error;
}

int enrol_run(const struct enrol *enrol, FILE *out, struct diag *diag)
{
    CLEANUP_CLOSE int fd = -1;
    struct enrol whole = *enrol;
    int error = statedir_create(enrol->state, &fd, diag);
    return error >= 0 ? make_or_compare(&whole, fd, out, diag) : error;
}
