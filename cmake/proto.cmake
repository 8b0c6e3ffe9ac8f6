# proto: C code for proto/**/*.proto by protoc-c, and the descriptor set that server reflection serves, as an array
# (src/wire/proto_descriptors.h).
find_program(PROTOC_C protoc-c REQUIRED)
find_program(PROTOC protoc REQUIRED)
file(GLOB_RECURSE proto_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/proto ${CMAKE_SOURCE_DIR}/proto/*.proto)
set(proto_out ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${proto_out})
set(proto_sources)
foreach(file ${proto_files})
  string(REGEX REPLACE "\\.proto$" "" stem ${file})
  add_custom_command(
    OUTPUT ${proto_out}/${stem}.pb-c.c ${proto_out}/${stem}.pb-c.h
    COMMAND ${PROTOC_C} -I ${CMAKE_SOURCE_DIR}/proto --c_out=${proto_out} ${file}
    DEPENDS ${CMAKE_SOURCE_DIR}/proto/${file}
    VERBATIM)
  list(APPEND proto_sources ${proto_out}/${stem}.pb-c.c)
endforeach()
if(proto_sources)
  list(TRANSFORM proto_files PREPEND ${CMAKE_SOURCE_DIR}/proto/ OUTPUT_VARIABLE proto_paths)
  add_custom_command(
    OUTPUT ${proto_out}/descriptors.pb
    COMMAND ${PROTOC} -I ${CMAKE_SOURCE_DIR}/proto --include_imports --descriptor_set_out=${proto_out}/descriptors.pb
            ${proto_files}
    DEPENDS ${proto_paths}
    VERBATIM)
  add_custom_command(
    OUTPUT ${proto_out}/descriptors.c
    COMMAND ${CMAKE_COMMAND} -DINPUT=${proto_out}/descriptors.pb -DOUTPUT=${proto_out}/descriptors.c
            -DSYMBOL=proto_descriptors -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${proto_out}/descriptors.pb ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    VERBATIM)
  add_library(proto STATIC ${proto_sources} ${proto_out}/descriptors.c)
  target_compile_options(proto PRIVATE -w)
  target_include_directories(proto SYSTEM PUBLIC ${proto_out})
  target_link_libraries(proto PUBLIC PkgConfig::PROTOBUF_C)
else()
  add_library(proto INTERFACE)
endif()
