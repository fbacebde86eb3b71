#include "base/fs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>

#include "base/error.h"
#include "base/process.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig {
namespace {

using support::TemporaryDirectory;

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status{};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

std::size_t entries_in(const std::filesystem::path& path) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path), {}));
}

TEST(DurableWrite, ReplacesTheTextSetsTheModeAndLeavesNothingBeside) {
  TemporaryDirectory directory;
  const auto old_umask = umask(0077);
  write_file_durably(directory / "file", "old", 0640);
  write_file_durably(directory / "file", "new", 0644);
  umask(old_umask);
  EXPECT_EQ(read_file(directory / "file"), "new");
  EXPECT_EQ(mode_of(directory / "file"), 0644u);
  EXPECT_EQ(entries_in(directory.path()), 1u);
}

TEST(DurableWrite, GivesTheFileToItsOwnerAndFollowsNoLinkInItsPlace) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  TemporaryDirectory directory;
  write_file(directory / "target", "untouched");
  std::filesystem::create_symlink("target", directory / "file");
  write_file_durably_at(open_directory(directory.path()).get(), "file", "theirs", 0600,
                        FileOwner{.uid = 65534, .gid = 65534});
  struct stat status{};
  ASSERT_EQ(lstat((directory / "file").c_str(), &status), 0);
  EXPECT_TRUE(S_ISREG(status.st_mode));
  EXPECT_EQ(status.st_uid, 65534u);
  EXPECT_EQ(status.st_gid, 65534u);
  ASSERT_EQ(stat((directory / "target").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0u);
  EXPECT_EQ(read_file(directory / "target"), "untouched");
}

TEST(DurableWrite, LeavesTheOldTextAndNothingElseWhenItFails) {
  TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "taken" / "inside");
  EXPECT_THROW(write_file_durably(directory / "taken", "text"), Error);
  EXPECT_EQ(entries_in(directory.path()), 1u);
}

TEST(DurableWrite, ReplacesALinkRatherThanWriteThroughIt) {
  TemporaryDirectory directory;
  write_file(directory / "target", "untouched");
  std::filesystem::create_symlink("target", directory / "link");
  write_file(directory / "link", "mine");
  EXPECT_EQ(read_file(directory / "target"), "untouched");
  EXPECT_EQ(read_file(directory / "link"), "mine");
}

TEST(ReadFile, TellsAbsenceFromFailure) {
  TemporaryDirectory directory;
  EXPECT_EQ(read_file_if_exists(directory / "absent"), std::nullopt);
  EXPECT_THROW(read_file(directory / "absent"), Error);
  EXPECT_THROW(read_file_if_exists(directory.path()), Error);
  const std::string large(3'000'000, 'x');
  write_file(directory / "large", large);
  EXPECT_EQ(read_file(directory / "large"), large);
}

TEST(ReadFile, TakesWhatProcfsSaysOfAProcessThatIsGoneForAbsent) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  const UniqueFd opened(open(("/proc/" + std::to_string(child) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(opened);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  // What was opened just before it was gone can still be opened, and is ESRCH to read.
  EXPECT_FALSE(read_file_if_exists("/proc/self/fd/" + std::to_string(opened.get())));
}

TEST(OpenBeneath, NeverLeavesTheDirectoryNorFollowsALink) {
  TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "in" / "sub");
  write_file(directory / "secret", "secret");
  write_file(directory / "in" / "sub" / "file", "text");
  std::filesystem::create_symlink("../secret", directory / "in" / "link");
  std::filesystem::create_symlink(".", directory / "in" / "loop");
  const UniqueFd in = open_directory(directory / "in");
  EXPECT_EQ(read_file_beneath(in.get(), "sub/file"), "text");
  EXPECT_EQ(read_file_beneath(in.get(), "absent"), std::nullopt);
  EXPECT_THROW(read_file_beneath(in.get(), "../secret"), Error);
  EXPECT_THROW(read_file_beneath(in.get(), "link"), Error);
  EXPECT_THROW(read_file_beneath(in.get(), "loop/sub/file"), Error);
  EXPECT_THROW(open_beneath(in.get(), (directory / "secret").string(), O_RDONLY), Error);
}

TEST(OpenBeneath, RefusesAPipeInsteadOfWaitingForItAndAFileThatIsTooLong) {
  TemporaryDirectory directory;
  ASSERT_EQ(mkfifo((directory / "pipe").c_str(), 0600), 0);
  write_file(directory / "long", std::string(1001, 'x'));
  const UniqueFd handle = open_directory(directory.path());
  EXPECT_THROW(read_file_beneath(handle.get(), "pipe"), Error);
  EXPECT_THROW(read_file_beneath(handle.get(), "long", 1000), Error);
  EXPECT_EQ(read_file_beneath(handle.get(), "long", 1001)->size(), 1001u);
}

TEST(MakeDirectories, MakesParentsWithTheModeWhateverTheUmask) {
  TemporaryDirectory directory;
  const auto old_umask = umask(0077);
  make_directories(directory / "a" / "b", 0755);
  umask(old_umask);
  EXPECT_EQ(mode_of(directory / "a"), 0755u);
  EXPECT_EQ(mode_of(directory / "a" / "b"), 0755u);
}

TEST(MakeDirectories, LeavesWhatIsThereAndRefusesAFileInTheWay) {
  TemporaryDirectory directory;
  ASSERT_EQ(chmod(directory.path().c_str(), 0700), 0);
  make_directories(directory.path(), 0755);
  EXPECT_EQ(mode_of(directory.path()), 0700u);
  write_file(directory / "file", "");
  EXPECT_THROW(make_directories(directory / "file"), Error);
  EXPECT_THROW(make_directories(directory / "file" / "below"), Error);
}

TEST(RemoveTree, RemovesEverythingAndFollowsNoLink) {
  TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "kept");
  write_file(directory / "kept" / "file", "kept");
  std::filesystem::create_directories(directory / "tree" / "a" / "b");
  for (int i = 0; i < 300; ++i) write_file(directory / "tree" / "a" / std::to_string(i), "x");
  std::filesystem::create_directory_symlink(directory / "kept", directory / "tree" / "a" / "link");
  EXPECT_TRUE(remove_tree(directory / "tree"));
  EXPECT_FALSE(remove_tree(directory / "tree"));
  EXPECT_FALSE(std::filesystem::exists(directory / "tree"));
  EXPECT_EQ(read_file(directory / "kept" / "file"), "kept");
}

