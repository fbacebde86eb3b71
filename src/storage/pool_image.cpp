// Image pools: made, mounted, grown, trimmed.
#include "storage/pool_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/fs.h"
#include "base/process.h"
#include "storage/loop_device.h"
#include "storage/mount_table.h"
#include "storage/storage_error.h"
#include "storage/zfs/zpool.h"

namespace pgtwig::storage {

namespace {

// Below these the file systems' own tools refuse.
constexpr Bytes smallest_btrfs = 128_MiB;
constexpr Bytes smallest_xfs = 320_MiB;
// A zpool keeps 128 MiB to itself.
constexpr Bytes smallest_zfs = 256_MiB;

Bytes smallest_image(ImageFileSystem file_system) {
  switch (file_system) {
    case ImageFileSystem::btrfs:
      return smallest_btrfs;
    case ImageFileSystem::xfs:
      return smallest_xfs;
    case ImageFileSystem::zfs:
      return smallest_zfs;
  }
  return {};
}

Command command_of(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  return command;
}

// Whether the program is installed and says yes.
bool succeeds(std::vector<std::string> argv) {
  try {
    return run_command(command_of(std::move(argv))).exit_status == 0;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::not_available) return false;
    throw;
  }
}

bool is_module_loadable(const std::string& module) {
  return succeeds({"modprobe", "--quiet", "--dry-run", module});
}

bool has_kernel_support(ImageFileSystem file_system) {
  std::string type(image_file_system_name(file_system));
  return read_file("/proc/filesystems").find("\t" + type + "\n") != std::string::npos || is_module_loadable(type);
}

bool is_usable(ImageFileSystem file_system) {
  return succeeds({fmt::format("mkfs.{}", image_file_system_name(file_system)), "-V"}) &&
         has_kernel_support(file_system);
}

// What of the image is already taken from the host does not count against it again.
void check_host_space(const std::filesystem::path& directory, Bytes size, Bytes allocated) {
  FileSystemSpace host = file_system_space(directory);
  Bytes reserve = host_reserve(Bytes{host.total_bytes});
  std::uint64_t available = host.free_bytes > reserve.count ? host.free_bytes - reserve.count : 0;
  std::uint64_t wanted = size.count > allocated.count ? size.count - allocated.count : 0;
  if (wanted <= available) return;
  throw Error(ErrorCode::no_space,
              fmt::format("an image of {} could grow by {}, but {} has {} free, of which {} stay in reserve",
                          format_bytes(size), format_bytes(Bytes{wanted}), directory.string(),
                          format_bytes(Bytes{host.free_bytes}), format_bytes(reserve)),
              fmt::format("ask for at most {}, or free space there", format_bytes(Bytes{available + allocated.count})));
}

void make_file_system(const std::filesystem::path& image, ImageFileSystem file_system) {
  std::vector<std::string> argv;
  switch (file_system) {
    case ImageFileSystem::btrfs:
      argv = {"mkfs.btrfs", "--quiet", "--nodiscard", "--label", "pgtwig"};
      break;
    case ImageFileSystem::xfs:
      // Sectors as large as the loop device's blocks.
      argv = {"mkfs.xfs", "-q", "-K", "-m", "reflink=1", "-s", "size=4096", "-L", "pgtwig"};
      break;
    case ImageFileSystem::zfs:
      return zfs::make_zpool(image);
  }
  argv.push_back(image.string());
  run_command_checked(command_of(argv), fmt::format("cannot format {}", image.string()), ErrorCode::storage_failed);
}

void sync_path(const std::filesystem::path& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file || fsync(file.get()) != 0)
    throw storage_error(errno, fmt::format("cannot write {} to disk", path.string()));
}

