# Tests are found by name: tests/unit/test_*.c and tests/conformance/test_*.c are CMocka programs, one a file, linked
# with tests/lib and every layer; tests/fuzz/fuzz_*.c are fuzz targets (libFuzzer with SENTINEL_FUZZ, else a
# program that replays files, run over the corpus).
find_library(CMOCKA_LIBRARY cmocka REQUIRED)
file(GLOB test_lib_sources CONFIGURE_DEPENDS tests/lib/*.c)
if(test_lib_sources)
  add_library(testlib STATIC ${test_lib_sources})
  target_include_directories(testlib PUBLIC tests)
  target_link_libraries(testlib PUBLIC cli ${CMOCKA_LIBRARY})
else()
  add_library(testlib INTERFACE)
  target_include_directories(testlib INTERFACE tests)
  target_link_libraries(testlib INTERFACE cli ${CMOCKA_LIBRARY})
endif()
foreach(kind unit conformance fault)
  file(GLOB tests CONFIGURE_DEPENDS tests/${kind}/test_*.c)
  foreach(source ${tests})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
    target_link_libraries(${name} PRIVATE testlib)
    add_test(NAME ${kind}/${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${kind}/${name} PROPERTIES TIMEOUT 300 LABELS ${kind})
  endforeach()
endforeach()
# It makes questions fail at moments that no client can bring about, and counts others.
target_link_options(test_grpc_groups PRIVATE -Wl,--wrap=broker_ask_partition,--wrap=broker_list_offset,--wrap=coordinator_beat)

# Longer runs of the same programs, for `make soak` (ctest -C soak -L soak): more seeds than a build has time for.
foreach(name test_store_model test_raft_random test_raft_model test_cluster_txn test_cluster_cleaner test_group_storm)
  set(arguments)
  if(name STREQUAL "test_raft_model")
    set(arguments --soak)
  elseif(name STREQUAL "test_group_storm")
    set(arguments 600) # simulated seconds
  endif()
  add_test(NAME soak/${name} COMMAND ${name} ${arguments} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} CONFIGURATIONS soak)
  set_tests_properties(soak/${name} PROPERTIES TIMEOUT 36000 LABELS soak)
endforeach()

file(GLOB soaks CONFIGURE_DEPENDS tests/process/soak_*.py)
foreach(source ${soaks})
  get_filename_component(name ${source} NAME_WE)
  add_test(NAME soak/${name} COMMAND /usr/bin/python3 ${source} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} CONFIGURATIONS soak)
  set_tests_properties(soak/${name} PROPERTIES TIMEOUT 36000 LABELS soak ENVIRONMENT "SENTINEL=${CMAKE_BINARY_DIR}/sentinel")
endforeach()

file(GLOB fuzzers CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source ${fuzzers})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
  target_link_libraries(${name} PRIVATE testlib)
  if(SENTINEL_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE tests/fuzz/replay_main.c)
    string(REPLACE fuzz_ "" corpus ${name})
    add_test(NAME fuzz/${name} COMMAND ${name} tests/fuzz/corpus/${corpus} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT 300 LABELS fuzz)
  endif()
endforeach()

# tests/process/test_*.py use the built program only, as a user would; tests/tools/test_*.py test the checks themselves.
# Debian's own Python comes first: the gRPC and protobuf packages belong to it.
find_program(SYSTEM_PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
foreach(kind process tools)
  file(GLOB tests CONFIGURE_DEPENDS tests/${kind}/test_*.py)
  foreach(source ${tests})
    get_filename_component(name ${source} NAME_WE)
    add_test(NAME ${kind}/${name} COMMAND ${SYSTEM_PYTHON3} ${source} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${kind}/${name} PROPERTIES TIMEOUT 300 LABELS ${kind}
      ENVIRONMENT "SENTINEL=${CMAKE_BINARY_DIR}/sentinel;SENTINEL_BUILD=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
  endforeach()
endforeach()

# The simulator: every scenario; clusters of drawn seeds under all faults; one broker crashed at random moments and at
# every disk operation of some seeds.
if(TARGET sentinel)
  file(GLOB scenarios CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/tests/scenarios tests/scenarios/*.scn)
  foreach(scenario ${scenarios})
    get_filename_component(name ${scenario} NAME_WE)
    add_test(NAME scenario/${name} COMMAND sentinel sim --scenario tests/scenarios/${scenario}
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(scenario/${name} PROPERTIES TIMEOUT 60 LABELS scenario)
    # A broker that crashes, or is cut off at the end, leaves its memory as it is (src/sim/kafka_program.c): no leak to
    # be told of. Sweeps run each seed in a process that ends without being asked.
    file(STRINGS tests/scenarios/${scenario} brokers REGEX "^workload (kafka|groups|transactions)")
    if(brokers)
      set_tests_properties(scenario/${name} PROPERTIES ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
    endif()
  endforeach()
  add_test(NAME sim/clusters COMMAND sentinel sim --seeds 1..200 --jobs 2 --quiet)
  add_test(NAME sim/brokers COMMAND sentinel sim --workload kafka --seeds 1..12 --duration 2 --jobs 2 --quiet)
  add_test(NAME sim/groups COMMAND sentinel sim --workload groups --seeds 1..8 --duration 2 --jobs 2 --quiet)
  add_test(NAME sim/churn COMMAND sentinel sim --workload churn --seeds 1..10 --duration 2 --jobs 2 --quiet)
  add_test(NAME sim/grpc COMMAND sentinel sim --workload grpc --seeds 17..22 --duration 2 --jobs 2 --quiet)
  add_test(NAME sim/transactions COMMAND sentinel sim --workload transactions --seeds 1..6 --duration 2 --jobs 2 --quiet)
  add_test(NAME sim/seeds COMMAND sentinel sim --workload broker --seeds 1..300 --quiet)
  add_test(NAME sim/every_boundary
           COMMAND sentinel sim --workload broker --seeds 1..3 --appends 60 --crashes 1 --every-boundary --quiet)
  set_tests_properties(sim/clusters sim/brokers sim/groups sim/churn sim/grpc sim/transactions sim/seeds sim/every_boundary PROPERTIES TIMEOUT 300 LABELS sim)
endif()