TEST(RemoveTree, RemovesALinkOrAFileItselfAndMindsNoAbsence) {
  TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "kept");
  std::filesystem::create_directory_symlink("kept", directory / "link");
  const UniqueFd handle = open_directory(directory.path());
  EXPECT_TRUE(remove_tree_at(handle.get(), "link"));
  EXPECT_TRUE(std::filesystem::exists(directory / "kept"));
  EXPECT_FALSE(remove_tree_at(handle.get(), "absent"));
  EXPECT_FALSE(remove_tree(directory / "absent" / "below"));
}

TEST(RemoveTree, ManagesATreeDeeperThanThereAreDescriptors) {
  TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "tree");
  UniqueFd deepest = open_directory(directory / "tree");
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(mkdirat(deepest.get(), "deeper", 0700), 0);
    deepest = open_beneath(deepest.get(), "deeper", O_RDONLY | O_DIRECTORY);
  }
  EXPECT_TRUE(remove_tree(directory / "tree"));
  EXPECT_FALSE(std::filesystem::exists(directory / "tree"));
}

TEST(RemoveTree, StopsAtAMountPointAndNamesIt) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can mount";
  TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "tree" / "mounted");
  std::filesystem::create_directories(directory / "source");
  write_file(directory / "source" / "precious", "kept");
  const std::string mount_point = (directory / "tree" / "mounted").string();
  // A bind mount of the same file system, which no device number tells apart.
  ASSERT_EQ(run_command({.argv = {"mount", "--bind", (directory / "source").string(), mount_point}}).exit_status, 0);
  try {
    remove_tree(directory / "tree");
    ADD_FAILURE() << "the tree was removed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::storage_failed);
    EXPECT_NE(error.message().find("tree/mounted"), std::string::npos) << error.message();
  }
  EXPECT_EQ(run_command({.argv = {"umount", mount_point}}).exit_status, 0);
  EXPECT_EQ(read_file(directory / "source" / "precious"), "kept");
}

// A Btrfs of its own, on a loop device.
class BtrfsMount {
 public:
  explicit BtrfsMount(const TemporaryDirectory& directory) : point_((directory / "mount").string()) {
    const std::string image = (directory / "image").string();
    std::filesystem::create_directory(point_);
    write_file(image, "");
    std::filesystem::resize_file(image, 128u << 20);
    run_command_checked({.argv = {"mkfs.btrfs", "-q", image}}, "mkfs", ErrorCode::internal);
    run_command_checked({.argv = {"mount", "-o", "loop", image, point_}}, "mount", ErrorCode::internal);
  }
  BtrfsMount(const BtrfsMount&) = delete;
  BtrfsMount& operator=(const BtrfsMount&) = delete;
  ~BtrfsMount() { run_command({.argv = {"umount", point_}}); }
  std::filesystem::path operator/(const std::string& name) const { return std::filesystem::path(point_) / name; }

 private:
  std::string point_;
};

TEST(RemoveTree, StopsAtASubvolumeAndNamesIt) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can mount";
  TemporaryDirectory directory;
  BtrfsMount mount(directory);
  std::filesystem::create_directory(mount / "tree");
  const std::string nested = (mount / "tree/nested").string();
  run_command_checked({.argv = {"btrfs", "subvolume", "create", nested}}, "subvolume", ErrorCode::internal);
  write_file(nested + "/precious", "kept");
  try {
    remove_tree(mount / "tree");
    ADD_FAILURE() << "the tree was removed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::storage_failed);
    EXPECT_NE(error.message().find("tree/nested"), std::string::npos) << error.message();
  }
  EXPECT_EQ(read_file(nested + "/precious"), "kept");
}

TEST(FileLocks, KeepOthersOutUntilTheyAreGone) {
  TemporaryDirectory directory;
  const auto path = directory / "lock";
  auto held = FileLock::try_acquire(path);
  ASSERT_TRUE(held);
  EXPECT_FALSE(FileLock::try_acquire(path));
  auto waiting = std::async(std::launch::async, [&] { FileLock lock = FileLock::acquire(path); });
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  held.reset();
  EXPECT_EQ(waiting.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_TRUE(FileLock::try_acquire(path));
}

TEST(FileLocks, AreNotFooledByARemovedFile) {
  TemporaryDirectory directory;
  const auto path = directory / "lock";
  auto first = FileLock::try_acquire(path);
  ASSERT_TRUE(first);
  auto waiting = std::async(std::launch::async, [&] { return FileLock::acquire(path); });
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  std::filesystem::remove(path);
  first.reset();
  FileLock second = waiting.get();
  // The second waited on a file without a name; it must hold the one that everybody now opens.
  EXPECT_FALSE(FileLock::try_acquire(path));
}

TEST(FileSystemSpaceOf, IsMoreWholeThanFree) {
  const FileSystemSpace space = file_system_space("/");
  EXPECT_GT(space.total_bytes, 0u);
  EXPECT_LE(space.free_bytes, space.total_bytes);
  EXPECT_THROW(file_system_space("/no/such/place"), Error);
}

}  // namespace
}  // namespace pgtwig
