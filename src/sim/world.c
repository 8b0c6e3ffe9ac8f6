// SPDX-License-Identifier: Apache-2.0
#include "sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "raft/raft_message.h"
#include "sim/world_internal.h"

enum { STREAM_WORKLOAD = 1, STREAM_NODES = 2 };

#define EVENTS_BETWEEN_ASKING 4096U
#define CLIENTS_NODE          (SIM_NODES_MAX + 1)
#define STEPS_IN_EVENT_MAX    ((uint64_t)20000)

static const struct program_calls *const programs[] = {&raft_program,         &kafka_program, &groups_program,
                                                       &transactions_program, &churn_program, &grpc_program};

/* ---- failing ------------------------------------------------------------------------------------------ */

bool world_failed(const struct world *w) {
    return raft_checker_violation(w->checker)[0] != '\0';
}

void world_fail(struct world *w, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    raft_checker_fail(w->checker, "%.399s", text);
}

/* ---- looking ------------------------------------------------------------------------------------------ */

const struct raft *world_raft(const struct world *w, uint32_t node, uint32_t index) {
    return world_is_up(w, node) ? w->program->raft(w->nodes[node].program, index) : NULL;
}

uint32_t world_leader(const struct world *w, uint32_t index) {
    uint32_t leader = 0;
    uint64_t term = 0;
    for (uint32_t node = 1; node <= w->node_count; node++) {
        const struct raft *raft = world_raft(w, node, index);
        if (raft == NULL || !raft_is_leader(raft) || raft->term < term) continue;
        leader = node;
        term = raft->term;
    }
    return leader;
}

static uint32_t a_follower(const struct world *w) {
    uint32_t leader = world_leader(w, 0);
    for (uint32_t node = 1; node <= w->node_count; node++) {
        bool named = false;
        for (uint32_t i = 0; i < SIM_NODES_MAX; i++)
            named = named || w->names[i] == node;
        if (node != leader && !named && world_is_up(w, node)) return node;
    }
    return 0;
}

uint32_t world_resolve(const struct world *w, uint32_t node) {
    if (node == ACTION_NODE_LEADER) return world_leader(w, 0);
    if (node == ACTION_NODE_FOLLOWER) return a_follower(w);
    if (node >= ACTION_NODE_NAMES) node = w->names[node - ACTION_NODE_NAMES];
    return node <= w->node_count ? node : 0;
}

/* Somebody reads what happens. */
static bool is_read(const struct world *w) {
    return w->record != NULL || w->options->trace != NULL;
}

static void record_words(struct world *w, enum record_kind kind, uint32_t node, const char *text) {
    if (w->record == NULL) return;
    struct record_event *event = record_add(w->record, io_sim_now(w->sim), kind, node);
    record_text(w->record, event, slice_from_text(text));
}

/* For people: trace and record. */
static void note(struct world *w, enum record_kind kind, uint32_t node, const char *text) {
    io_sim_note(w->sim, node, text);
    record_words(w, kind, node, text);
}

/* The same, of what happens so often that its hash is of numbers (io_sim_mark). */
static void remark(struct world *w, enum record_kind kind, uint32_t node, const char *text) {
    io_sim_remark(w->sim, node, text);
    record_words(w, kind, node, text);
}

const struct sim_knobs *world_knobs(const struct world *w) {
    return &w->scenario->knobs;
}

const struct sim_knobs *world_node_knobs(const struct world *w, uint32_t node) {
    return &w->nodes[node].knobs;
}

uint32_t world_node_count(const struct world *w) {
    return w->node_count;
}

uint32_t world_incarnation(const struct world *w, uint32_t node) {
    return w->nodes[node].incarnation;
}

uint32_t world_starts(const struct world *w, uint32_t node) {
    return w->nodes[node].starts;
}

uint8_t world_priority(const struct world *w, uint32_t node) {
    return w->nodes[node].priority;
}

