// SPDX-License-Identifier: Apache-2.0
#include "broker/backup.h"

#include <stdio.h>

#include "base/mem.h"
#include "broker/broker_state.h"
#include "storage/store.h"

static bool name_allowed(struct slice name) {
    if (name.size == 0 || name.size > BACKUP_NAME_SIZE_MAX || name.data[0] == '.') return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-') return false;
    }
    return true;
}

enum status backup_start(struct broker *broker, struct slice name, struct backup *backup,
                         struct diagnostic *diagnostic) {
    if (!name_allowed(name))
        return diagnose(
            diagnostic, STATUS_INVALID,
            "the name of a checkpoint has 1 to %d letters, digits, '.', '_' and '-', and does not "
            "begin with '.'",
            BACKUP_NAME_SIZE_MAX);
    size_t size = strlen(broker->data_dir) + sizeof "/" STORE_CHECKPOINTS "/" + name.size;
    backup->path = mem_alloc(size);
    snprintf(backup->path, size, "%s/" STORE_CHECKPOINTS "/%.*s", broker->data_dir, (int)name.size,
             (const char *)name.data);
    store_checkpoint(broker->store, backup->path, &backup->checkpoint);
    return STATUS_OK;
}

enum status backup_refuse(const struct broker *broker, struct diagnostic *diagnostic) {
    if (!store_dir_is_checkpoint(broker->io, broker->data_dir)) return STATUS_OK;
    return diagnose(
        diagnostic, STATUS_INVALID,
        "'%s' is a checkpoint: a member of a cluster that begins with an old copy of its data has "
        "forgotten what it promised since, and others would lose by it; start it with an empty "
        "directory, and it is given everything anew",
        broker->data_dir);
}

enum status backup_take_over(struct broker *broker, struct diagnostic *diagnostic) {
    if (!store_is_checkpoint(broker->store)) return STATUS_OK;
    log_info(broker->log, "this directory was restored from a checkpoint dir=%s", broker->data_dir);
    enum status status = store_take_over(broker->store);
    if (status != STATUS_OK)
        return diagnose(diagnostic, status, "the checkpoint in '%s' cannot be taken over: %s",
                        broker->data_dir, status_text(status));
    return STATUS_OK;
}

void backup_release(struct backup *backup) {
    mem_free(backup->path);
    backup->path = NULL;
}
