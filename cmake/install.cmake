# What `cmake --install` puts in place: the program, the client's header, one static library with everything the client
# needs of ours, and the pkg-config file that names the libraries it needs of others.
include(GNUInstallDirs)

set(client_objects)
foreach(layer base io proto wire client)
  list(APPEND client_objects $<TARGET_FILE:${layer}>)
endforeach()
string(REPLACE ";" "\naddlib " client_script "${client_objects}")
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/libsentinel.mri
     CONTENT "create ${CMAKE_BINARY_DIR}/libsentinel.a\naddlib ${client_script}\nsave\nend\n")
add_custom_command(
  OUTPUT ${CMAKE_BINARY_DIR}/libsentinel.a
  COMMAND ${CMAKE_AR} -M < ${CMAKE_BINARY_DIR}/libsentinel.mri
  DEPENDS base io proto wire client ${CMAKE_BINARY_DIR}/libsentinel.mri
  VERBATIM)
add_custom_target(libsentinel ALL DEPENDS ${CMAKE_BINARY_DIR}/libsentinel.a)

configure_file(cmake/sentinel.pc.in ${CMAKE_BINARY_DIR}/sentinel.pc @ONLY)
install(TARGETS sentinel RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES include/sentinel/client.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sentinel)
install(FILES ${CMAKE_BINARY_DIR}/libsentinel.a DESTINATION lib)
install(FILES ${CMAKE_BINARY_DIR}/sentinel.pc DESTINATION lib/pkgconfig)
