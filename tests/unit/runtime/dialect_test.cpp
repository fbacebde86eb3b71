// The command lines for docker, podman and nerdctl, to the letter. No engine is run here.
#include "runtime/container/dialect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "runtime/container/engine_command.h"
#include "runtime/container/engine_images.h"
#include "tests/support/errors.h"

namespace pgtwig::runtime {
namespace {

using pgtwig::support::code_of;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Not;

constexpr const char* id_text = "0123456789abcdef0123456789abcdef";

ContainerOptions options() {
  return {.installation = *InstallationId::parse("ffffffffffffffffffffffffffffffff"),
          .network = Network::host,
          .directory = "/run/pgtwig/containers",
          .is_rootless = false,
          .shared_memory = Bytes{1 << 30}};
}

InstanceSpec spec() {
  return {.id = *IncarnationId::parse(id_text),
          .postgres = {},
          .data_directory = "/pool/v/data",
          .directory = "/run/pgtwig/i/0123456789ab",
          .log_file = "/log",
          .settings = {{"port", "6001"}},
          .user = {.uid = 998, .gid = 997, .name = "pgtwig-pg"},
          .environment = {},
          .port = 6001,
          .image = "sha256:abc",
          .image_volumes = {"/var/lib/postgresql/data"},
          .shares = {{.path = "/helper"}, {.path = "/pool/.pgtwig-wal/v", .is_writable = true}},
          .limits = {.cpus = "1.5", .memory = "536870912"}};
}

std::string joined(const std::vector<std::string>& command) {
  std::string text;
  for (const std::string& word : command) text += (text.empty() ? "" : " ") + word;
  return text;
}

constexpr std::string_view names =
    "--detach --name pgtwig-0123456789abcdef0123456789abcdef --label "
    "pgtwig.installation=ffffffffffffffffffffffffffffffff "
    "--label pgtwig.incarnation=0123456789abcdef0123456789abcdef --pull never ";
constexpr std::string_view identity =
    "--user 998:997 --cap-drop ALL --security-opt no-new-privileges --mount "
    "type=bind,src=/run/pgtwig/containers/passwd,dst=/etc/passwd,readonly --mount "
    "type=bind,src=/run/pgtwig/containers/group,dst=/etc/group,readonly ";
constexpr std::string_view rest =
    "--network host --stop-signal SIGINT --stop-timeout 120 --shm-size 1073741824 --cpus 1.5 --memory 536870912 "
    "--mount "
    "type=tmpfs,dst=/var/lib/postgresql/data --mount type=bind,src=/pool/v/data,dst=/pool/v/data --mount "
    "type=bind,src=/run/pgtwig/i/0123456789ab,dst=/run/pgtwig/i/0123456789ab --mount "
    "type=bind,src=/helper,dst=/helper,readonly --mount type=bind,src=/pool/.pgtwig-wal/v,dst=/pool/.pgtwig-wal/v "
    "--workdir /pool/v/data --entrypoint postgres sha256:abc -D /pool/v/data -c port=6001";

std::string expected(std::string_view program, std::string_view run_options, std::string_view server_options) {
  return std::string(program) + " run " + std::string(names) + std::string(run_options) + std::string(identity) +
         std::string(server_options) + std::string(rest);
}

TEST(Dialect, OfDockerKeepsItsLogsAndTheMachinesUsers) {
  EXPECT_EQ(
      joined(server_command(dialect_of("docker"), options(), spec())),
      expected("docker", "--userns=host ", "--log-driver=json-file --log-opt=max-size=16m --log-opt=max-file=2 "));
}

TEST(Dialect, OfPodmanKeepsItsLogsWithoutAJournal) {
  EXPECT_EQ(joined(server_command(dialect_of("podman"), options(), spec())),
            expected("podman", "", "--log-driver=k8s-file --log-opt=max-size=16mb "));
}

TEST(Dialect, OfRootlessPodmanKeepsTheCallersId) {
  ContainerOptions rootless = options();
  rootless.is_rootless = true;
  EXPECT_EQ(joined(server_command(dialect_of("podman"), rootless, spec())),
            expected("podman", "--userns=keep-id ", "--log-driver=k8s-file --log-opt=max-size=16mb "));
}

TEST(Dialect, OfNerdctlIsThatOfDockerWithoutItsUserNamespaces) {
  EXPECT_EQ(joined(server_command(dialect_of("nerdctl"), options(), spec())),
            expected("nerdctl", "", "--log-driver=json-file --log-opt=max-size=16m --log-opt=max-file=2 "));
}

TEST(Dialect, PublishesTheOnePortOnLoopbackAlone) {
  ContainerOptions bridged = options();
  bridged.network = Network::bridge;
  const std::string command = joined(server_command(dialect_of("docker"), bridged, spec()));
  EXPECT_THAT(command, ::testing::HasSubstr(" --publish 127.0.0.1:6001:6001 "));
  EXPECT_THAT(command, Not(::testing::HasSubstr("--network")));
}

TEST(Dialect, RefusesAVolumeOfAnImageThatWouldMountSomethingElse) {
  InstanceSpec hostile = spec();
  hostile.image_volumes = {"/x,type=bind,src=/,dst=/host"};
  EXPECT_EQ(code_of([&] { server_command(dialect_of("docker"), options(), hostile); }), ErrorCode::invalid_argument);
}

TEST(Dialect, RunsAToolWithItsInputAndWithoutANetwork) {
  const Tool tool{.image = "sha256:abc",
                  .argv = {"initdb", "-D", "/pool/v/data"},
                  .user = {.uid = 998, .gid = 997, .name = "pgtwig-pg"},
                  .environment = {"PGPASSWORD"},
                  .shares = {{.path = "/pool/v/data", .is_writable = true}}};
  EXPECT_EQ(joined(tool_command(dialect_of("podman"), options(), tool)),
            "podman run --rm --interactive --network none --pull never " + std::string(identity) +
                "--env PGPASSWORD --mount type=bind,src=/pool/v/data,dst=/pool/v/data --workdir / --entrypoint initdb "
                "sha256:abc -D /pool/v/data");
}

TEST(Dialect, RefusesAPathThatAMountCannotName) {
  InstanceSpec with_comma = spec();
  with_comma.data_directory = "/pool/a,b/data";
  EXPECT_EQ(code_of([&] { server_command(dialect_of("docker"), options(), with_comma); }), ErrorCode::invalid_argument);
}

TEST(ContainerName, LeadsBackToItsIncarnationAndNoOtherNameDoes) {
  const IncarnationId id = IncarnationId::random();
  EXPECT_EQ(incarnation_of(container_name(id)), id);
  EXPECT_EQ(incarnation_of("pgtwig-mine"), std::nullopt);
  EXPECT_EQ(incarnation_of(id.text()), std::nullopt);
}

TEST(EngineWords, SayWhatWentWrongInEachDialect) {
  EXPECT_EQ(classify("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"),
            EngineFailure::absent);
  EXPECT_EQ(classify("permission denied while trying to connect to the Docker daemon socket at unix:///x"),
            EngineFailure::absent);
  EXPECT_EQ(classify("docker: Error response from daemon: No such image: nosuch:latest."),
            EngineFailure::image_missing);
  EXPECT_EQ(classify("Error: nosuch: image not known"), EngineFailure::image_missing);
  EXPECT_EQ(classify("Error: No such container: x"), EngineFailure::no_container);
  EXPECT_EQ(classify("Error: no container with name or ID \"x\" found: no such container"),
            EngineFailure::no_container);
  EXPECT_EQ(classify("Conflict. The container name \"/x\" is already in use by container \"y\"."),
            EngineFailure::name_taken);
  EXPECT_EQ(classify("Error: creating container storage: the container name \"x\" is already in use by y."),
            EngineFailure::name_taken);
  EXPECT_EQ(classify("driver failed: Bind for 127.0.0.1:6001 failed: port is already allocated"),
            EngineFailure::port_taken);
  EXPECT_EQ(classify("OCI runtime create failed"), EngineFailure::other);
}

TEST(EngineWords, AreTheLastLineWithoutAdvice) {
  EXPECT_EQ(engine_words("docker: Error response from daemon: it broke.\nSee 'docker run --help'.\n"), "it broke.");
  EXPECT_EQ(engine_words("time=\"x\" level=warning msg=\"y\"\nError: it broke\n"), "it broke");
}

TEST(ImageInspection, IsReadFromEitherEnginesWords) {
  const Image image = parse_image_inspection(
      R"([{"Id": "sha256:abc", "Architecture": "amd64", "RepoDigests": ["postgres@sha256:d"],
           "Config": {"Volumes": {"/var/lib/postgresql/data": {}}}, "Size": 1}])");
  EXPECT_EQ(image.id, "sha256:abc");
  EXPECT_EQ(image.digest, "postgres@sha256:d");
  EXPECT_THAT(image.volumes, ElementsAre("/var/lib/postgresql/data"));
  const Image bare =
      parse_image_inspection(R"([{"Id": "abc", "Architecture": "arm64", "RepoDigests": [], "Config": {}}])");
  EXPECT_EQ(bare.digest, "");
  EXPECT_TRUE(bare.volumes.empty());
  EXPECT_EQ(code_of([] { parse_image_inspection("[]"); }), ErrorCode::internal);
}

}  // namespace
}  // namespace pgtwig::runtime
