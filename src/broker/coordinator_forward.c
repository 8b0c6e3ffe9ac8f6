// SPDX-License-Identifier: Apache-2.0
#include "broker/coordinator_forward.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/coordinator_away.h"

/* ---- asking -------------------------------------------------------------------------------------------- */

static void answer(struct group_away *away, struct group_reply *reply) {
    reply->call = away->call;
    if (away->call->answer != NULL) away->call->answer(away->call, reply);
}

static bool take_reply(struct reader *in, struct group_reply *reply) {
    uint8_t status = reader_u8(in);
    *reply = (struct group_reply){.status = (enum status)status};
    return reader_ok(in) && status < STATUS_COUNT;
}

static bool answer_beat(struct group_away *away, struct reader *in) {
    struct group_reply reply;
    if (!take_reply(in, &reply)) return false;
    struct group_member member = {.epoch = (int32_t)reader_be32(in)};
    uint32_t count = away_take_count(in, 20);
    member.assigned.list = mem_calloc((size_t)count + 1, sizeof *member.assigned.list);
    member.assigned.count = count;
    for (uint32_t i = 0; i < count; i++)
        member.assigned.list[i] = away_take_partition(in);
    reply.member = &member;
    bool ok = reader_ok(in);
    if (ok) answer(away, &reply);
    mem_free(member.assigned.list);
    return ok;
}

static bool answer_commit(struct group_away *away, struct reader *in) {
    struct group_reply reply;
    if (!take_reply(in, &reply)) return false;
    away_take_statuses(in, away);
    if (reader_ok(in)) answer(away, &reply);
    return reader_ok(in);
}

static bool answer_read(struct group_away *away, struct reader *in) {
    struct group_reply reply;
    if (!take_reply(in, &reply)) return false;
    struct group_machine machine;
    struct state_change_entry entry;
    bool there = reader_u8(in) != 0;
    struct slice rest = reader_bytes(in, reader_remaining(in));
    group_machine_init(&machine, &away->coordinator->broker->options.groups, 1);
    enum status status = there ? state_change_begin(&rest) : STATUS_END;
    while (status == STATUS_OK && (status = state_change_next(&rest, &entry)) == STATUS_OK)
        status = group_load(&machine, entry.key, entry.value);
    reply.group = group_find(&machine, away->name);
    bool ok = reader_ok(in) && status == STATUS_END;
    if (ok) answer(away, &reply);
    group_machine_release(&machine);
    return ok;
}

static bool answer_delete(struct group_away *away, struct reader *in) {
    struct group_reply reply;
    bool ok = take_reply(in, &reply);
    if (ok) answer(away, &reply);
    return ok;
}

bool coordinator_forward_beat(struct broker *broker, struct group_call *call,
                              const struct group_consumer_beat *beat) {
    uint32_t node = away_node(broker, call, beat->group);
    if (node == 0) return false;
    struct writer out;
    writer_init(&out);
    const struct slice texts[] = {beat->group,     beat->member_id,   beat->instance_id, beat->rack_id,
                                  beat->client_id, beat->client_host, beat->regex,       beat->assignor};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        away_put(&out, texts[i]);
    writer_be32(&out, (uint32_t)beat->epoch);
    writer_be32(&out, (uint32_t)beat->rebalance_timeout_ms);
    writer_be32(&out, (uint32_t)beat->session_timeout_ms);
    writer_u8(&out, (uint8_t)(beat->has_topics | beat->has_owned << 1));
    writer_be32(&out, beat->topic_count);
    for (uint32_t i = 0; i < beat->topic_count; i++)
        away_put(&out, beat->topics[i]);
    writer_be32(&out, beat->owned_count);
    for (uint32_t i = 0; i < beat->owned_count; i++)
        away_put_partition(&out, &beat->owned[i]);
    return away_start(broker, call, node, AWAY_BEAT, beat->group, &out, answer_beat, NULL);
}

bool coordinator_forward_commit(struct broker *broker, struct group_call *call,
                                const struct group_commit *commit) {
    uint32_t node = away_node(broker, call, commit->who.group);
    if (node == 0) return false;
    struct writer out;
    struct group_away *away;
    writer_init(&out);
    away_put_offsets(&out, commit);
    if (!away_start(broker, call, node, AWAY_COMMIT, commit->who.group, &out, answer_commit, &away))
        return false;
    away->offsets = commit->offsets;
    away->offset_count = commit->offset_count;
    return true;
}

bool coordinator_forward_read(struct broker *broker, struct group_call *call,
                              const struct group_identity *who) {
    uint32_t node = away_node(broker, call, who->group);
    if (node == 0) return false;
    struct writer out;
    writer_init(&out);
    away_put_identity(&out, who);
    return away_start(broker, call, node, AWAY_READ, who->group, &out, answer_read, NULL);
}

