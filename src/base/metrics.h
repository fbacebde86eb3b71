// Numbers that only grow, kept while the program runs and shown as text: who counts something asks for its counter once
// and keeps the reference. There is one registry, which main/ makes with the engine; whoever is given it may add to it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgtwig {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// The text format of Prometheus (its documentation, "Exposition formats", version 0.0.4), a family after the other.
class MetricText {
 public:
  // `type`: "counter", "gauge", "histogram".
  MetricText& family(std::string_view name, std::string_view type, std::string_view help);
  // Of the last family; `suffix` is put behind its name.
  MetricText& sample(const MetricLabels& labels, double value, std::string_view suffix = {});
  const std::string& text() const { return text_; }

 private:
  std::string family_;
  std::string text_;
};

class Metrics {
 public:
  class Counter {
   public:
    void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

   private:
    std::atomic<std::uint64_t> value_ = 0;
  };

  // Durations, from a millisecond to a few minutes.
  class Durations {
   public:
    Durations();
    void observe(std::chrono::microseconds duration);

   private:
    friend class Metrics;
    mutable std::mutex mutex_;
    std::vector<std::uint64_t> counts_;  // by bucket; the last one has no upper bound
    std::chrono::microseconds sum_{0};
  };

  // The one of this name and these labels, made at the first call; it lives as long as the registry. Names end in
  // "_total" and "_seconds", and one name always comes with one help.
  Counter& counter(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  Durations& durations(const std::string& name, const std::string& help, const MetricLabels& labels = {});

  void write(MetricText& text) const;

 private:
  template <class Value>
  struct Family {
    std::string help;
    std::map<MetricLabels, std::unique_ptr<Value>> values;
  };
  template <class Value>
  static Value& find(std::map<std::string, Family<Value>>& families, const std::string& name, const std::string& help,
                     const MetricLabels& labels);

  mutable std::mutex mutex_;
  std::map<std::string, Family<Counter>> counters_;
  std::map<std::string, Family<Durations>> durations_;
};

}  // namespace pgtwig
