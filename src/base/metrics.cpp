#include "base/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pgtwig {
namespace {

using namespace std::chrono_literals;

// Upper bounds of the buckets: a branch is ready within a tenth of a second, a wake within half a one, a dump takes
// minutes.
constexpr std::array<std::chrono::milliseconds, 15> bounds{
    5ms, 10ms, 25ms, 50ms, 75ms, 100ms, 150ms, 250ms, 500ms, 1000ms, 2500ms, 5000ms, 10000ms, 60000ms, 300000ms};

double seconds(std::chrono::microseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string escaped(std::string_view text, bool is_label) {
  std::string result;
  for (const char c : text) {
    if (c == '\\') {
      result += "\\\\";
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '"' && is_label) {
      result += "\\\"";
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace

MetricText& MetricText::family(std::string_view name, std::string_view type, std::string_view help) {
  family_ = name;
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escaped(help, false), name, type);
  return *this;
}

MetricText& MetricText::sample(const MetricLabels& labels, double value, std::string_view suffix) {
  text_ += family_;
  text_ += suffix;
  std::string_view separator = "{";
  for (const auto& [name, label] : labels) {
    text_ += fmt::format("{}{}=\"{}\"", separator, name, escaped(label, true));
    separator = ",";
  }
  text_ += labels.empty() ? fmt::format(" {}\n", value) : fmt::format("}} {}\n", value);
  return *this;
}

Metrics::Durations::Durations() : counts_(bounds.size() + 1) {}

void Metrics::Durations::observe(std::chrono::microseconds duration) {
  const auto bucket = std::ranges::lower_bound(bounds, duration) - bounds.begin();
  const std::lock_guard lock(mutex_);
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_ += duration;
}

template <class Value>
Value& Metrics::find(std::map<std::string, Family<Value>>& families, const std::string& name, const std::string& help,
                     const MetricLabels& labels) {
  Family<Value>& family = families[name];
  if (family.help.empty()) family.help = help;
  auto& value = family.values[labels];
  if (!value) value = std::make_unique<Value>();
  return *value;
}

Metrics::Counter& Metrics::counter(const std::string& name, const std::string& help, const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  return find(counters_, name, help, labels);
}

Metrics::Durations& Metrics::durations(const std::string& name, const std::string& help, const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  return find(durations_, name, help, labels);
}

void Metrics::write(MetricText& text) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, family] : counters_) {
    text.family(name, "counter", family.help);
    for (const auto& [labels, counter] : family.values) text.sample(labels, static_cast<double>(counter->value()));
  }
  for (const auto& [name, family] : durations_) {
    text.family(name, "histogram", family.help);
    for (const auto& [labels, durations] : family.values) {
      const std::lock_guard values_lock(durations->mutex_);
      std::uint64_t count = 0;
      for (std::size_t bucket = 0; bucket < durations->counts_.size(); ++bucket) {
        count += durations->counts_[bucket];
        MetricLabels with_bound = labels;
        with_bound.emplace_back("le", bucket < bounds.size() ? fmt::format("{}", seconds(bounds[bucket])) : "+Inf");
        text.sample(with_bound, static_cast<double>(count), "_bucket");
      }
      text.sample(labels, seconds(durations->sum_), "_sum");
      text.sample(labels, static_cast<double>(count), "_count");
    }
  }
}

}  // namespace pgtwig
