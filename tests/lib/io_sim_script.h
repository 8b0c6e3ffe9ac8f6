// SPDX-License-Identifier: Apache-2.0
/* io_sim_script.h: small scripts on a simulated disk, and the outcomes a power cut leaves of them over many
 * seeds.
 *
 * A file is described by one letter a sector. Owner: the test. Loop: the test's thread. */
#ifndef SENTINEL_TESTS_LIB_IO_SIM_SCRIPT_H
#define SENTINEL_TESTS_LIB_IO_SIM_SCRIPT_H

#include "io/io_sim.h"
#include "io/io_sim_image.h"
#include "lib/test.h"

#define SCRIPT_SEEDS    400
#define SCRIPT_OUTCOMES 64
#define SECTOR          IO_SIM_SECTOR_SIZE

struct outcomes {
    char text[SCRIPT_OUTCOMES][64];
    unsigned count;
};
void outcomes_add(struct outcomes *outcomes, const char *text);
/* Exactly these, space-separated, have come up. */
void assert_outcomes(const struct outcomes *outcomes, const char *expected);

struct io_file *script_open(struct io *io, const char *path);
void script_write(struct io_file *file, char letter, unsigned first_sector, unsigned count);
void script_sync(struct io_file *file);
void script_sync_root(struct io *io);
void script_create_synced(struct io *io, const char *path, char letter, unsigned sectors);
/* One letter a sector ('0' for zeros, '?' for a mixture), "-" for no such file, "empty" for no bytes. */
const char *script_describe(struct io *io, const char *path, char *text);

/* Runs the script on a fresh disk, cuts the power, and describes one file (two: joined by '/'); over many
 * seeds. */
struct outcomes script_explore(void (*script)(struct io *io), const char *path, const char *second);
struct outcomes script_explore_how(void (*script)(struct io *io), const char *path, enum io_sim_crash how);

#endif
