# The libraries pgtwig builds on, all of them Debian packages; scripts/install-packages names and installs them.
# The program carries what it can, as each library that it loads costs every command time, and takes from the system what
# has to be kept secure or may not be carried: the C library, OpenSSL, libpq, libbtrfsutil (docs/decisions/0020).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

set(Boost_USE_STATIC_LIBS ON)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_library(sqlite3_archive NAMES libsqlite3.a sqlite3 REQUIRED)
set(SQLite3_LIBRARY ${sqlite3_archive})  # what SQLiteCpp's dependency would look for itself
find_package(SQLiteCpp REQUIRED)
pkg_check_modules(btrfsutil REQUIRED IMPORTED_TARGET libbtrfsutil)
find_library(utf8proc_LIBRARY NAMES libutf8proc.a utf8proc REQUIRED)
find_path(utf8proc_INCLUDE_DIR utf8proc.h REQUIRED)
find_path(spdlog_INCLUDE_DIR spdlog/spdlog.h REQUIRED)
find_path(tomlplusplus_INCLUDE_DIR toml++/toml.h REQUIRED)
find_package(fmt REQUIRED)
find_package(PostgreSQL REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(CLI11 REQUIRED)

add_library(utf8proc INTERFACE)
target_link_libraries(utf8proc INTERFACE ${utf8proc_LIBRARY})
target_include_directories(utf8proc SYSTEM INTERFACE ${utf8proc_INCLUDE_DIR})

# Headers alone, as one file makes use of each: base/log.cpp and base/config.cpp.
add_library(log_and_toml_headers INTERFACE)
target_include_directories(log_and_toml_headers SYSTEM INTERFACE ${spdlog_INCLUDE_DIR} ${tomlplusplus_INCLUDE_DIR})
target_compile_definitions(log_and_toml_headers INTERFACE SPDLOG_FMT_EXTERNAL)

# Debian has fmt as a shared library and as headers alone, which would be compiled again in every file. So it is compiled here, once.
add_library(fmt_static STATIC ${CMAKE_SOURCE_DIR}/cmake/fmt.cpp)
target_include_directories(fmt_static SYSTEM PUBLIC $<TARGET_PROPERTY:fmt::fmt,INTERFACE_INCLUDE_DIRECTORIES>)

# Without the library, which pgtwig loads itself (postgres/libpq.h).
add_library(libpq_headers INTERFACE)
target_include_directories(libpq_headers SYSTEM INTERFACE ${PostgreSQL_INCLUDE_DIRS})

add_library(pgtwig_options INTERFACE)
target_link_libraries(pgtwig_options INTERFACE pgtwig_flags fmt_static Boost::headers Threads::Threads)
