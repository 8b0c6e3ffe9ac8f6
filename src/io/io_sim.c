// SPDX-License-Identifier: Apache-2.0
#include "io/io_sim.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim_world.h"

#define WALL_START_MS   INT64_C(1700000000000) /* 2023-11-14 */
#define WAKE_NS_MAX     (20 * NS_PER_US)       /* from readiness to the turn that sees it */
#define JOB_START_NS    (500 * NS_PER_US)      /* at most, from job_start to run */
#define JOB_WORK_NS     (2 * NS_PER_MS)        /* at most, beside its file calls */
#define DEADLINE_NS_MAX (UINT64_C(1) << 62)

enum { STREAM_DISKS = 1, STREAM_NODES, STREAM_NETWORK };
enum { STREAM_RANDOM = 1, STREAM_SCHEDULE };

static void take_turn(struct io_sim_io *io);

/* ---- events ------------------------------------------------------------------------------------------ */

static struct io_sim_io *sim_io(struct io *io) {
    return (struct io_sim_io *)io;
}

/* What happens next: the first event of the heap, or the turn of a node. */
struct upcoming {
    uint64_t time_ns, sequence; /* 0: nothing */
    struct io_sim_io *io;       /* whose turn it is */
};

static struct upcoming look_ahead(const struct io_sim *sim) {
    struct upcoming next = {.time_ns = UINT64_MAX, .sequence = 0};
    if (sim->event_pending != 0)
        next = (struct upcoming){.time_ns = sim->events[0].time_ns, .sequence = sim->events[0].sequence};
    LIST_FOREACH(it, &sim->ios) {
        struct io_sim_io *io = CONTAINER_OF(it, struct io_sim_io, link);
        if (io->turn_sequence == 0 || io->turn_at_ns > next.time_ns || !io_sim_is_alive(io)) continue;
        if (next.sequence != 0 && io->turn_at_ns == next.time_ns && io->turn_sequence > next.sequence)
            continue;
        next = (struct upcoming){.time_ns = io->turn_at_ns, .sequence = io->turn_sequence, .io = io};
    }
    return next;
}

static void step(struct io_sim *sim, const struct upcoming *next) {
    ASSERT(!sim->stepping);
    ASSERT_LE(sim->now_ns, next->time_ns);
    sim->stepping = true;
    sim->now_ns = next->time_ns;
    sim->event_count++;
    if (next->io != NULL) {
        take_turn(next->io);
    } else {
        struct io_sim_event event = io_sim_event_pop(sim);
        event.run(sim, &event);
    }
    sim->stepping = false;
}

bool io_sim_step(struct io_sim *sim) {
    struct upcoming next = look_ahead(sim);
    if (next.sequence == 0) return false;
    step(sim, &next);
    return true;
}

bool io_sim_run_until(struct io_sim *sim, uint64_t time_ns) {
    while (sim->halted_count == 0) {
        struct upcoming next = look_ahead(sim);
        if (next.sequence == 0 || next.time_ns > time_ns) break;
        step(sim, &next);
    }
    if (sim->halted_count != 0) return false;
    sim->now_ns = MAX(sim->now_ns, time_ns);
    return true;
}

uint64_t io_sim_now(const struct io_sim *sim) {
    return sim->now_ns;
}

uint64_t io_sim_event_count(const struct io_sim *sim) {
    return sim->event_count;
}

static void call_event(struct io_sim *sim, const struct io_sim_event *event) {
    (void)sim;
    void (*call)(void *ctx) = (void (*)(void *))(uintptr_t)event->argument;
    call(event->object);
}

void io_sim_call_at(struct io_sim *sim, uint64_t time_ns, void (*call)(void *ctx), void *ctx) {
    io_sim_schedule(sim, MAX(time_ns, sim->now_ns), 0, call_event, ctx, (uint64_t)(uintptr_t)call);
}

/* ---- clocks ------------------------------------------------------------------------------------------ */

static uint64_t clock_of(const struct io_sim_node *node, uint64_t true_ns) {
    uint64_t elapsed = true_ns - node->clock_true_ns;
    int64_t drift = (int64_t)(elapsed / PPM) * node->drift_ppm +
                    (int64_t)(elapsed % PPM) * node->drift_ppm / (int64_t)PPM;
    return node->clock_ns + elapsed + (uint64_t)drift;
}

