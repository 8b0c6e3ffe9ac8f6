# The page of `sentinel sim --report`, as an array (src/sim/report.h).
add_custom_command(
  OUTPUT ${CMAKE_BINARY_DIR}/report_page.c
  COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_SOURCE_DIR}/src/sim/report_page.html
          -DOUTPUT=${CMAKE_BINARY_DIR}/report_page.c -DSYMBOL=report_page -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${CMAKE_SOURCE_DIR}/src/sim/report_page.html ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  VERBATIM)
target_sources(sim PRIVATE ${CMAKE_BINARY_DIR}/report_page.c)
