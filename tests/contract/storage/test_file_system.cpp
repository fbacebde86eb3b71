// Making and removing the file systems of tests.
#include "tests/contract/storage/test_file_system.h"

#include <btrfsutil.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/process.h"
#include "storage/loop_device.h"
#include "storage/mount_table.h"
#include "storage/pool_image.h"
#include "storage/zfs/zpool.h"

namespace pgtwig::support {

namespace {

constexpr Bytes image_size = 512_MiB;
constexpr const char* tmpfs_options = "size=192m";

void run(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  run_command_checked(command, "cannot prepare a file system", ErrorCode::storage_failed);
}

// What a signal handler may touch: one process has one such file system at a time.
std::array<char, 256> signal_mount_point;
std::array<char, 256> signal_image;

void clean_up_on_signal(int signal_number) {
  if (signal_mount_point[0] != '\0') umount2(signal_mount_point.data(), MNT_DETACH);
  if (signal_image[0] != '\0') unlink(signal_image.data());
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void remember_for_signals(const std::string& mount_point, const std::string& image) {
  std::strncpy(signal_mount_point.data(), mount_point.c_str(), signal_mount_point.size() - 1);
  std::strncpy(signal_image.data(), image.c_str(), signal_image.size() - 1);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, clean_up_on_signal);
}

// A test that was killed leaves a directory with its process's number in it.
void remove_leftovers() {
  for (const auto& entry : std::filesystem::directory_iterator("/tmp")) {
    if (!entry.path().filename().string().starts_with("pgtwig-test-")) continue;
    auto owner = read_file_if_exists(entry.path() / "owner");
    if (!owner || ProcessHandle::open(std::stoi(*owner))) continue;
    if (access("/sys/module/zfs", F_OK) == 0)
      if (auto zpool = storage::zfs::imported_zpool(entry.path() / "image")) run({"zpool", "export", "-f", *zpool});
    umount2((entry.path() / "mount").c_str(), MNT_DETACH);
    remove_tree(entry.path());
  }
}

void write_until_full(int file, std::size_t chunk) {
  std::vector<char> block(chunk, 'x');
  while (write(file, block.data(), block.size()) > 0) continue;
}

}  // namespace

std::string why_no_file_system(FileSystemKind kind) {
  if (geteuid() != 0) return "only root can mount a file system";
  if (access("/dev/loop-control", R_OK | W_OK) != 0) return "this machine has no loop devices";
  if (kind == FileSystemKind::zfs && access("/sys/module/zfs", F_OK) != 0)
    return "this machine has no ZFS; `make lab` runs this in one that has";
  return {};
}

TestFileSystem::TestFileSystem(FileSystemKind kind)
    : kind_(kind), image_(directory_.path() / "image"), mount_point_(directory_.path() / "mount") {
  remove_leftovers();
  write_file(directory_.path() / "owner", std::to_string(getpid()));
  remember_for_signals(mount_point_, image_);
  make_directories(mount_point_);
  if (kind_ == FileSystemKind::btrfs) storage::create_image(image_, image_size, storage::ImageFileSystem::btrfs);
  if (kind_ == FileSystemKind::xfs) storage::create_image(image_, image_size, storage::ImageFileSystem::xfs);
  if (kind_ == FileSystemKind::zfs) storage::create_image(image_, image_size, storage::ImageFileSystem::zfs);
  if (kind_ == FileSystemKind::ext4) {
    run({"truncate", "--size", std::to_string(image_size.count), image_});
    run({"mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard", image_});
  }
  mount();
  // What fills it would be compressed to nothing.
  if (kind_ == FileSystemKind::zfs) run({"zfs", "set", "compression=off", zpool()});
}

TestFileSystem::~TestFileSystem() {
  try {
    unmount();
  } catch (const Error& error) {
    fmt::print(stderr, "{} ({})\n", error.message(), error.hint());
    umount2(mount_point_.c_str(), MNT_DETACH);
  }
  signal_mount_point[0] = signal_image[0] = '\0';
}

void TestFileSystem::unmount() {
  storage::unmount_image(mount_point_);
}

void TestFileSystem::mount() {
  if (kind_ != FileSystemKind::tmpfs && kind_ != FileSystemKind::ext4)
    return storage::mount_image(image_, mount_point_);
  int result = 0;
  if (kind_ == FileSystemKind::tmpfs) {
    result = ::mount("tmpfs", mount_point_.c_str(), "tmpfs", MS_NOATIME, tmpfs_options);
  } else {
    storage::LoopDevice device = storage::attach_loop_device(image_);
    result = ::mount(device.path.c_str(), mount_point_.c_str(), "ext4", MS_NOATIME, "");
  }
  if (result != 0) throw system_error(errno, "cannot mount a file system");
}

void TestFileSystem::remount_read_only(bool read_only) {
  if (kind_ == FileSystemKind::zfs) return import_anew(read_only);
  unsigned long flags = MS_REMOUNT | MS_NOATIME;
  if (read_only) flags |= MS_RDONLY;
  if (::mount("", mount_point_.c_str(), "", flags, "") != 0) throw system_error(errno, "cannot remount a file system");
}

std::string TestFileSystem::zpool() const {
  return storage::zfs::imported_zpool(image_).value();
}

// A mounted dataset's own flag changes nothing of what may be made beside it: only a read-only import does.
void TestFileSystem::import_anew(bool read_only) {
  const std::string name = zpool();
  unmount();
  std::vector<std::string> import = {"zpool", "import", "-o", "cachefile=none", "-d", image_, name};
  if (read_only) import.insert(import.begin() + 2, {"-o", "readonly=on"});
  run(import);
}

void TestFileSystem::fail_power() {
  std::filesystem::path moment = directory_.path() / "moment";
  // One moment where the file system below can share blocks, else one after the other, while it rests.
  run({"cp", "--reflink=auto", "--sparse=auto", image_, moment});
  unmount();
  std::filesystem::rename(moment, image_);
  mount();
}

void TestFileSystem::fill() {
  constexpr std::size_t freed = 512u << 10;
  write_file(mount_point_ / "filler-freed", std::string(freed, 'x'));
  UniqueFd big(open((mount_point_ / "filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  for (std::size_t chunk : {1u << 20, 4096u}) write_until_full(big.get(), chunk);
  fsync(big.get());
  for (std::size_t chunk : {4096u, 512u}) write_until_full(big.get(), chunk);
  constexpr int most_small_files = 200'000;
  for (int i = 0; i < most_small_files; ++i) {
    std::string name = mount_point_ / fmt::format("filler-{}", i);
    UniqueFd file(open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    std::array<char, 1500> content{};
    if (!file || write(file.get(), content.data(), content.size()) < 0) break;
  }
  std::filesystem::remove(mount_point_ / "filler-freed");
  sync();  // blocks are free when the journal says so
}

void TestFileSystem::sync() const {
  // Btrfs frees what was destroyed when this wakes its cleaner, or half a minute later.
  if (kind_ == FileSystemKind::btrfs) btrfs_util_sync(mount_point_.c_str());
  // What datasets use is known when a transaction group has ended.
  if (kind_ == FileSystemKind::zfs) run({"zpool", "sync", zpool()});
  UniqueFd directory = open_directory(mount_point_);
  if (syncfs(directory.get()) != 0) throw system_error(errno, "cannot sync a file system");
}

}  // namespace pgtwig::support