/* The first true time at which the node's clock shows deadline_ns or more. */
static uint64_t true_time_of(const struct io_sim *sim, const struct io_sim_node *node, uint64_t deadline_ns) {
    uint64_t now_ns = clock_of(node, sim->now_ns);
    if (deadline_ns <= now_ns) return sim->now_ns;
    uint64_t wait_ns = deadline_ns - now_ns;
    if (node->drift_ppm != 0) {
        uint64_t rate = (uint64_t)((int64_t)PPM + node->drift_ppm);
        wait_ns = wait_ns / rate * PPM + wait_ns % rate * PPM / rate;
    }
    uint64_t true_ns = sim->now_ns + wait_ns;
    while (clock_of(node, true_ns) < deadline_ns)
        true_ns++;
    return true_ns;
}

static void sim_wake(struct io *base);

void io_sim_set_clock(struct io_sim *sim, uint32_t number, int32_t drift_ppm, int64_t wall_offset_ms) {
    struct io_sim_node *node = io_sim_node(sim, number);
    ASSERT(drift_ppm > -(int32_t)PPM / 2 && drift_ppm < (int32_t)PPM);
    node->clock_ns = clock_of(node, sim->now_ns);
    node->clock_true_ns = sim->now_ns;
    node->drift_ppm = drift_ppm;
    node->wall_offset_ms = wall_offset_ms;
    io_sim_trace(sim, number, "clock", (uint64_t)(int64_t)drift_ppm, (uint64_t)wall_offset_ms, 0, NULL);
    if (node->io != NULL) sim_wake(&node->io->base);
}

uint64_t io_sim_true_time(const struct io_sim *sim, uint32_t number, uint64_t clock_ns) {
    const struct io_sim_node *node = sim->nodes[number];
    int64_t ahead = (int64_t)(clock_of(node, sim->now_ns) - clock_ns);
    int64_t rate = (int64_t)PPM + node->drift_ppm;
    int64_t elapsed = ahead / rate * (int64_t)PPM + ahead % rate * (int64_t)PPM / rate;
    return (uint64_t)MAX((int64_t)sim->now_ns - elapsed, (int64_t)0);
}

static uint64_t sim_clock_ns(struct io *io) {
    return clock_of(sim_io(io)->node, sim_io(io)->sim->now_ns);
}

static int64_t sim_wall_ms(struct io *io) {
    return WALL_START_MS + (int64_t)(sim_io(io)->sim->now_ns / NS_PER_MS) + sim_io(io)->node->wall_offset_ms;
}

static void sim_random(struct io *io, void *data, size_t size) {
    prng_bytes(&sim_io(io)->node->random, data, size);
}

/* ---- turns ------------------------------------------------------------------------------------------- */

bool io_sim_is_alive(const struct io_sim_io *io) {
    return !io->base.dead && !io->node->halted;
}

static void run_turn(struct io_sim_io *io);

/* A node has one turn before it at any time, often moved to sooner: it stays out of the heap. */
static void schedule_turn(struct io_sim_io *io, uint64_t at_ns) {
    at_ns = MAX(at_ns, io->free_at_ns);
    at_ns = MAX(at_ns, io->node->paused_until_ns);
    if (io->turn_sequence != 0 && io->turn_at_ns <= at_ns) return;
    ASSERT_LE(io->sim->now_ns, at_ns);
    io->turn_at_ns = at_ns;
    io->turn_sequence = ++io->sim->event_sequence;
}

static void take_turn(struct io_sim_io *io) {
    if (io->free_at_ns <= io->sim->now_ns) {
        run_turn(io);
        return;
    }
    /* Blocking calls were made since it was scheduled, as when a node starts. */
    io->turn_sequence = 0;
    schedule_turn(io, io->sim->now_ns);
}

/* Something awaits the loop of this node. */
static void sim_wake(struct io *base) {
    struct io_sim_io *io = sim_io(base);
    ASSERT(!io->in_job); /* a job starts no operation */
    if (!io_sim_is_alive(io)) return;
    schedule_turn(io, io->sim->now_ns + prng_below(&io->node->schedule, WAKE_NS_MAX));
}

