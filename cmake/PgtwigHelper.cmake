# The program that PostgreSQL runs to archive its WAL, made of the few sources that it needs, and carried inside of pgtwig. Static, as it also
# runs in containers, whose C library is another one; a build with sanitizers can't be, and so archives for native instances alone.
add_executable(pgtwig_helper ${CMAKE_SOURCE_DIR}/src/helper/main.cpp)
foreach(source archive/file_transfer archive/helper archive/local_archive archive/push archive/wal_segment base/bytes base/error base/fault
               base/fs base/ids base/names base/time postgres/server_facts)
  target_sources(pgtwig_helper PRIVATE ${CMAKE_SOURCE_DIR}/src/${source}.cpp)
endforeach()
# In one unit: reading the headers takes longer than anything else.
set_target_properties(pgtwig_helper PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/helper UNITY_BUILD ON
                                               UNITY_BUILD_BATCH_SIZE 0)
target_include_directories(pgtwig_helper PRIVATE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(pgtwig_helper PRIVATE -ffunction-sections -fdata-sections)
target_link_options(pgtwig_helper PRIVATE -Wl,--gc-sections -s)
target_link_libraries(pgtwig_helper PRIVATE pgtwig_flags fmt_static)
if(NOT PGTWIG_SANITIZE)
  target_link_options(pgtwig_helper PRIVATE -static)
endif()

add_library(pgtwig_helper_program STATIC ${CMAKE_SOURCE_DIR}/src/helper/helper_program.cpp)
target_include_directories(pgtwig_helper_program PUBLIC ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(pgtwig_helper_program PRIVATE PGTWIG_HELPER_PROGRAM="$<TARGET_FILE:pgtwig_helper>")
target_link_libraries(pgtwig_helper_program PRIVATE pgtwig_flags)
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/helper/helper_program.cpp PROPERTIES OBJECT_DEPENDS ${CMAKE_BINARY_DIR}/helper/pgtwig_helper)
add_dependencies(pgtwig_helper_program pgtwig_helper)
