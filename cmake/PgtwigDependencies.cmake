# The libraries pgtwig builds on, all of them Debian packages; scripts/install-packages names and installs them.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(SQLiteCpp REQUIRED)
find_package(PostgreSQL REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
pkg_check_modules(btrfsutil REQUIRED IMPORTED_TARGET libbtrfsutil)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
find_package(CLI11 REQUIRED)

# Without the library, which pgtwig loads itself (postgres/libpq.h).
add_library(libpq_headers INTERFACE)
target_include_directories(libpq_headers SYSTEM INTERFACE ${PostgreSQL_INCLUDE_DIRS})

add_library(pgtwig_options INTERFACE)
target_link_libraries(pgtwig_options INTERFACE pgtwig_flags spdlog::spdlog fmt::fmt Boost::headers Threads::Threads)