// By the magic numbers of their superblocks.
ImageFileSystem image_file_system(const std::filesystem::path& image) {
  constexpr off_t btrfs_magic_offset = 0x10040;
  UniqueFd file(open(image.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) {
    if (errno == ENOENT)
      throw Error(ErrorCode::not_found, fmt::format("there is no image {}", image.string()),
                  "put it back where it was, or remove the pool");
    throw storage_error(errno, fmt::format("cannot open image {}", image.string()));
  }
  std::array<char, 8> magic{};
  if (pread(file.get(), magic.data(), magic.size(), btrfs_magic_offset) == 8 &&
      std::memcmp(magic.data(), "_BHRfS_M", 8) == 0)
    return ImageFileSystem::btrfs;
  if (pread(file.get(), magic.data(), 4, 0) == 4 && std::memcmp(magic.data(), "XFSB", 4) == 0)
    return ImageFileSystem::xfs;
  if (zfs::holds_zpool(file.get())) return ImageFileSystem::zfs;
  throw Error(ErrorCode::storage_failed, fmt::format("{} holds neither Btrfs nor XFS nor a zpool", image.string()));
}

// Whether it is mounted there already; throws when it, or something else, is mounted where it must not be.
bool is_in_place(const std::filesystem::path& image, const std::optional<LoopDevice>& device,
                 const std::filesystem::path& mount_point) {
  if (auto there = mount_at(mount_point)) {
    if (device && there->source == device->path) return true;
    throw Error(ErrorCode::conflict, fmt::format("{} is mounted on {} already", there->source, mount_point.string()),
                fmt::format("unmount it: umount {}", mount_point.string()));
  }
  if (!device) return false;
  for (const Mount& mount : read_mounts()) {
    if (mount.source == device->path)
      throw Error(ErrorCode::conflict,
                  fmt::format("image {} is mounted on {} already", image.string(), mount.mount_point.string()),
                  fmt::format("unmount it there: umount {}", mount.mount_point.string()));
  }
  return false;
}

UniqueFd open_mounted(const std::filesystem::path& mount_point) {
  if (!is_mounted(mount_point))
    throw Error(ErrorCode::storage_failed, fmt::format("nothing is mounted on {}", mount_point.string()),
                "a restart of the daemon mounts image pools");
  return open_directory(mount_point);
}

// Makes what lies between the image and its file system as long as the image. Throws when that is not mounted there.
class ImageGrowth {
 public:
  ImageGrowth(const std::filesystem::path& image, const std::filesystem::path& mount_point)
      : image_(image), mount_point_(mount_point), file_system_(image_file_system(image)) {
    bool is_there = false;
    if (file_system_ == ImageFileSystem::zfs) {
      const auto there = mount_at(mount_point);
      is_there = there && there->type == "zfs" && zfs::imported_zpool(image) == there->source;
    } else {
      device_ = find_loop_device(image);
      is_there = device_ && is_in_place(image, device_, mount_point);
    }
    if (!is_there)
      throw Error(ErrorCode::storage_failed,
                  fmt::format("image {} is not mounted on {}", image.string(), mount_point.string()),
                  "a restart of the daemon mounts image pools");
  }

  void follow_image() const {
    if (device_) refresh_capacity(*device_);
    switch (file_system_) {
      case ImageFileSystem::btrfs: {
        btrfs_ioctl_vol_args arguments{};
        std::strcpy(arguments.name, "max");
        if (ioctl(open_mounted(mount_point_).get(), BTRFS_IOC_RESIZE, &arguments) != 0)
          throw storage_error(errno, fmt::format("cannot grow the file system on {}", mount_point_.string()));
        return;
      }
      case ImageFileSystem::xfs:
        run_command_checked(command_of({"xfs_growfs", "-d", mount_point_.string()}),
                            fmt::format("cannot grow the file system on {}", mount_point_.string()),
                            ErrorCode::storage_failed);
        return;
      case ImageFileSystem::zfs:
        return zfs::grow_zpool(mount_at(mount_point_)->source, image_);
    }
  }

 private:
  const std::filesystem::path& image_;
  const std::filesystem::path& mount_point_;
  ImageFileSystem file_system_;
  std::optional<LoopDevice> device_;
};

}  // namespace

std::string_view image_file_system_name(ImageFileSystem file_system) {
  switch (file_system) {
    case ImageFileSystem::btrfs:
      return "btrfs";
    case ImageFileSystem::xfs:
      return "xfs";
    case ImageFileSystem::zfs:
      return "zfs";
  }
  return "";
}

std::optional<ImageFileSystem> parse_image_file_system(std::string_view name) {
  for (ImageFileSystem candidate : {ImageFileSystem::btrfs, ImageFileSystem::xfs, ImageFileSystem::zfs})
    if (image_file_system_name(candidate) == name) return candidate;
  return std::nullopt;
}

Bytes host_reserve(Bytes host_total) {
  // A twentieth, as ext4 keeps for root, within limits that make sense on small and large disks.
  return std::clamp(Bytes{host_total.count / 20}, 1_GiB, 10_GiB);
}

std::optional<ImageFileSystem> best_image_file_system() {
  if (geteuid() != 0) return std::nullopt;
  if (access("/dev/loop-control", R_OK | W_OK) != 0 && !is_module_loadable("loop")) return std::nullopt;
  for (ImageFileSystem candidate : {ImageFileSystem::btrfs, ImageFileSystem::xfs})
    if (is_usable(candidate)) return candidate;
  return std::nullopt;
}