uint64_t world_node_seed(struct world *w, uint32_t node) {
    return prng_next(node <= w->node_count ? &w->nodes[node].prng : &w->workload);
}

struct io_sim *world_sim(struct world *w) {
    return w->sim;
}

void world_left(struct world *w, uint32_t node) {
    w->nodes[node].left = w->leaving = true;
}

void world_violation(struct world *w, const char *text) {
    world_fail(w, "%s", text);
}

void world_client_event(struct world *w, uint32_t node, const char *text, bool acknowledged) {
    w->acknowledged += acknowledged;
    w->steps++;
    note(w, RECORD_CLIENT, node, text);
}

struct raft_checker *world_checker(struct world *w) {
    return w->checker;
}

struct probes *world_probes(struct world *w) {
    return &w->result->probes;
}

struct shared_slice world_payload(struct world *w, size_t size) {
    size = MAX(size, sizeof(uint64_t));
    struct buffer *buffer = buffer_new(size);
    buffer->size = size;
    prng_bytes(&w->workload, buffer->data, size);
    store_be64(buffer->data, ++w->payload_counter);
    return (struct shared_slice){slice_make(buffer->data, size), buffer};
}

/* ---- nodes -------------------------------------------------------------------------------------------- */

static void probe_quorum(struct world *w) {
    uint32_t up = 0;
    for (uint32_t node = 1; node <= w->node_count; node++)
        up += world_is_up(w, node);
    PROBE_IF(&w->result->probes, quorum_lost, up <= w->node_count / 2);
    PROBE_IF(&w->result->probes, all_down, up == 0);
}

void world_crash_node(struct world *w, uint32_t node, enum io_sim_crash how) {
    struct world_node *n = &w->nodes[node];
    void *program = n->program;
    io_sim_crash_node(w->sim, node, how);
    if (program != NULL) w->program->stop(program, true);
    n->program = NULL;
    io_free(n->io);
    n->io = NULL;
    w->steps++;
    note(w, RECORD_DOWN, node, "down");
    probe_quorum(w);
}

/* A disk that fails or is damaged is a reason not to start; nothing else is. */
void world_start_node(struct world *w, uint32_t node) {
    struct world_node *n = &w->nodes[node];
    struct diagnostic why = {""};
    void *program = NULL;
    ASSERT(n->program == NULL);
    n->io = io_sim_node_io(w->sim, node);
    n->starts++;
    if (w->program->start(w, node, n->io, &program, &why) == STATUS_OK) {
        n->program = program;
        note(w, RECORD_UP, node, "up");
        w->steps++;
        return;
    }
    bool crashing = io_sim_crash_due(w->sim, node);
    PROBE_IF(&w->result->probes, crash_in_recovery, crashing);
    PROBE_IF(&w->result->probes, disk_failed, !crashing);
    if (!crashing && !n->spoiled && !n->disk_faults)
        world_fail(w, "S10 recovery: node %u does not start: %.300s", node, why.text);
    io_sim_crash_node(w->sim, node, crashing ? IO_SIM_CRASH_POWER : IO_SIM_CRASH_PROCESS);
    if (program != NULL) w->program->stop(program, true);
    io_free(n->io);
    n->io = NULL;
    note(w, RECORD_DOWN, node, why.text);
}

/* ---- time --------------------------------------------------------------------------------------------- */

static void alarm(void *ctx) {
    (void)ctx; /* it is enough that there is an event at this time */
}

static void crash_what_is_due(struct world *w) {
    for (uint32_t node = 1; node <= w->node_count; node++)
        if (io_sim_crash_due(w->sim, node)) world_crash_node(w, node, IO_SIM_CRASH_POWER);
}

static void count_events(struct world *w) {
    uint64_t events = io_sim_event_count(w->sim);
    if (events > SIM_EVENTS_MAX) world_fail(w, "L3 liveness: far too many events");
    if (w->options->give_up == NULL || events < w->asked_events + EVENTS_BETWEEN_ASKING) return;
    w->asked_events = events;
    if (w->options->give_up(w->options->ctx)) world_fail(w, "given up");
}