static void submit(struct io_sim_io *io) {
    struct list *node;
    while (io_sim_is_alive(io) && (node = list_pop_front(&io->base.queued)) != NULL) {
        struct io_op *op = CONTAINER_OF(node, struct io_op, link);
        if (op->request.kind < IO_OP_CONNECT)
            io_sim_file_submit(io, op);
        else
            io_sim_net_submit(io, op);
    }
}

static void run_turn(struct io_sim_io *io) {
    struct io_sim *sim = io->sim;
    ASSERT(!sim->in_program);
    submit(io); /* what was started outside a turn */
    io->turn_sequence = 0;
    io_sim_trace(sim, io->node->number, "turn", io->base.stats.turns, 0, 0, NULL);
    sim->in_program = true;
    io_run_phases(&io->base);
    submit(io);
    sim->in_program = false;
    if (!io_sim_is_alive(io)) return;
    uint64_t clock_ns = sim_clock_ns(&io->base);
    uint64_t wait_ns = io_wait_ns(&io->base, clock_ns, DEADLINE_NS_MAX);
    if (wait_ns == 0)
        sim_wake(&io->base);
    else if (wait_ns < DEADLINE_NS_MAX)
        schedule_turn(io, true_time_of(sim, io->node, clock_ns + wait_ns));
}

/* The world goes on until this node has something to do, or until then. */
static void wait_for_turn(struct io_sim_io *io, uint64_t end_ns) {
    struct io_sim *sim = io->sim;
    for (;;) {
        struct upcoming next = look_ahead(sim);
        if (next.sequence == 0 || next.time_ns > end_ns) {
            /* Nothing will ever happen to a loop that would wait for ever. */
            ASSERT(end_ns != UINT64_MAX);
            sim->now_ns = end_ns;
            return;
        }
        if (next.io == io) {
            sim->now_ns = next.time_ns;
            return;
        }
        step(sim, &next);
        if (!io_sim_is_alive(io)) return;
    }
}

static void sim_turn(struct io *base, uint64_t max_wait_ns) {
    struct io_sim_io *io = sim_io(base);
    struct io_sim *sim = io->sim;
    ASSERT(!sim->stepping && !sim->in_program);
    submit(io);
    /* A loop that always has something to do takes time, too, or the rest of the world would stand still. */
    uint64_t least_ns = 1 + prng_below(&io->node->schedule, WAKE_NS_MAX);
    uint64_t wait_ns = MAX(io_wait_ns(base, sim_clock_ns(base), max_wait_ns), least_ns);
    wait_for_turn(io, wait_ns > UINT64_MAX - sim->now_ns ? UINT64_MAX : sim->now_ns + wait_ns);
    if (io_sim_is_alive(io)) run_turn(io);
}

/* ---- jobs -------------------------------------------------------------------------------------------- */

static void job_start_next(struct io_sim_io *io);

static void job_done_event(struct io_sim *sim, const struct io_sim_event *event) {
    if (io_sim_event_is_stale(sim, event)) return;
    struct io_sim_io *io = event->object;
    if (!io_sim_is_alive(io)) return;
    list_push_back(&io->base.finished_jobs, &io->job->link);
    io->job = NULL;
    io_sim_trace(sim, io->node->number, "job done", 0, 0, 0, NULL);
    sim_wake(&io->base);
    job_start_next(io);
}

static void job_event(struct io_sim *sim, const struct io_sim_event *event) {
    if (io_sim_event_is_stale(sim, event)) return;
    struct io_sim_io *io = event->object;
    struct io_sim_node *node = io->node;
    if (!io_sim_is_alive(io)) return;
    if (node->paused_until_ns > sim->now_ns) {
        io_sim_schedule(sim, node->paused_until_ns, node->number, job_event, io, 0);
        return;
    }
    io_sim_trace(sim, node->number, "job", 0, 0, 0, NULL);
    io->in_job = sim->in_program = true;
    io->job_busy_ns = 0;
    io->job->run(io->job);
    io->in_job = sim->in_program = false;
    uint64_t took_ns = io->job_busy_ns + prng_below(&node->schedule, JOB_WORK_NS);
    io_sim_schedule(sim, sim->now_ns + took_ns, node->number, job_done_event, io, 0);
    io->busy_until_ns = MAX(io->busy_until_ns, sim->now_ns + took_ns);
}

