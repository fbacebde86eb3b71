// A small file system of a test's own: made in an image (or in memory), mounted, and gone with the object, on a signal
// too. What a killed test left is removed by the next one.
#pragma once

#include <filesystem>
#include <string>

#include "tests/support/temporary_directory.h"

namespace pgtwig::support {

enum class FileSystemKind { btrfs, xfs, ext4, tmpfs, zfs };

// Why this machine cannot have it; empty when it can.
std::string why_no_file_system(FileSystemKind kind);

class TestFileSystem {
 public:
  explicit TestFileSystem(FileSystemKind kind);
  TestFileSystem(const TestFileSystem&) = delete;
  TestFileSystem& operator=(const TestFileSystem&) = delete;
  ~TestFileSystem();

  FileSystemKind kind() const { return kind_; }
  // Where it is mounted.
  const std::filesystem::path& path() const { return mount_point_; }

  void unmount();
  void mount();
  void remount_read_only(bool read_only);
  // Puts the file system back to what its disk held at this very moment, as if the power had failed.
  void fail_power();
  // Writes until nothing more fits, neither data nor another small file, and then frees half a megabyte: enough to
  // begin something, and not to end it.
  void fill();
  // Everything to disk, deletions that wait in the background included.
  void sync() const;
  // Of the zfs kind, while it is imported.
  std::string zpool() const;

 private:
  void import_anew(bool read_only);

  TemporaryDirectory directory_{TemporaryPlace::disk};  // an image there grows as the disk allows
  FileSystemKind kind_;
  std::filesystem::path image_;
  std::filesystem::path mount_point_;
};

}  // namespace pgtwig::support