bool world_advance(struct world *w, uint64_t until_ns, bool (*holds)(struct world *w, void *ctx), void *ctx) {
    if (holds != NULL && holds(w, ctx)) return true;
    if (until_ns <= io_sim_now(w->sim)) return false;
    io_sim_call_at(w->sim, until_ns, alarm, w);
    uint64_t seen = w->steps;
    while (!world_failed(w) && io_sim_now(w->sim) < until_ns) {
        io_sim_step(w->sim);
        crash_what_is_due(w);
        if (w->leaving) world_stop_leaving(w);
        count_events(w);
        if (holds == NULL || w->steps == seen) continue;
        seen = w->steps;
        if (holds(w, ctx)) return true;
    }
    /* What clients read is no step of a member, and members that sleep take none. */
    return holds != NULL && !world_failed(w) && holds(w, ctx);
}

/* ---- what programs tell ------------------------------------------------------------------------------- */

void world_started(struct world *w, const struct raft *raft, const struct raft_start *start) {
    w->nodes[raft_id_node(raft->options->id)].incarnation = (uint32_t)raft->options->id;
    raft_checker_started(w->checker, raft, start);
    w->steps++;
    if (w->record == NULL) return;
    uint32_t node = raft_id_node(raft->options->id);
    struct record_event *event = record_add(w->record, io_sim_now(w->sim), RECORD_LOG, node);
    event->group = raft->group;
    event->a = 0;
    event->b = start->log_start;
    event->c = start->log_start_term;
    for (uint32_t i = 0; i < start->term_count; i++) {
        event = record_add(w->record, io_sim_now(w->sim), RECORD_LOG, node);
        event->group = raft->group;
        event->a = start->terms[i].start;
        event->b = i + 1 < start->term_count ? start->terms[i + 1].start : start->log_end;
        event->c = start->terms[i].term;
    }
}

#define STRETCH_NS (SIM_DELAYS_NS / DELAYS)

static void note_delay(struct world *w, const struct raft *raft, const struct raft_message *m) {
    if (m->kind != RAFT_APPEND && m->kind != RAFT_HEARTBEAT) return;
    uint64_t now_ns = io_sim_now(w->sim), stretch = now_ns / STRETCH_NS;
    uint64_t sent_ns = io_sim_true_time(w->sim, raft_id_node(m->from), m->append.sent_ns);
    struct world_node *n = &w->nodes[raft_id_node(raft->options->id)];
    if (n->delays[stretch % DELAYS].stretch != stretch) {
        n->delays[stretch % DELAYS].stretch = stretch;
        n->delays[stretch % DELAYS].longest_ns = 0;
    }
    uint64_t *longest = &n->delays[stretch % DELAYS].longest_ns;
    *longest = MAX(*longest, now_ns - MIN(now_ns, sent_ns));
}

uint64_t world_delay(const struct world *w, uint32_t node, uint64_t since_ns) {
    uint64_t longest = 0, last = io_sim_now(w->sim) / STRETCH_NS;
    for (uint64_t stretch = since_ns / STRETCH_NS; stretch <= last; stretch++)
        if (w->nodes[node].delays[stretch % DELAYS].stretch == stretch)
            longest = MAX(longest, w->nodes[node].delays[stretch % DELAYS].longest_ns);
    return longest;
}

void world_before(struct world *w, const struct raft *raft, const struct raft_event *event) {
    raft_checker_before(w->checker, raft, event);
    if (event->kind == RAFT_EVENT_RECEIVE) note_delay(w, raft, event->message);
    if (w->record != NULL && event->kind == RAFT_EVENT_RECEIVE)
        record_received(w->record, io_sim_now(w->sim), event->message);
}

