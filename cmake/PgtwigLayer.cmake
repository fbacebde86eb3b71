# pgtwig_layer(<name> [DEPENDS <layer>...] [LIBRARIES <target>...])
#
# Makes the static library pgtwig_<name> of every source file in src/<name>. Its headers are offered to its dependents
# through a folder of their own that holds one link, so `#include "engine/branch.h"` compiles only in a layer
# that was given engine.
function(pgtwig_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 layer "" "" "DEPENDS;LIBRARIES")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  set(include_dir ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${include_dir})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/${name} ${include_dir}/${name} SYMBOLIC)

  # A layer that is headers alone is offered all the same.
  set(offer PUBLIC)
  if(sources)
    add_library(pgtwig_${name} STATIC ${sources})
  else()
    add_library(pgtwig_${name} INTERFACE)
    set(offer INTERFACE)
  endif()
  target_include_directories(pgtwig_${name} ${offer} ${include_dir})
  list(TRANSFORM layer_DEPENDS PREPEND pgtwig_)
  target_link_libraries(pgtwig_${name} ${offer} ${layer_DEPENDS} ${layer_LIBRARIES} pgtwig_options)
endfunction()