static void job_start_next(struct io_sim_io *io) {
    if (io->job != NULL || list_empty(&io->jobs)) return;
    io->job = CONTAINER_OF(list_pop_front(&io->jobs), struct io_job, link);
    uint64_t delay_ns = prng_below(&io->node->schedule, JOB_START_NS);
    io_sim_schedule(io->sim, io->sim->now_ns + delay_ns, io->node->number, job_event, io, 0);
}

static void sim_job_start(struct io *base, struct io_job *job) {
    struct io_sim_io *io = sim_io(base);
    ASSERT(!io->in_job);
    if (base->dead) return;
    list_push_back(&io->jobs, &job->link);
    if (io_sim_is_alive(io)) job_start_next(io);
}

/* ---- signals ----------------------------------------------------------------------------------------- */

static void signal_done(struct io_op *op) {
    struct io_sim_io *io = CONTAINER_OF(op, struct io_sim_io, signal_op);
    io->signal_op_begun = false;
    for (unsigned i = 0; i < io->signal_count; i++) {
        if (!io->signals[i].pending) continue;
        io->signals[i].pending = false;
        io->signals[i].handler(io->signals[i].ctx, io->signals[i].number);
    }
}

static void sim_on_signal(struct io *base, int signal_number, void (*handler)(void *ctx, int signal_number),
                          void *ctx) {
    struct io_sim_io *io = sim_io(base);
    unsigned i = 0;
    while (i < io->signal_count && io->signals[i].number != signal_number)
        i++;
    ASSERT_LT(i, (unsigned)IO_SIM_SIGNALS_MAX);
    if (i == io->signal_count) io->signal_count++;
    io->signals[i].number = signal_number;
    io->signals[i].pending = false;
    io->signals[i].handler = handler;
    io->signals[i].ctx = ctx;
}

void io_sim_signal(struct io_sim *sim, uint32_t number, int signal_number) {
    struct io_sim_io *io = io_sim_node(sim, number)->io;
    ASSERT(!sim->in_program);
    if (io == NULL || !io_sim_is_alive(io)) return;
    io_sim_trace(sim, number, "signal", (uint64_t)signal_number, 0, 0, NULL);
    for (unsigned i = 0; i < io->signal_count; i++)
        if (io->signals[i].number == signal_number) io->signals[i].pending = true;
    if (io->signal_op_begun) return;
    io->signal_op_begun = true;
    io_op_begin(&io->base, &io->signal_op, IO_OP_INTERNAL, NULL);
    io_op_complete(&io->signal_op, STATUS_OK, 0);
}

/* ---- nodes ------------------------------------------------------------------------------------------- */

static void sim_release(struct io *base) {
    struct io_sim_io *io = sim_io(base);
    if (base->dead) {
        io_sim_file_release(io);
        io_sim_net_release(io);
        io_timer_heap_release(&base->timers);
    } else {
        ASSERT(!io->sim->in_program);
        if (io->signal_op_begun) io_op_forget(&io->signal_op);
        io_release(base);
        io_sim_trace(io->sim, io->node->number, "stopped", 0, 0, 0, NULL);
        if (io->node->halted) io->sim->halted_count--;
        io->node->halted = false;
        io->node->io = NULL;
        io->node->incarnation++;
    }
    list_remove(&io->link);
    mem_free(io);
}

static const struct io_backend sim_backend = {
    .name = "sim",
    .release = sim_release,
    .turn = sim_turn,
    .wake = sim_wake,
    .clock_ns = sim_clock_ns,
    .wall_ms = sim_wall_ms,
    .random = sim_random,
    .job_start = sim_job_start,
    .on_signal = sim_on_signal,
    .files = &io_sim_file_calls,
    .net = &io_sim_net_calls,
};

struct io_sim_node *io_sim_node(struct io_sim *sim, uint32_t number) {
    ASSERT_LT(number, (uint32_t)IO_SIM_NODES_MAX);
    if (sim->nodes[number] != NULL) return sim->nodes[number];
    struct io_sim_node *node = mem_calloc(1, sizeof *node);
    struct prng disks = prng_split(&sim->root, STREAM_DISKS), nodes = prng_split(&sim->root, STREAM_NODES);
    struct prng own = prng_split(&nodes, number);
    node->number = number;
    node->powered = true;
    node->random = prng_split(&own, STREAM_RANDOM);
    node->schedule = prng_split(&own, STREAM_SCHEDULE);
    /* Machines booted at different times. */
    node->clock_ns = prng_range(&node->schedule, NS_PER_S, 1000 * NS_PER_S);
    node->clock_true_ns = sim->now_ns;
    io_sim_disk_init(&node->disk, &sim->pool, &disks, number);
    sim->nodes[number] = node;
    return node;
}