bool coordinator_forward_delete(struct broker *broker, struct group_call *call, struct slice group) {
    uint32_t node = away_node(broker, call, group);
    if (node == 0) return false;
    struct writer out;
    writer_init(&out);
    away_put(&out, group);
    return away_start(broker, call, node, AWAY_DELETE, group, &out, answer_delete, NULL);
}

/* ---- answering ----------------------------------------------------------------------------------------- */

static void served_done(struct group_call *call) {
    served_answer(CONTAINER_OF(call, struct served, call), call->status);
}

static struct writer *begin_answer(struct group_call *call, const struct group_reply *reply) {
    struct served *served = CONTAINER_OF(call, struct served, call);
    writer_clear(&served->out);
    writer_u8(&served->out, (uint8_t)reply->status);
    return &served->out;
}

static void tell_status(struct group_call *call, const struct group_reply *reply) {
    MAYBE(begin_answer(call, reply)->size != 0);
}

static void tell_beat(struct group_call *call, const struct group_reply *reply) {
    struct writer *out = begin_answer(call, reply);
    const struct group_member *member = reply->status == STATUS_OK ? reply->member : NULL;
    writer_be32(out, member == NULL ? 0 : (uint32_t)member->epoch);
    writer_be32(out, member == NULL ? 0 : member->assigned.count);
    for (uint32_t i = 0; member != NULL && i < member->assigned.count; i++)
        away_put_partition(out, &member->assigned.list[i]);
}

static void tell_commit(struct group_call *call, const struct group_reply *reply) {
    const struct served *served = CONTAINER_OF(call, struct served, call);
    struct writer *out = begin_answer(call, reply);
    away_put_statuses(out, served);
}

static void tell_group(struct group_call *call, const struct group_reply *reply) {
    struct writer *out = begin_answer(call, reply);
    struct state_change change;
    writer_u8(out, reply->group != NULL);
    if (reply->group == NULL) return;
    state_change_init(&change);
    group_export(reply->group, &change);
    state_change_encode(&change, out);
    state_change_release(&change);
}

static void begin_call(struct served *served,
                       void (*tell)(struct group_call *call, const struct group_reply *reply)) {
    served->call.answer = tell;
    served->call.done = served_done;
}

void away_serve_beat(struct served *served, struct reader *in) {
    struct group_consumer_beat beat = {.group = away_take(in)};
    struct slice *texts[] = {&beat.member_id,   &beat.instance_id, &beat.rack_id, &beat.client_id,
                             &beat.client_host, &beat.regex,       &beat.assignor};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        *texts[i] = away_take(in);
    beat.epoch = (int32_t)reader_be32(in);
    beat.rebalance_timeout_ms = (int32_t)reader_be32(in);
    beat.session_timeout_ms = (int32_t)reader_be32(in);
    uint8_t has = reader_u8(in);
    beat.has_topics = has & 1;
    beat.has_owned = has >> 1 & 1;
    beat.topic_count = away_take_count(in, 4);
    struct slice *topics = mem_calloc((size_t)beat.topic_count + 1, sizeof *topics);
    for (uint32_t i = 0; i < beat.topic_count; i++)
        topics[i] = away_take(in);
    beat.owned_count = away_take_count(in, 20);
    struct group_partition *owned = mem_calloc((size_t)beat.owned_count + 1, sizeof *owned);
    for (uint32_t i = 0; i < beat.owned_count; i++)
        owned[i] = away_take_partition(in);
    beat.topics = topics;
    beat.owned = owned;
    bool changed;
    begin_call(served, tell_beat);
    if (reader_ok(in))
        coordinator_beat(served->cluster->broker, &served->call, &beat, &changed);
    else
        served_free(served);
    mem_free(topics);
    mem_free(owned);
}

void away_serve_commit(struct served *served, struct reader *in) {
    struct group_commit commit = {0};
    away_take_offsets(in, served, &commit);
    begin_call(served, tell_commit);
    if (reader_ok(in))
        coordinator_commit(served->cluster->broker, &served->call, &commit);
    else
        served_free(served);
}

void away_serve_read(struct served *served, struct reader *in) {
    const struct group_identity who = away_take_identity(in);
    begin_call(served, tell_group);
    if (reader_ok(in))
        coordinator_read(served->cluster->broker, &served->call, &who);
    else
        served_free(served);
}

void away_serve_delete(struct served *served, struct reader *in) {
    struct slice group = away_take(in);
    begin_call(served, tell_status);
    if (reader_ok(in))
        coordinator_delete_group(served->cluster->broker, &served->call, group);
    else
        served_free(served);
}
