// Loop devices by ioctl: an image file as a block device. Called by pool_image.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/fs.h"

namespace pgtwig::storage {

struct LoopDevice {
  std::string path;  // "/dev/loop3"
  UniqueFd fd;       // keeps it attached until it is mounted
};

// The device whose backing file is `image` now, whoever attached it.
std::optional<LoopDevice> find_loop_device(const std::filesystem::path& image);
// Attaches the image to a free device, with direct I/O where the host file system has it. It detaches itself when
// nobody has it open or mounted any more.
LoopDevice attach_loop_device(const std::filesystem::path& image);
// After the image became longer.
void refresh_capacity(const LoopDevice& device);
// Waits until nothing is attached to the image; false when it still is after some seconds.
bool wait_until_detached(const std::filesystem::path& image);

}  // namespace pgtwig::storage
