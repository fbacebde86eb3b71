# Compiler settings that every target shares, and the switches that the presets set.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

option(PGTWIG_TESTS "Build the tests" ON)
option(PGTWIG_BENCH "Build the benchmark floors" ON)
option(PGTWIG_FUZZ "Build the fuzz targets (needs clang)" OFF)
set(PGTWIG_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=: address,undefined or thread")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# What every target is compiled with; pgtwig_options adds the libraries that every layer sees.
add_library(pgtwig_flags INTERFACE)
target_compile_options(pgtwig_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror
                                                -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # The optimiser of GCC 12 sees overlaps in std::string's operator+ that are not there (its bug 105651).
  target_compile_options(pgtwig_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:-Wno-restrict>)
endif()
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC takes the source files that a unity build includes for headers.
  target_compile_options(pgtwig_flags INTERFACE -Wno-subobject-linkage)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC 12 takes what is stored before `try { value = call(); }` for dead even when the call throws, so that after the catch the variable has
  # an older value or none (tests/unit/base/optimiser_test.cpp).
  target_compile_options(pgtwig_flags INTERFACE -fno-tree-dse)
  # The optimiser of every GCC sees reads of what an empty std::optional holds.
  target_compile_options(pgtwig_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:-Wno-maybe-uninitialized>)
endif()
# _GNU_SOURCE comes with g++; these two keep heavy headers quick and deprecated calls out.
target_compile_definitions(pgtwig_flags INTERFACE BOOST_ASIO_NO_DEPRECATED PGTWIG_VERSION="${PROJECT_VERSION}")
find_program(MOLD mold)
if(MOLD)
  target_link_options(pgtwig_flags INTERFACE -fuse-ld=mold)
endif()
if(PGTWIG_SANITIZE)
  target_compile_options(pgtwig_flags INTERFACE -fsanitize=${PGTWIG_SANITIZE} -fno-omit-frame-pointer
                                                  -fno-sanitize-recover=all)
  target_link_options(pgtwig_flags INTERFACE -fsanitize=${PGTWIG_SANITIZE})
endif()
