# The peers that `sentinel bench` runs beside us: bench/peers/LIBRARY_BENCHMARK.c becomes build/peers/LIBRARY_BENCHMARK
# when the library is installed, and is left out when it is not.
file(GLOB peer_sources CONFIGURE_DEPENDS bench/peers/*.c)
foreach(source ${peer_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "_.*" "" library ${name})
  find_library(PEER_${library} ${library})
  if(PEER_${library} AND NOT SENTINEL_SANITIZE)
    string(REGEX REPLACE ".*_" "" benchmark ${name})
    set(load src/cli/bench_${benchmark}_load.c) # the workload, where both sides share one
    if(NOT EXISTS ${CMAKE_SOURCE_DIR}/${load})
      set(load)
    endif()
    add_executable(peer_${name} ${source} ${load} src/io/io_measure.c)
    target_compile_definitions(peer_${name} PRIVATE _GNU_SOURCE)
    target_link_libraries(peer_${name} PRIVATE base ${PEER_${library}})
    set_target_properties(peer_${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/peers)
  endif()
endforeach()
