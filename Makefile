# The commands a person types; the build itself is CMakeLists.txt.
#
#   make            build (release) into build/; the binary is build/sentinel
#   make demo       install what is missing, build, start a broker, move real data through it
#   make test       install what is missing, then everything CI runs
#   make check      the quick part of it: format, layers, tidy, unit tests
#   make compat     Kafka and gRPC clients of other makers against the built broker, as a table client x feature;
#                   what cannot be fetched is shown as not run
#   make bench      every benchmark, beside the peers that are installed
#   make fuzz       every fuzz target, FUZZ_SECONDS=60 each
#   make mutants    every planted bug of tests/mutants in turn: do the tests notice?
#   make soak       the random tests for as long as SOAK_SEEDS takes (20000)
#   make asan       the tests under AddressSanitizer and UBSan
#   make install    into PREFIX (/usr/local)

FUZZ_SECONDS ?= 60
SOAK_SEEDS ?= 20000
SOAK_SEED ?= 1000
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
CTEST = ctest --output-on-failure --no-tests=error -j $(JOBS)

.PHONY: all setup demo cluster test check compat bench fuzz mutants asan debug clang format install clean

all: build/build.ninja
	cmake --build build -j $(JOBS)

build/build.ninja:
	@tools/setup --check
	cmake --preset release

setup:
	@tools/setup

demo: setup all
	tools/demo --sentinel build/sentinel

cluster: all
	tools/cluster

test: setup
	tools/run_tests

check: all
	tools/check_layers.py build
	tools/tidy.py
	cd build && $(CTEST) -L 'unit|conformance|fuzz'

asan debug clang:
	@tools/setup --check
	cmake --preset $@
	cmake --build build/$@ -j $(JOBS)
	cd build/$@ && $(CTEST) -L 'unit|conformance|fault|fuzz|scenario|sim'

compat: all
	SENTINEL=build/sentinel /usr/bin/python3 tests/compat/test_node_clients.py
	SENTINEL=build/sentinel /usr/bin/python3 tests/compat/test_node_cluster.py
	SENTINEL=build/sentinel /usr/bin/python3 tests/compat/matrix.py

bench: setup all
	build/sentinel bench all

fuzz: setup
	cmake --preset fuzz
	cmake --build build/fuzz -j $(JOBS)
	tools/fuzz build/fuzz $(FUZZ_SECONDS)

mutants: setup
	tools/mutants

# SOAK_SEED says where to begin: another number every night looks at other seeds.
soak: all
	cd build && SENTINEL_SEED=$(SOAK_SEED) SENTINEL_SEEDS=$(SOAK_SEEDS) ctest -C soak --output-on-failure --no-tests=error -L soak

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

install: all
	cmake --install build --prefix $(PREFIX)

clean:
	rm -rf build