static void record_step(struct world *w, const struct raft *raft, const struct raft_effects *effects) {
    uint64_t now_ns = io_sim_now(w->sim);
    uint32_t node = raft_id_node(raft->options->id);
    struct record_event *event;
    if (effects->role_changed) {
        event = record_add(w->record, now_ns, RECORD_ROLE, node);
        event->group = raft->group;
        event->a = raft->role;
        event->b = raft->term;
    }
    for (uint32_t i = 0; i < effects->entry_count; i++) {
        event = record_add(w->record, now_ns, RECORD_LOG, node);
        event->group = raft->group;
        event->a = effects->entries[i].base;
        event->b = effects->entries[i].end;
        event->c = effects->entries[i].term;
    }
    if (effects->install != NULL || (effects->truncate && effects->entry_count == 0)) {
        event = record_add(w->record, now_ns, RECORD_LOG, node);
        event->group = raft->group;
        event->a = effects->install != NULL ? 0 : effects->truncate_from;
        event->b = effects->install != NULL ? effects->install->end : effects->truncate_from;
        event->c = effects->install != NULL ? effects->install->term : 0;
    }
    if (effects->commit_end > effects->commit_from || effects->write != 0) {
        event = record_add(w->record, now_ns, RECORD_COMMIT, node);
        event->group = raft->group;
        event->a = raft->commit_end;
        event->b = raft_durable_end(raft);
    }
}

static void trace_step(struct world *w, const struct raft *raft, const struct raft_event *event,
                       const struct raft_effects *effects) {
    struct writer line;
    writer_init(&line);
    writer_printf(&line, "g%" PRIu64 " ", raft->group);
    if (event->kind == RAFT_EVENT_RECEIVE) raft_message_print(&line, event->message);
    if (event->kind == RAFT_EVENT_PERSISTED) writer_printf(&line, "persisted %" PRIu64, event->write);
    writer_printf(&line,
                  " => %s term=%" PRIu64 " log=[%" PRIu64 ",%" PRIu64 ") durable=%" PRIu64 " commit=%" PRIu64,
                  raft_role_name(raft->role), raft->term, raft->log.start, raft->log.end,
                  raft_durable_end(raft), raft->commit_end);
    if (effects->write != 0) writer_printf(&line, " write=%" PRIu64, effects->write);
    if (effects->truncate) writer_printf(&line, " truncate=%" PRIu64, effects->truncate_from);
    writer_u8(&line, 0);
    io_sim_remark(w->sim, raft_id_node(raft->options->id), (const char *)line.data);
    writer_release(&line);
}

/* A turn that makes steps without an end is no run that could be gone on with. */
static void count_step(struct world *w, uint32_t node) {
    if (w->steps_event != io_sim_event_count(w->sim)) w->steps_in_event = 0;
    w->steps_event = io_sim_event_count(w->sim);
    if (++w->steps_in_event < STEPS_IN_EVENT_MAX) return;
    fprintf(stderr, "L3 liveness: a turn of node %u does not end\n", node);
    ASSERT_LT(w->steps_in_event, STEPS_IN_EVENT_MAX);
}

void world_after(struct world *w, const struct raft *raft, const struct raft_event *event,
                 const struct raft_effects *effects) {
    count_step(w, raft_id_node(raft->options->id));
    raft_checker_after(w->checker, raft, event, effects);
    w->steps++;
    w->result->steps++;
    w->elections += effects->role_changed && raft_is_leader(raft);
    if (w->record != NULL) record_step(w, raft, effects);
    if (w->options->trace != NULL) trace_step(w, raft, event, effects);
}

static bool is_dropped(struct world *w, const struct raft_message *m) {
    uint32_t from = raft_id_node(m->from), to = raft_id_node(m->to);
    for (uint32_t i = 0; i < w->drop_count; i++) {
        struct drop_rule *rule = &w->drops[i];
        if (rule->kind != 0 && rule->kind != (uint64_t)m->kind) continue;
        if (rule->from != ACTION_NODE_ANY && rule->from != from) continue;
        if (rule->to != ACTION_NODE_ANY && rule->to != to) continue;
        if (--rule->left == 0) *rule = w->drops[--w->drop_count];
        PROBE(&w->result->probes, message_dropped);
        return true;
    }
    return false;
}