void create_image(const std::filesystem::path& image, Bytes size, ImageFileSystem file_system) {
  Bytes smallest = smallest_image(file_system);
  if (size < smallest)
    throw Error(ErrorCode::invalid_argument, fmt::format("an image of {} is too small: {} needs {}", format_bytes(size),
                                                         image_file_system_name(file_system), format_bytes(smallest)));
  std::filesystem::path directory = image.parent_path();
  check_host_space(directory, size, Bytes{0});
  UniqueFd file(open(image.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) {
    if (errno == EEXIST) throw Error(ErrorCode::already_exists, fmt::format("{} exists already", image.string()));
    throw storage_error(errno, fmt::format("cannot make image {}", image.string()));
  }
  try {
    if (ftruncate(file.get(), static_cast<off_t>(size.count)) != 0)
      throw storage_error(errno, fmt::format("cannot make image {} of {}", image.string(), format_bytes(size)));
    make_file_system(image, file_system);
    sync_path(image);
    sync_path(directory);
  } catch (...) {
    unlink(image.c_str());
    throw;
  }
}

void mount_image(const std::filesystem::path& image, const std::filesystem::path& mount_point) {
  ImageFileSystem file_system = image_file_system(image);
  FileLock lock = FileLock::acquire(image);  // two daemons never attach one image twice
  if (file_system == ImageFileSystem::zfs) return zfs::mount_zpool(image, mount_point);
  std::optional<LoopDevice> device = find_loop_device(image);
  if (is_in_place(image, device, mount_point)) return;
  if (!device) device = attach_loop_device(image);
  make_directories(mount_point);
  // Freed blocks go back to the host by trim(), not a few at a time while PostgreSQL waits.
  const char* options = file_system == ImageFileSystem::btrfs ? "nodiscard" : "";
  unsigned long flags = MS_NOATIME | MS_NOSUID | MS_NODEV;
  if (mount(device->path.c_str(), mount_point.c_str(), image_file_system_name(file_system).data(), flags, options) != 0)
    throw storage_error(errno, fmt::format("cannot mount {} on {}", image.string(), mount_point.string()));
}

void unmount_image(const std::filesystem::path& mount_point) {
  std::optional<Mount> mount = mount_at(mount_point);
  if (!mount) return;
  if (mount->type == "zfs") return zfs::export_zpool(zfs::zpool_of(mount->source));
  std::filesystem::path number = std::filesystem::path(mount->source).filename();
  auto backing_file = read_file_if_exists("/sys/block" / number / "loop/backing_file");
  if (umount2(mount_point.c_str(), UMOUNT_NOFOLLOW) != 0) {
    if (errno == EBUSY)
      throw Error(ErrorCode::busy, fmt::format("{} is in use", mount_point.string()),
                  fmt::format("see by whom: fuser -vm {}", mount_point.string()));
    throw storage_error(errno, fmt::format("cannot unmount {}", mount_point.string()));
  }
  if (!backing_file) return;
  std::string image = backing_file->substr(0, backing_file->find('\n'));
  if (!wait_until_detached(image))
    throw Error(ErrorCode::storage_failed, fmt::format("{} stays attached to a loop device", image),
                "see who uses it: losetup --associated " + image);
}

bool is_mounted(const std::filesystem::path& mount_point) {
  return mount_at(mount_point).has_value();
}

void grow_image(const std::filesystem::path& image, const std::filesystem::path& mount_point, Bytes size) {
  struct stat status{};
  if (stat(image.c_str(), &status) != 0)
    throw storage_error(errno, fmt::format("cannot look at image {}", image.string()));
  Bytes current{static_cast<std::uint64_t>(status.st_size)};
  if (size < current)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the image has {} and cannot shrink to {}", format_bytes(current), format_bytes(size)));
  check_host_space(image.parent_path(), size, Bytes{static_cast<std::uint64_t>(status.st_blocks) * 512});
  const ImageGrowth growth(image, mount_point);
  // Each step can be repeated, so that a growth that was cut off is finished by asking again.
  if (truncate(image.c_str(), static_cast<off_t>(size.count)) != 0)
    throw storage_error(errno, fmt::format("cannot grow image {}", image.string()));
  sync_path(image);
  growth.follow_image();
}

Bytes trim(const std::filesystem::path& mount_point) {
  UniqueFd directory = open_mounted(mount_point);
  if (auto there = mount_at(mount_point); there && there->type == "zfs")
    return zfs::trim_zpool(zfs::zpool_of(there->source));
  fstrim_range range{0, std::numeric_limits<__u64>::max(), 0};
  if (ioctl(directory.get(), FITRIM, &range) != 0)
    throw storage_error(errno, fmt::format("cannot trim {}", mount_point.string()));
  return Bytes{range.len};
}

}  // namespace pgtwig::storage
