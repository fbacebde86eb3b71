// The fields of each view and their names in JSON, once for both directions: json.cpp calls describe() with a Writer or
// with a Reader for `field`.
#pragma once

#include <concepts>
#include <type_traits>

#include "api/json.h"

namespace pgtwig::api {

template <class View, class Type>
concept Of = std::same_as<std::remove_const_t<View>, Type>;

template <class Field, Of<engine::StepView> View>
void describe(Field& field, View& view) {
  field("name", view.name);
  field("ms", view.ms);
}

template <class Field, Of<engine::SizeView> View>
void describe(Field& field, View& view) {
  field("logical_bytes", view.logical_bytes);
  field("unique_bytes", view.unique_bytes);
  field("shared_bytes", view.shared_bytes);
  field("measured_at", view.measured_at);
}

template <class Field, Of<engine::OriginView> View>
void describe(Field& field, View& view) {
  field("branch", view.branch);
  field("snapshot", view.snapshot);
  field("lsn", view.lsn);
  field("time", view.time);
}

template <class Field, Of<engine::WindowView> View>
void describe(Field& field, View& view) {
  field("from", view.from);
  field("to", view.to);
  field("from_lsn", view.from_lsn);
  field("to_lsn", view.to_lsn);
  field("is_open", view.is_open);
}

template <class Field, Of<engine::LineageView> View>
void describe(Field& field, View& view) {
  field("branch", view.branch);
  field("cause", view.cause);
  field("origin", view.origin);
  field("began_at", view.began_at);
}

template <class Field, Of<engine::BranchView> View>
void describe(Field& field, View& view) {
  field("name", view.name);
  field("project", view.project);
  field("branch", view.branch);
  field("parent", view.parent);
  field("state", view.state);
  field("host", view.host);
  field("port", view.port);
  field("url", view.url);
  field("pid", view.pid);
  field("pool", view.pool);
  field("driver", view.driver);
  field("method", view.method);
  field("runtime", view.runtime);
  field("pg_version", view.pg_version);
  field("cpus", view.cpus);
  field("memory", view.memory);
  field("durability", view.durability);
  field("created_at", view.created_at);
  field("started_at", view.started_at);
  field("expires_at", view.expires_at);
  field("suspend_after", view.suspend_after);
  field("connections", view.connections);
  field("size", view.size);
  field("origin", view.origin);
  field("settings", view.settings);
  field("held_back", view.held_back);
  field("windows", view.windows);
  field("lineage", view.lineage);
  field("warnings", view.warnings);
  field("steps", view.steps);
  field("total_ms", view.total_ms);
}

template <class Field, Of<engine::ProjectView> View>
void describe(Field& field, View& view) {
  field("name", view.name);
  field("pool", view.pool);
  field("driver", view.driver);
  field("method", view.method);
  field("runtime", view.runtime);
  field("pg_version", view.pg_version);
  field("image", view.image);
  field("image_id", view.image_id);
  field("branch_count", view.branch_count);
  field("running_count", view.running_count);
  field("suspend_after", view.suspend_after);
  field("settings", view.settings);
  field("files", view.files);
  field("created_at", view.created_at);
  field("warnings", view.warnings);
  field("steps", view.steps);
  field("total_ms", view.total_ms);
  field("main", view.main);
}

template <class Field, Of<engine::PoolView> View>
void describe(Field& field, View& view) {
  field("name", view.name);
  field("state", view.state);
  field("driver", view.driver);
  field("method", view.method);
  field("directory", view.directory);
  field("image", view.image);
  field("total_bytes", view.total_bytes);
  field("free_bytes", view.free_bytes);
  field("volume_count", view.volume_count);
  field("foreign", view.foreign);
  field("unowned", view.unowned);
  field("is_default", view.is_default);
  field("created_at", view.created_at);
  field("warnings", view.warnings);
}

template <class Field, Of<engine::OperationView> View>
void describe(Field& field, View& view) {
  field("id", view.id);
  field("kind", view.kind);
  field("target", view.target);
  field("state", view.state);
  field("steps", view.steps);
  field("error", view.error);
  field("started_at", view.started_at);
  field("finished_at", view.finished_at);
  field("total_ms", view.total_ms);
}

template <class Field, Of<engine::CredentialsView> View>
void describe(Field& field, View& view) {
  field("url", view.url);
  field("endpoint_url", view.endpoint_url);
  field("password", view.password);
  field("user", view.user);
  field("host", view.host);
  field("port", view.port);
  field("database", view.database);
}

template <class Field, Of<engine::SnapshotView> View>
void describe(Field& field, View& view) {
  field("id", view.id);
  field("name", view.name);
  field("project", view.project);
  field("branch", view.branch);
  field("snapshot", view.snapshot);
  field("message", view.message);
  field("kind", view.kind);
  field("lsn", view.lsn);
  field("created_at", view.created_at);
  field("branches", view.branches);
  field("pool", view.pool);
  field("method", view.method);
  field("warnings", view.warnings);
  field("steps", view.steps);
  field("total_ms", view.total_ms);
}

template <class Field, Of<SnapshotCleanupView> View>
void describe(Field& field, View& view) {
  field("deleted", view.deleted);
  field("kept", view.kept);
  field("is_dry_run", view.is_dry_run);
}

template <class Field, Of<engine::ScheduleView> View>
void describe(Field& field, View& view) {
  field("branch", view.branch);
  field("every", view.every);
  field("keep", view.keep);
  field("is_default", view.is_default);
  field("last", view.last);
  field("next", view.next);
}

template <class Field, Of<engine::LogEntryView> View>
void describe(Field& field, View& view) {
  field("time", view.time);
  field("kind", view.kind);
  field("id", view.id);
  field("text", view.text);
  field("lsn", view.lsn);
}

template <class Field, Of<engine::GapView> View>
void describe(Field& field, View& view) {
  field("from", view.from);
  field("to", view.to);
  field("reason", view.reason);
}

template <class Field, Of<engine::WalView> View>
void describe(Field& field, View& view) {
  field("branch", view.branch);
  field("is_archiving", view.is_archiving);
  field("why_not", view.why_not);
  field("segments", view.segments);
  field("bytes", view.bytes);
  field("limit", view.limit);
  field("oldest", view.oldest);
  field("newest", view.newest);
  field("gaps", view.gaps);
  field("windows", view.windows);
}

template <class Field, Of<engine::WalProblemView> View>
void describe(Field& field, View& view) {
  field("branch", view.branch);
  field("segment", view.segment);
  field("problem", view.problem);
}

template <class Field, Of<engine::WalVerifyView> View>
void describe(Field& field, View& view) {
  field("segments", view.segments);
  field("problems", view.problems);
  field("windows", view.windows);
}

template <class Field, Of<engine::WalCleanupView> View>
void describe(Field& field, View& view) {
  field("removed_segments", view.removed_segments);
  field("removed_bytes", view.removed_bytes);
  field("kept_segments", view.kept_segments);
  field("kept_because", view.kept_because);
  field("is_dry_run", view.is_dry_run);
}

template <class Field, Of<engine::EndpointSessionsView> View>
void describe(Field& field, View& view) {
  field("branch", view.branch);
  field("sessions", view.sessions);
}

template <class Field, Of<engine::EndpointView> View>
void describe(Field& field, View& view) {
  field("host", view.host);
  field("port", view.port);
  field("domain", view.domain);
  field("certificate", view.certificate);
  field("problem", view.problem);
  field("connections", view.connections);
  field("sessions", view.sessions);
}

template <class Field, Of<engine::MetricsPlaceView> View>
void describe(Field& field, View& view) {
  field("host", view.host);
  field("port", view.port);
  field("problem", view.problem);
}

template <class Field, Of<engine::StatusView> View>
void describe(Field& field, View& view) {
  field("version", view.version);
  field("pid", view.pid);
  field("root", view.root);
  field("started_at", view.started_at);
  field("pools", view.pools);
  field("branches", view.branches);
  field("postgres_versions", view.postgres_versions);
  field("endpoint", view.endpoint);
  field("metrics", view.metrics);
}

template <class Field, Of<engine::Event> View>
void describe(Field& field, View& view) {
  field("type", view.type);
  field("operation", view.operation);
  field("kind", view.kind);
  field("target", view.target);
  field("text", view.text);
  field("ms", view.ms);
  field("time", view.time);
}

template <class Field, Of<VersionView> View>
void describe(Field& field, View& view) {
  field("version", view.version);
  field("pid", view.pid);
  field("root", view.root);
  field("started_at", view.started_at);
}

}  // namespace pgtwig::api
