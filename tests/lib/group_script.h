// SPDX-License-Identifier: Apache-2.0
/* group_script.h: the group machine driven by written commands, and what it did as text.
 *
 * Clients have names; each remembers its member id, generation and what it has. Keys that the machine logs
 * are kept in a model of the store, from which `crash` loads another machine.
 *
 *   limits KEY=V...          delay= session_min= session_max= retention= members= heartbeat=
 *   topic NAME PARTITIONS    there is such a topic from now on (0: no more)
 *   advance MS               the clock moves; the machine's deadlines come as they fall
 *   join C G [instance=I] [protocols=range:a,rr:a] [session=MS] [rebalance=MS] [ask] [skip] [type=T] [id=M]
 *   sync C [C=ASSIGNMENT]... [generation=N]
 *   beat C [generation=N], leave C, gone C (its connection: what it waits for is forgotten)
 *   commit C|G T/P=OFFSET... [generation=N]   fetch G T/P...   forget G T/P   delete G   dropped TOPIC
 *   hb C [G] [topics=a,b] [owns=T/P,...|all] [epoch=N] [assignor=A] [instance=I] [rebalance=MS]
 *                            a consumer member's heartbeat; without owns= nothing is said of it
 *   pending C PRODUCER T/P=OFFSET...   end G PRODUCER commit|abort
 *   state G                  looking
 *   crash                    everything not logged is gone
 *
 * Output: who was answered what, and `logs` with the keys that were put (+) and removed (-). After every step
 * the machine checks itself. */
#ifndef SENTINEL_TESTS_LIB_GROUP_SCRIPT_H
#define SENTINEL_TESTS_LIB_GROUP_SCRIPT_H

#include "lib/text_test.h"
#include "machine/group.h"

#define GROUP_SCRIPT_CLIENTS_MAX 40
#define GROUP_SCRIPT_TOPICS_MAX  16
#define GROUP_SCRIPT_KEYS_MAX    4096

struct group_script_client {
    char name[32], group[64], member_id[300], instance_id[64];
    int32_t generation;
    bool is_consumer;
    struct group_partitions owned;
};
struct group_script_store {
    struct {
        struct slice key, value;   /* on the heap */
    } keys[GROUP_SCRIPT_KEYS_MAX]; /* ascending */
    uint32_t count;
};
struct group_script {
    struct group_machine machine;
    struct group_step step;
    struct group_limits limits;
    int64_t now_ms;
    struct group_script_client clients[GROUP_SCRIPT_CLIENTS_MAX];
    uint32_t client_count;
    struct group_topic topics[GROUP_SCRIPT_TOPICS_MAX];
    char topic_names[GROUP_SCRIPT_TOPICS_MAX][32];
    uint32_t topic_count;
    uint64_t seed;
    struct group_script_store store;
    struct writer *out;
};
void group_script_init(struct group_script *script);
void group_script_release(struct group_script *script);
void group_script_run(struct group_script *script, const char *command, struct writer *out);

/* The model of the store, for other tests: a change applied, and a machine loaded from it. */
void group_script_store_apply(struct group_script_store *store, const struct state_change *change);
void group_script_store_load(const struct group_script_store *store, struct group_machine *machine);
void group_script_store_release(struct group_script_store *store);

#endif