bool world_leaving(struct world *w, const struct raft *raft, const struct raft_message *m) {
    raft_checker_leaving(w->checker, raft, m);
    bool lost = is_dropped(w, m);
    if (w->record != NULL) record_sent(w->record, io_sim_now(w->sim), m, lost);
    return !lost;
}

void world_stopped(struct world *w, const struct raft *raft) {
    raft_checker_stopped(w->checker, raft);
    w->steps++;
}

void world_appended(struct world *w, const struct raft *raft, uint64_t base, uint64_t content,
                    enum status status, bool definite) {
    uint32_t node = raft_id_node(raft->options->id);
    w->steps++;
    if (status == STATUS_OK) {
        w->acknowledged++;
        raft_checker_acknowledged(w->checker, raft->group, base, content);
    } else {
        PROBE_IF(&w->result->probes, proposal_busy, status == STATUS_BUSY);
        PROBE_IF(&w->result->probes, proposal_refused, definite && status != STATUS_BUSY);
        w->refused += definite;
        if (definite) raft_checker_refused(w->checker, raft->group, content);
    }
    io_sim_mark(w->sim, RECORD_CLIENT, node, status == STATUS_OK ? base : (uint64_t)status << 1 | definite);
    if (!is_read(w)) return;
    char text[100];
    if (status == STATUS_OK)
        snprintf(text, sizeof text, "acknowledged %" PRIu64, base);
    else
        snprintf(text, sizeof text, "%s: %s", definite ? "refused" : "unknown", status_name(status));
    remark(w, RECORD_CLIENT, node, text);
}

/* ---- a run -------------------------------------------------------------------------------------------- */

bool world_operate(struct world *w, const struct action *action) {
    return world_is_up(w, action->node) && w->program->act(w->nodes[action->node].program, action);
}

static void log_action(struct world *w, const struct action *action) {
    struct action taken = *action;
    taken.at_ns = io_sim_now(w->sim);
    w->result->actions[action->kind]++;
    scenario_add(&w->result->log, &taken);
}

static void remark_action(struct world *w, const struct action *action, bool taken) {
    uint32_t node = action->node <= w->node_count ? action->node : 0;
    /* What was skipped has changed nothing, and is not in the log, whose run has the same hash. */
    if (taken) io_sim_mark(w->sim, (uint64_t)RECORD_ACTION << 32 | action->kind, action->node, action->a);
    if (!is_read(w)) return;
    struct writer line;
    writer_init(&line);
    if (!taken) writer_text(&line, "skipped: ");
    action_print(&line, action, &w->scenario->names);
    writer_u8(&line, 0);
    remark(w, RECORD_ACTION, node, (const char *)line.data);
    writer_release(&line);
}

static void take_action(struct world *w, const struct action *planned) {
    struct action action = *planned;
    if (action.kind == ACTION_CONVERGE) log_action(w, &action);
    bool taken;
    switch (action.kind) {
    case ACTION_WAIT:
        world_advance(w, io_sim_now(w->sim) + action.a, NULL, NULL);
        break;
    case ACTION_NAME:
        world_name(w, action.name, world_resolve(w, action.node));
        break;
    case ACTION_EXPECT:
        world_expect(w, &action);
        break;
    case ACTION_CONVERGE:
        world_converge(w, &action);
        break;
    default:
        action.at_ns = ACTION_UNTIMED;
        taken = world_act(w, &action);
        remark_action(w, taken ? &action : planned, taken);
        if (taken) log_action(w, &action);
    }
}

void world_name(struct world *w, const char *name, uint32_t node) {
    const struct action_names *names = &w->scenario->names;
    if (node == 0) {
        world_fail(w, "E expected a node to be called %s, there is none", name);
        return;
    }
    for (uint32_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i], name) == 0) w->names[i] = node;
}

