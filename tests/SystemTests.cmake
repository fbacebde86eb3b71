# Tests of the real binary: scenario files, and Python tests whose names are sentences. `ctest -L scenario`, `-L crash`, ...
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# Debian's packages of drivers are for its own Python, which need not be the first on PATH.
find_program(SYSTEM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)

function(pgtwig_system_test name label timeout)
  set(interpreter Python3::Interpreter)
  if(label STREQUAL compat AND SYSTEM_PYTHON)
    set(interpreter ${SYSTEM_PYTHON})
  endif()
  add_test(NAME ${name} COMMAND ${interpreter} ${ARGN})
  # Exit 77: this machine can't give what the test needs; it says what. The tests stop themselves, and tidy up, before ctest would.
  set_tests_properties(
    ${name}
    PROPERTIES LABELS ${label}
               TIMEOUT ${timeout}
               SKIP_RETURN_CODE 77
               ENVIRONMENT "PGTWIG_BINARY=$<TARGET_FILE:pgtwig>;PYTHONDONTWRITEBYTECODE=1")
endfunction()

# One test for each scenario file and each file system that it names.
file(GLOB scenarios CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/scenario/*.scenario)
foreach(scenario IN LISTS scenarios)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${scenario})
  get_filename_component(name ${scenario} NAME_WE)
  file(STRINGS ${scenario} file_systems REGEX "^fs:" LIMIT_COUNT 1)
  string(REGEX REPLACE "^fs: *" "" file_systems "${file_systems}")
  separate_arguments(file_systems)
  if(NOT file_systems)
    set(file_systems btrfs)
  endif()
  foreach(file_system IN LISTS file_systems)
    pgtwig_system_test(scenario.${name}.${file_system} scenario 330 ${CMAKE_CURRENT_SOURCE_DIR}/scenario/run.py ${scenario}
                       --fs ${file_system})
  endforeach()
endforeach()

# And one for each container runtime, on Btrfs, unless it names others.
foreach(scenario IN LISTS scenarios)
  get_filename_component(name ${scenario} NAME_WE)
  file(STRINGS ${scenario} runtimes REGEX "^runtime:" LIMIT_COUNT 1)
  string(REGEX REPLACE "^runtime: *" "" runtimes "${runtimes}")
  separate_arguments(runtimes)
  if(NOT runtimes)
    set(runtimes docker podman)
  endif()
  list(REMOVE_ITEM runtimes native)
  foreach(runtime IN LISTS runtimes)
    pgtwig_system_test(scenario.${name}.${runtime} scenario 330 ${CMAKE_CURRENT_SOURCE_DIR}/scenario/run.py ${scenario} --fs btrfs
                       --runtime ${runtime})
  endforeach()
endforeach()

# One test for each `def test_...` of tests/<kind>/test_*.py.
foreach(kind crash race system compat)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${kind}/test_*.py)
  foreach(file IN LISTS files)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(module ${file} NAME_WE)
    string(REGEX REPLACE "^test_" "" module ${module})
    file(STRINGS ${file} methods REGEX "^    def test_")
    foreach(method IN LISTS methods)
      string(REGEX REPLACE "^    def test_([a-z0-9_]+).*" "\\1" method ${method})
      pgtwig_system_test(${kind}.${module}.${method} ${kind} 330 ${CMAKE_CURRENT_SOURCE_DIR}/harness/run_test.py ${file}
                         test_${method})
    endforeach()
  endforeach()
endforeach()

# It takes all of a machine, and beside it others would only wait.
set_tests_properties(system.endpoint.two_hundred_sleeping_branches_wake_at_once_and_none_twice PROPERTIES RUN_SERIAL TRUE)