static struct io_sim_io *start_node(struct io_sim *sim, struct io_sim_node *node) {
    struct io_sim_io *io = mem_calloc(1, sizeof *io);
    io->sim = sim;
    io->node = node;
    list_init(&io->files);
    list_init(&io->sockets);
    list_init(&io->listeners);
    list_init(&io->disk_ops);
    list_init(&io->jobs);
    io->signal_op.done = signal_done;
    list_push_back(&sim->ios, &io->link);
    node->incarnation++;
    node->powered = true;
    node->io = io;
    io_init(&io->base, &sim_backend, NULL);
    io_sim_trace(sim, node->number, "started", node->incarnation, 0, 0, NULL);
    return io;
}

struct io *io_sim_node_io(struct io_sim *sim, uint32_t number) {
    struct io_sim_node *node = io_sim_node(sim, number);
    if (node->io == NULL) {
        ASSERT(!sim->in_program);
        start_node(sim, node);
    }
    return &node->io->base;
}

bool io_sim_node_is_up(const struct io_sim *sim, uint32_t number) {
    return sim->nodes[number] != NULL && sim->nodes[number]->io != NULL;
}

bool io_sim_node_has_stopped(const struct io_sim *sim, uint32_t number) {
    return io_sim_node_is_up(sim, number) && sim->nodes[number]->io->base.stopping;
}

static void unlink_all(struct list *list) {
    while (list_pop_front(list) != NULL)
        continue;
}

/* From here on the owners of operations, timers and jobs may free them in any order: nothing of ours may
 * point at them any more. */
static void abandon(struct io_sim_io *io, enum io_sim_crash how) {
    struct io_timer *timer;
    io_sim_file_abandon(io, how);
    io_sim_net_abandon(io, how != IO_SIM_CRASH_PROCESS);
    unlink_all(&io->base.queued);
    unlink_all(&io->base.completed);
    unlink_all(&io->base.finished_jobs);
    unlink_all(&io->base.deferred);
    unlink_all(&io->base.deferred_last);
    unlink_all(&io->jobs);
    while ((timer = io_timer_heap_first(&io->base.timers)) != NULL)
        io_timer_heap_remove(&io->base.timers, timer);
    io->base.dead = true;
}

void io_sim_crash_node(struct io_sim *sim, uint32_t number, enum io_sim_crash how) {
    struct io_sim_node *node = io_sim_node(sim, number);
    ASSERT(!sim->in_program);
    io_sim_trace(sim, number, "crash", how, node->io != NULL, 0, NULL);
    if (node->io != NULL) abandon(node->io, how);
    if (node->halted) sim->halted_count--;
    node->halted = false;
    node->disk.stop_in = 0;
    node->io = NULL;
    node->incarnation++;
    node->paused_until_ns = 0;
    node->powered = how == IO_SIM_CRASH_PROCESS;
    io_sim_disk_crash(&node->disk, how);
}

uint64_t io_sim_busy_until(const struct io_sim *sim, uint32_t number) {
    const struct io_sim_node *node = sim->nodes[number];
    if (node == NULL || node->io == NULL) return sim->now_ns;
    return MAX(sim->now_ns, MAX(node->io->free_at_ns, node->io->busy_until_ns));
}

void io_sim_pause_node(struct io_sim *sim, uint32_t number, uint64_t until_ns) {
    struct io_sim_node *node = io_sim_node(sim, number);
    io_sim_trace(sim, number, "pause", until_ns, 0, 0, NULL);
    node->paused_until_ns = until_ns;
    /* The turn that was scheduled comes too early now. */
    if (node->io == NULL || node->io->turn_sequence == 0) return;
    node->io->turn_sequence = 0;
    schedule_turn(node->io, node->io->turn_at_ns);
}

/* ---- disks ------------------------------------------------------------------------------------------- */

uint64_t io_sim_disk_op_count(const struct io_sim *sim, uint32_t number) {
    return sim->nodes[number] == NULL ? 0 : sim->nodes[number]->disk.op_count;
}