static const struct program_calls *find_program(const char *name) {
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++)
        if (strcmp(programs[i]->name, name) == 0) return programs[i];
    return NULL;
}

bool world_has_workload(const char *name) {
    return find_program(name) != NULL;
}

static void world_init(struct world *w, const struct world_options *options, struct world_result *result) {
    const struct scenario *scenario = options->scenario;
    *w = (struct world){.options = options,
                        .scenario = scenario,
                        .program = find_program(scenario->workload),
                        .result = result,
                        .sim = io_sim_new(scenario->seed),
                        .record = options->record,
                        .node_count = scenario->nodes,
                        .voters = ((1U << scenario->nodes) - 1) << 1};
    ASSERT(w->program != NULL);
    if (options->trace != NULL) io_sim_set_trace(w->sim, options->trace, options->ctx);
    struct prng root, nodes;
    prng_init(&root, scenario->seed);
    w->workload = prng_split(&root, STREAM_WORKLOAD);
    nodes = prng_split(&root, STREAM_NODES);
    for (uint32_t node = 1; node <= w->node_count; node++) {
        w->nodes[node].prng = prng_split(&nodes, node);
        w->nodes[node].incarnation = 1;
        w->nodes[node].knobs = w->scenario->knobs;
        w->nodes[node].priority = RAFT_PRIORITY_MAX;
    }
    w->checker = raft_checker_new(&result->probes);
    if (w->program->open != NULL) w->clients = w->program->open(w);
}

static void world_release(struct world *w) {
    for (uint32_t node = 1; node <= w->node_count; node++)
        if (world_is_up(w, node)) world_crash_node(w, node, IO_SIM_CRASH_PROCESS);
    if (w->program->close != NULL) {
        io_sim_crash_node(w->sim, CLIENTS_NODE, IO_SIM_CRASH_PROCESS);
        w->program->close(w->clients);
    }
    raft_checker_free(w->checker);
    io_sim_free(w->sim);
}

/* What stands before all else is so from the start. */
static void set_first_priorities(struct world *w) {
    const struct scenario *scenario = w->scenario;
    for (uint32_t i = 0; i < scenario->count && scenario->actions[i].kind == ACTION_PRIORITY; i++) {
        const struct action *action = &scenario->actions[i];
        if (action->node >= 1 && action->node <= w->node_count)
            w->nodes[action->node].priority = (uint8_t)MIN(action->a, (uint64_t)RAFT_PRIORITY_MAX);
    }
}

void world_run(const struct world_options *options, struct world_result *result) {
    const struct scenario *scenario = options->scenario;
    *result = (struct world_result){.ok = false};
    scenario_init(&result->log);
    scenario_copy(&result->log, scenario);
    result->log.count = 0;
    struct world *w = mem_alloc(sizeof *w);
    world_init(w, options, result);
    set_first_priorities(w);
    for (uint32_t node = 1; node <= w->node_count; node++)
        world_start_node(w, node);
    for (uint32_t i = 0; i < scenario->count && !world_failed(w); i++) {
        const struct action *action = &scenario->actions[i];
        if (action->at_ns != ACTION_UNTIMED) world_advance(w, action->at_ns, NULL, NULL);
        if (!world_failed(w)) take_action(w, action);
    }
    result->ok = !world_failed(w);
    snprintf(result->failure, sizeof result->failure, "%s", raft_checker_violation(w->checker));
    result->failed_at_ns = result->simulated_ns = io_sim_now(w->sim);
    result->trace_hash = io_sim_trace_hash(w->sim);
    result->events = io_sim_event_count(w->sim);
    result->acknowledged = w->acknowledged;
    result->refused = w->refused;
    if (w->record != NULL) {
        struct record_event *end = record_add(w->record, io_sim_now(w->sim), RECORD_END, 0);
        record_text(w->record, end, slice_from_text(result->ok ? "every invariant held" : result->failure));
    }
    world_release(w);
    mem_free(w);
}

void world_result_release(struct world_result *result) {
    scenario_release(&result->log);
}
