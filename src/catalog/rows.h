// Records as rows: what a SELECT of all columns, in the order of schema.cpp, is read into, and the JSON that a column
// of several values holds.
#pragma once

#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/connection.h"

namespace pgtwig::catalog {

PoolRecord read_pool(Row row);
ProjectRecord read_project(Row row);
BranchRecord read_branch(Row row);
IncarnationRecord read_incarnation(Row row);
SnapshotRecord read_snapshot(Row row);
ScheduleRecord read_schedule(Row row);
SweepRecord read_sweep(Row row);
// All columns but `sequence`.
OperationRecord read_operation(Row row);

std::string settings_json(const Settings& settings);
std::string image_json(const std::optional<ImageRecord>& image);
std::string texts_json(const std::vector<std::string>& texts);
std::string steps_json(const std::vector<StepRecord>& steps);

}  // namespace pgtwig::catalog