void io_sim_crash_at_disk_op_of(struct io_sim *sim, uint32_t number, enum io_sim_disk_op kind, uint64_t n,
                                enum io_sim_stop stop) {
    struct io_sim_disk *disk = &io_sim_node(sim, number)->disk;
    disk->stop_in = n;
    disk->stop_kind = kind;
    disk->stop = stop;
}

void io_sim_crash_at_disk_op(struct io_sim *sim, uint32_t number, uint64_t n, enum io_sim_stop stop) {
    io_sim_crash_at_disk_op_of(sim, number, IO_SIM_DISK_ANY, n, stop);
}

bool io_sim_crash_due(const struct io_sim *sim, uint32_t number) {
    return sim->nodes[number] != NULL && sim->nodes[number]->halted;
}

struct io_sim_disk_faults *io_sim_disk_faults(struct io_sim *sim, uint32_t number) {
    return &io_sim_node(sim, number)->disk.faults;
}

void io_sim_set_read_now(struct io_sim *sim, uint32_t number, uint32_t ppm) {
    io_sim_node(sim, number)->disk.read_now_ppm = ppm;
}

static bool damage(struct io_sim *sim, uint32_t number, const char *path, uint64_t offset,
                   uint8_t flip_mask) {
    struct io_sim_place place;
    int error = io_sim_disk_find(&io_sim_node(sim, number)->disk, path, &place);
    if (error != 0 || place.inode == NULL || place.inode->is_dir || offset >= place.inode->seen.size)
        return false;
    io_sim_trace(sim, number, "damage", place.inode->number, offset, flip_mask, path);
    io_sim_inode_damage(place.inode, offset, flip_mask);
    return true;
}

bool io_sim_flip_bit(struct io_sim *sim, uint32_t number, const char *path, uint64_t offset, unsigned bit) {
    return damage(sim, number, path, offset, (uint8_t)(1U << bit % 8));
}

bool io_sim_break_sector(struct io_sim *sim, uint32_t number, const char *path, uint64_t offset) {
    return damage(sim, number, path, offset, 0);
}

bool io_sim_rot(struct io_sim *sim, uint32_t number, uint64_t choice) {
    uint64_t inode, offset;
    if (!io_sim_disk_rot(&io_sim_node(sim, number)->disk, choice, &inode, &offset)) return false;
    io_sim_trace(sim, number, "rot", inode, offset, 0, NULL);
    return true;
}

void io_sim_wipe_disk(struct io_sim *sim, uint32_t number) {
    struct io_sim_node *node = io_sim_node(sim, number);
    ASSERT(node->io == NULL);
    io_sim_trace(sim, number, "wipe", 0, 0, 0, NULL);
    io_sim_disk_wipe(&node->disk);
}

void io_sim_clone_disk(struct io_sim *sim, uint32_t from, uint32_t to, enum io_sim_crash how) {
    struct io_sim_node *target = io_sim_node(sim, to);
    ASSERT(target->io == NULL && from != to);
    io_sim_disk_clone(&target->disk, &io_sim_node(sim, from)->disk, how);
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct io_sim *io_sim_new(uint64_t seed) {
    struct io_sim *sim = mem_calloc(1, sizeof *sim);
    prng_init(&sim->root, seed);
    list_init(&sim->ios);
    list_init(&sim->connections);
    sim->net_random = prng_split(&sim->root, STREAM_NETWORK);
    io_sim_net_init(sim);
    return sim;
}

void io_sim_free(struct io_sim *sim) {
    if (sim == NULL) return;
    ASSERT(!sim->stepping && !sim->in_program);
    sim->trace = NULL;
    LIST_FOREACH(it, &sim->ios) {
        struct io_sim_io *io = CONTAINER_OF(it, struct io_sim_io, link);
        if (!io->base.dead) abandon(io, IO_SIM_CRASH_POWER_BARE);
        sim_release(&io->base);
    }
    io_sim_net_free(sim);
    for (uint32_t i = 0; i < IO_SIM_NODES_MAX; i++) {
        if (sim->nodes[i] == NULL) continue;
        io_sim_disk_release(&sim->nodes[i]->disk);
        mem_free(sim->nodes[i]);
    }
    io_sim_pool_release(&sim->pool);
    mem_free(sim->events);
    mem_free(sim);
}
