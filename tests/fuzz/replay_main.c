// SPDX-License-Identifier: Apache-2.0
/* Runs a fuzz target over files and folders of inputs: the corpus is a regression test in every build. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    uint8_t *data = NULL;
    size_t size = 0, part;
    do {
        data = realloc(data, size + 65536);
        part = fread(data + size, 1, 65536, file);
        size += part;
    } while (part != 0);
    fclose(file);
    /* An exact-size copy lets AddressSanitizer see a read one byte past the end. */
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    memcpy(exact, data, size);
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

static int run_path(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(info.st_mode)) return run_file(path);
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort), run = 0;
    for (int i = 0; i < count; i++) {
        char child[4096];
        snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            int part = run_path(child);
            if (part < 0) run = -1;
            if (run >= 0) run += part;
        }
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return count < 0 ? -1 : run;
}

int main(int argc, char **argv) {
    int inputs = 0;
    for (int i = 1; i < argc; i++) {
        int part = run_path(argv[i]);
        if (part < 0) return 1;
        inputs += part;
    }
    printf("%d inputs\n", inputs);
    return inputs == 0;
}
