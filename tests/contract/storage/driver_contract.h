// The fixture of the contract suite: each driver on the file system it is for, with one pool.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/volume_driver.h"
#include "tests/contract/storage/test_file_system.h"
#include "tests/contract/storage/tree.h"
#include "tests/support/errors.h"

namespace pgtwig::support {

struct DriverCase {
  std::string driver;
  FileSystemKind file_system;
};
inline void PrintTo(const DriverCase& driver_case, std::ostream* out) {
  *out << driver_case.driver;
}

class DriverContract : public ::testing::TestWithParam<DriverCase> {
 protected:
  void SetUp() override;

  std::filesystem::path pool() const { return file_system_->path(); }
  std::filesystem::path path_of(const storage::VolumeId& volume) const { return pool() / volume.text(); }
  bool shares_blocks() const { return driver_->capabilities().method != storage::Method::copy; }

  // A volume with the sample tree in it.
  storage::VolumeId make_sample();
  storage::VolumeId make_fork(const storage::VolumeId& source);
  // Names in the pool, the fillers of a full file system aside.
  std::vector<std::string> names_in_pool();

  std::optional<TestFileSystem> file_system_;
  std::unique_ptr<storage::VolumeDriver> driver_;
};

// Every driver; tmpfs stands for the memory driver's own.
inline const std::vector<DriverCase> every_driver = {{"btrfs", FileSystemKind::btrfs},
                                                     {"zfs", FileSystemKind::zfs},
                                                     {"reflink", FileSystemKind::xfs},
                                                     {"copy", FileSystemKind::ext4},
                                                     {"memory", FileSystemKind::tmpfs}};
inline std::string case_name(const ::testing::TestParamInfo<DriverCase>& info) {
  return info.param.driver;
}

using pgtwig::support::code_of;

std::unique_ptr<storage::VolumeDriver> open_any_driver(const std::string& driver,
                                                       const std::filesystem::path& directory);

// Runs `action` in a child process as the user nobody; what it throws comes back as text, nothing when all went well.
std::string run_as_nobody(const std::function<void()>& action);

}  // namespace pgtwig::support
