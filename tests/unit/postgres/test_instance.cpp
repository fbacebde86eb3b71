// See test_instance.h.
#include "tests/unit/postgres/test_instance.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/made_once.h"

namespace pgtwig::postgres {

std::uint16_t free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw system_error(errno, "cannot find a free port");
  }
  return ntohs(address.sin_port);
}

TestInstance::TestInstance(const std::filesystem::path& directory, const Installation& installation)
    : directory_(directory), installation_(installation) {
  configuration.files.directory = directory / "i";
  configuration.data_directory = directory / "data";
  configuration.user = pgtwig::support::postgres_user();
  configuration.daemon = OsUser::current();
  configuration.port = free_port();
  configuration.cluster_name = "test/main";
  configuration.defaults = default_settings(installation.major, true);
  configuration.defaults.emplace_back("shared_buffers", "16MB");
  configuration.overrides = {{"fsync", "off"}};
  configuration.pg_major = installation.major;
}

TestInstance::~TestInstance() {
  try {
    runtime_->stop(spec(), runtime::StopMode::immediate, std::chrono::seconds(30));
  } catch (const Error& error) {
    ADD_FAILURE() << "cannot stop: " << error.message();
  }
}

void TestInstance::init() {
  const auto cluster =
      pgtwig::support::made_once(std::to_string(installation_.major),
                                 [this](const std::filesystem::path& directory) { make(directory, default_locale); });
  pgtwig::support::copy_tree(cluster, data());
}

void TestInstance::init_anew(const std::string& locale) {
  make(data(), locale);
}

void TestInstance::make(const std::filesystem::path& directory, const std::string& locale) const {
  init_cluster(installation_, {.data_directory = directory,
                               .user = configuration.user,
                               .password = test_password,
                               .locale = locale,
                               .is_synced = false});
}

void TestInstance::copy_data_from(const TestInstance& source) {
  pgtwig::support::copy_tree(source.data(), data());
}

runtime::InstanceSpec TestInstance::spec() const {
  return {.id = id_,
          .postgres = installation_.program("postgres"),
          .data_directory = data(),
          .directory = configuration.files.directory,
          .log_file = log_file(),
          .settings = command_line_settings(configuration),
          .user = configuration.user,
          .environment = {}};
}

ProcessHandle TestInstance::launch() {
  write_instance_files(configuration);
  log_offset_ = log().size();
  return std::move(runtime_->start(spec())).value();
}

Connection TestInstance::wait(const ProcessHandle& postmaster) {
  ReadinessProbe probe{.connect = {.socket_directory = sockets(), .port = configuration.port},
                       .data_directory = data(),
                       .log_file = log_file(),
                       .log_offset = log_offset_};
  return wait_until_ready(postmaster, probe);
}

Connection TestInstance::start() {
  return wait(launch());
}

void TestInstance::stop(runtime::StopMode mode) {
  runtime_->stop(spec(), mode, std::chrono::seconds(30));
}

Connection TestInstance::connect(const std::string& database) const {
  return Connection::open({.socket_directory = sockets(), .port = configuration.port, .database = database});
}

CommandResult TestInstance::run_psql(const std::string& sql, const std::string& host, const std::string& user,
                                     const std::string& password, const std::string& database) const {
  Command psql;
  psql.argv = {installation_.program("psql"),      "-X", "-w", "-A", "-t",     "-h", host, "-p",
               std::to_string(configuration.port), "-U", user, "-d", database, "-c", sql};
  psql.environment = {{"PGPASSWORD", password}};
  return run_command(psql);
}

}  // namespace pgtwig::postgres
