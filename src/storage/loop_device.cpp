// LOOP_CONFIGURE and what belongs to it (loop(4)).
#include "storage/loop_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "storage/storage_error.h"
#include "storage/zfs/dataset.h"

namespace pgtwig::storage {

namespace {

// Blocks of 4 KiB suit every host's direct I/O, and both file systems are made for them.
constexpr unsigned block_size = 4096;
constexpr int loop_major = 7;
// A free device can be taken by somebody else between asking and attaching.
constexpr int most_attempts = 64;
constexpr std::chrono::seconds detach_limit{10};

UniqueFd open_device(int number, int flags) {
  std::string path = fmt::format("/dev/loop{}", number);
  UniqueFd device(open(path.c_str(), flags | O_CLOEXEC));
  if (device || errno != ENOENT) return device;
  // A container's own /dev does not learn of new devices.
  if (mknod(path.c_str(), S_IFBLK | 0600, makedev(loop_major, static_cast<unsigned>(number))) != 0) return device;
  device.reset(open(path.c_str(), flags | O_CLOEXEC));
  return device;
}

// Not on ZFS: its direct I/O (2.3 and later) waits for pages that the file system inside of the image keeps locked
// while it waits for this very write, and both wait for ever.
bool may_use_direct_io(int image) {
  struct statfs status{};
  return fstatfs(image, &status) == 0 && status.f_type != zfs::super_magic;
}

// False when somebody else took the device.
bool configure(int device, int image) {
  loop_config config{};
  config.fd = static_cast<__u32>(image);
  config.block_size = block_size;
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
  if (may_use_direct_io(image)) config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
  if (ioctl(device, LOOP_CONFIGURE, &config) == 0) return true;
  if (errno == EINVAL) {  // a host file system without direct I/O
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (ioctl(device, LOOP_CONFIGURE, &config) == 0) return true;
  }
  if (errno == EBUSY) return false;
  throw storage_error(errno, "cannot attach an image to a loop device");
}

}  // namespace

std::optional<LoopDevice> find_loop_device(const std::filesystem::path& image) {
  struct stat wanted{};
  if (stat(image.c_str(), &wanted) != 0) return std::nullopt;
  std::error_code ignored;  // without /sys there are no loop devices to find
  for (const auto& entry : std::filesystem::directory_iterator("/sys/block", ignored)) {
    std::string name = entry.path().filename();
    if (!name.starts_with("loop") || !std::filesystem::exists(entry.path() / "loop", ignored)) continue;
    UniqueFd device = open_device(std::stoi(name.substr(4)), O_RDWR);
    loop_info64 info{};
    if (!device || ioctl(device.get(), LOOP_GET_STATUS64, &info) != 0) continue;
    if (info.lo_device == wanted.st_dev && info.lo_inode == wanted.st_ino)
      return LoopDevice{"/dev/" + name, std::move(device)};
  }
  return std::nullopt;
}

LoopDevice attach_loop_device(const std::filesystem::path& image) {
  UniqueFd file(open(image.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) throw storage_error(errno, fmt::format("cannot open image {}", image.string()));
  UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control) throw storage_error(errno, "cannot open /dev/loop-control");
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) throw storage_error(errno, "cannot get a free loop device");
    UniqueFd device = open_device(number, O_RDWR);
    if (!device) throw storage_error(errno, fmt::format("cannot open /dev/loop{}", number));
    if (configure(device.get(), file.get())) return {fmt::format("/dev/loop{}", number), std::move(device)};
  }
  throw Error(ErrorCode::busy, "cannot get a free loop device: others take each one first", "try again");
}

void refresh_capacity(const LoopDevice& device) {
  if (ioctl(device.fd.get(), LOOP_SET_CAPACITY) != 0)
    throw storage_error(errno, fmt::format("cannot grow loop device {}", device.path));
}

bool wait_until_detached(const std::filesystem::path& image) {
  auto deadline = std::chrono::steady_clock::now() + detach_limit;
  while (find_loop_device(image)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace pgtwig::storage
