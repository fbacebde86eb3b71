// What many tests would make again, and all the same: made by the first that needs it, and copied.
#pragma once

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "tests/support/places.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig::support {

inline void copy_tree(const std::filesystem::path& from, const std::filesystem::path& to) {
  // cp asks for its buffer anew for each file: malloc is to keep it, as mapping and unmapping it is most of the work.
  run_command_checked(
      Command{.argv = {"cp", "--archive", "--reflink=auto", "--no-target-directory", from, to},
              .environment = {{"MALLOC_MMAP_THRESHOLD_", "16777216"}, {"MALLOC_TRIM_THRESHOLD_", "16777216"}}},
      "cp", ErrorCode::internal);
}

// What `make` makes at the path it is given, kept under `name` for all processes of this program until it is built
// anew.
inline std::filesystem::path made_once(const std::string& name,
                                       const std::function<void(const std::filesystem::path&)>& make) {
  struct stat program{};
  if (::stat("/proc/self/exe", &program) != 0) throw system_error(errno, "cannot look at this program");
  // Whose the files are matters to PostgreSQL, and both root and an ordinary user may test in one build.
  const auto folder =
      build_directory() / ("test-clusters-" + std::to_string(::geteuid())) / program_invocation_short_name;
  const auto build = folder / (std::to_string(program.st_mtim.tv_sec) + "." + std::to_string(program.st_mtim.tv_nsec));
  std::filesystem::create_directories(folder);
  const FileLock lock = FileLock::acquire(folder / "lock");
  if (std::filesystem::exists(build / name)) return build / name;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_directory() && entry.path() != build) remove_tree(entry.path());
  }
  std::filesystem::create_directories(build);
  const auto making = build / "making";
  if (std::filesystem::exists(making)) remove_tree(making);  // of a test that was killed
  const TemporaryDirectory temporary;                        // the servers' user may not reach the build
  make(temporary / name);
  copy_tree(temporary / name, making);
  std::filesystem::rename(making, build / name);
  return build / name;
}

}  // namespace pgtwig::support
