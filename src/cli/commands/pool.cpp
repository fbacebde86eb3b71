// pgtwig pool: create, list, get, grow, trim.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <filesystem>

#include "api/json.h"
#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/render/style.h"
#include "cli/request.h"

namespace pgtwig::cli {
namespace {

std::string target_of_pool(const std::string& name) {
  return "/v1/pools/" + client::encode_segment(name);
}

std::int64_t byte_count(const std::string& text) {
  return static_cast<std::int64_t>(parse_bytes(text)->count);  // checked by the parser
}

int create_pool(Session& session) {
  const Invocation& given = session.invocation();
  const std::string& name = given.get("NAME");
  auto directory = given.find("directory");
  auto image = given.find("image");
  auto image_size = given.find("image-size");
  if (directory && (image || image_size))
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("a pool is a directory or an image, not both: --directory, --{}", image ? "image" : "image-size"),
        "`pgtwig pool create NAME --directory DIR` or `pgtwig pool create NAME --image-size 20G`");
  if (directory && given.has("file-system"))
    throw Error(ErrorCode::invalid_argument, "--file-system is for an image; a directory has its file system already",
                "leave it out");
  const auto absolute = [&](const std::string& path) {
    return (session.world().working_directory / path).lexically_normal().string();
  };
  RequestBody body;
  body.set("name", name);
  if (directory) body.set("directory", absolute(*directory));
  if (image) body.set("image", absolute(*image));
  if (image_size) body.set("image_size", byte_count(*image_size));
  if (auto driver = given.find("driver")) body.set("driver", *driver);
  if (auto file_system = given.find("file-system")) body.set("file_system", *file_system);
  print_pool(session, perform(session, {.method = "POST",
                                        .target = "/v1/pools",
                                        .body = body.text(),
                                        .heading = fmt::format("Creating pool {}", name)}));
  return 0;
}

int list_pools(Session& session) {
  print_pools(session, session.api().request("GET", "/v1/pools"));
  return 0;
}

int get_pool(Session& session) {
  const std::string result = session.api().request("GET", target_of_pool(session.invocation().get("POOL")));
  print_pool(session, result);
  for (const auto& warning : warnings_of(result)) session.warn(without_control_characters(warning));
  return 0;
}

int grow_pool(Session& session) {
  const std::string& name = session.invocation().get("POOL");
  const std::string& size = session.invocation().get("SIZE");
  print_pool(session, perform(session, {.method = "POST",
                                        .target = target_of_pool(name) + "/grow",
                                        .body = RequestBody().set("size", byte_count(size)).text(),
                                        .heading = fmt::format("Growing pool {} to {}", name, size)}));
  return 0;
}

int trim_pool(Session& session) {
  const std::string& name = session.invocation().get("POOL");
  std::string result = perform(session, {.method = "POST",
                                         .target = target_of_pool(name) + "/trim",
                                         .heading = fmt::format("Giving pool {}'s free space back", name)});
  print_answer(session, {.json = result, .table = [&](const Terminal&) {
                           boost::json::value value = boost::json::parse(result);
                           Bytes bytes{value.at("trimmed_bytes").to_number<std::uint64_t>()};
                           return fmt::format("{} given back\n", format_bytes(bytes));
                         }});
  return 0;
}

Argument pool_argument(const std::string& help) {
  return {.name = "POOL", .kind = ValueKind::pool, .help = help};
}

}  // namespace

Command pool_commands() {
  Command create{
      .names = {"create"},
      .summary = "Create a pool in a directory, on a zpool or in an image file",
      .description =
          "Which driver it gets is found out from the file system. With none of directory, image and size, NAME "
          "is that of an imported zpool, and the pool its dataset NAME/pgtwig. Root only, where the daemon is "
          "root's.",
      .arguments = {{.name = "NAME", .kind = ValueKind::new_pool, .help = "the new pool's name"}},
      .options = {{.names = {"--directory"},
                   .value_name = "DIR",
                   .kind = ValueKind::directory,
                   .help = "an existing directory that will hold the volumes"},
                  {.names = {"--image"},
                   .value_name = "FILE",
                   .kind = ValueKind::file,
                   .help = "make the image file here, instead of below the state folder"},
                  {.names = {"--image-size", "--size"},
                   .value_name = "SIZE",
                   .kind = ValueKind::size,
                   .help = "make a sparse image file of this size and mount it"},
                  {.names = {"--driver"},
                   .value_name = "DRIVER",
                   .kind = ValueKind::choice,
                   .help = "btrfs, zfs, reflink or copy, instead of the best one that works",
                   .choices = {"btrfs", "zfs", "reflink", "copy"}},
                  {.names = {"--file-system"},
                   .value_name = "FS",
                   .kind = ValueKind::choice,
                   .help = "of the image: btrfs, xfs or zfs",
                   .choices = {"btrfs", "xfs", "zfs"}}},
      .formats = named_formats(),
      .examples = {{"pgtwig pool create fast --directory /mnt/nvme/pgtwig", ""},
                   {"pgtwig pool create tank", "on the zpool tank, as tank/pgtwig"},
                   {"pgtwig pool create images --image-size 20G", "where the file system can't copy on write"},
                   {"pgtwig pool create z --driver zfs --image /mnt/big/z.img --size 60G", "a zpool in a file"}},
      .run = create_pool};
  Command list{.names = {"list", "ls"},
               .summary = "List the pools",
               .options = {list_format_option()},
               .formats = named_formats(),
               .examples = {{"pgtwig pool list", ""}},
               .run = list_pools};
  Command get{.names = {"get", "show", "info"},
              .summary = "Show a pool",
              .arguments = {pool_argument("the pool")},
              .formats = named_formats(),
              .examples = {{"pgtwig pool get default", ""}},
              .run = get_pool};
  Command grow{.names = {"grow"},
               .summary = "Make an image pool larger",
               .arguments = {pool_argument("the pool"),
                             {.name = "SIZE", .kind = ValueKind::size, .help = "its new size, for example 100G"}},
               .formats = named_formats(),
               .examples = {{"pgtwig pool grow default 100G", ""}},
               .run = grow_pool};
  Command trim{.names = {"trim"},
               .summary = "Give a pool's free space back to the file system below",
               .arguments = {pool_argument("the pool")},
               .formats = plain_formats(),
               .examples = {{"pgtwig pool trim default", ""}},
               .run = trim_pool};
  return {.names = {"pool", "pools"},
          .summary = "Pools: where volumes are kept",
          .section = "The machine",
          .commands = {create, list, get, grow, trim}};
}

}  // namespace pgtwig::cli
