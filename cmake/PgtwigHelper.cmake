# The program that PostgreSQL runs (src/helper/) is archive/ and what it needs of base/, compiled once more for a static
# link: fmt's library is packaged as a shared one only, so its code comes out of the headers. All in one unit, since
# reading the headers takes longer than anything else.
set(helper_sources src/helper/helper.cpp)
foreach(part helper push file_transfer wal_segment)
  list(APPEND helper_sources src/archive/${part}.cpp)
endforeach()
foreach(part bytes error fault fs ids names time)
  list(APPEND helper_sources src/base/${part}.cpp)
endforeach()
add_executable(pgtwig_helper ${helper_sources})
target_include_directories(pgtwig_helper PRIVATE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(pgtwig_helper PRIVATE FMT_HEADER_ONLY)
target_compile_options(pgtwig_helper PRIVATE -O1 -ffunction-sections -fdata-sections)
target_link_options(pgtwig_helper PRIVATE -static -s -Wl,--gc-sections)
set_target_properties(pgtwig_helper PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0
                                               RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/helper)

# The binary carries it: main/helper_image.cpp takes its bytes in.
set(helper_file ${CMAKE_BINARY_DIR}/helper/pgtwig_helper)
set_source_files_properties(src/main/helper_image.cpp PROPERTIES COMPILE_DEFINITIONS PGTWIG_HELPER_FILE="${helper_file}"
                                                                 OBJECT_DEPENDS ${helper_file})
add_dependencies(pgtwig pgtwig_helper)
