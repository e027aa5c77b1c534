#include "orchestrator/config/job_loader.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "orchestrator/config/error_list.h"
#include "orchestrator/config/field_value.h"
#include "orchestrator/config/job_checks.h"
#include "orchestrator/config/message_filler.h"
#include "orchestrator/config/nearest_word.h"
#include "orchestrator/config/textproto_reader.h"
#include "orchestrator/config/yaml_reader.h"
#include "policies/schedule/phase_schedule.h"

namespace sluice {
namespace {

// `a.b=value` as the tree that a file with the same content would give.
absl::StatusOr<Node> ReadOverride(const std::string& text, const std::string& source) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": expected key=value, such as training.seed=7"));
  }
  const std::string value = text.substr(equals + 1);
  if (value.size() > kMaxJobFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": value too long"));
  }
  Node node;
  if (absl::StripAsciiWhitespace(value).empty()) {  // `a.b=` is empty text
    node.kind = Node::Kind::kScalar;
    node.quoted = true;
  } else {
    SLUICE_ASSIGN_OR_RETURN(node, ReadYaml(value, source));
  }
  std::vector<std::string> path = absl::StrSplit(text.substr(0, equals), '.');
  if (path.size() > kMaxNodeDepth) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": key too long"));
  }
  for (auto part = path.rbegin(); part != path.rend(); ++part) {
    Node key;
    key.kind = Node::Kind::kScalar;
    key.text = *part;
    Node map;
    map.kind = Node::Kind::kMap;
    map.keys.push_back(std::move(key));
    map.values.push_back(std::move(node));
    node = std::move(map);
  }
  return node;
}

// Takes the key `phases` out of `root`. \return a map of it alone
Node TakePhases(Node& root) {
  Node taken;
  taken.kind = Node::Kind::kMap;
  taken.line = root.line;
  Node rest = taken;
  rest.kind = root.kind;
  if (root.kind != Node::Kind::kMap) return taken;
  for (size_t i = 0; i < root.keys.size(); ++i) {
    Node& into = root.keys[i].text == "phases" ? taken : rest;
    into.keys.push_back(std::move(root.keys[i]));
    into.values.push_back(std::move(root.values[i]));
  }
  root = std::move(rest);
  return taken;
}

// What a phase leaves out is the job's.
void InheritFrom(const proto::JobConfig& job, google::protobuf::Message& element) {
  auto* const phase = dynamic_cast<proto::Phase*>(&element);
  if (phase == nullptr) return;
  *phase->mutable_optimizer() = job.optimizer();
  *phase->mutable_schedule() = job.schedule();
  *phase->mutable_compression() = PhaseCompressionOf(job.compression());
}

}  // namespace

absl::StatusOr<JobFormat> JobFormatOf(absl::string_view path) {
  const std::string lower = absl::AsciiStrToLower(path);
  if (absl::EndsWith(lower, ".yaml") || absl::EndsWith(lower, ".yml")) return JobFormat::kYaml;
  if (absl::EndsWith(lower, ".json")) return JobFormat::kJson;
  if (absl::EndsWith(lower, ".textproto") || absl::EndsWith(lower, ".pbtxt")) {
    return JobFormat::kTextproto;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": expected a job file ending in .yaml, .yml, .json, .textproto or .pbtxt"));
}

absl::StatusOr<proto::JobConfig> ParseJob(absl::string_view text, JobFormat format,
                                          absl::string_view name,
                                          const std::vector<std::string>& overrides) {
  if (text.size() > kMaxJobFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": more than 1 MiB: is this really a job file?"));
  }
  proto::JobConfig job;
  SetDefaults(job);
  ErrorList errors;
  std::map<std::string, std::string> origins;

  const bool textproto = format == JobFormat::kTextproto;
  SLUICE_ASSIGN_OR_RETURN(Node root, textproto ? ReadTextproto(text, name) : ReadYaml(text, name));
  // All else comes first, wherever it is given: phases build on it.
  std::vector<std::pair<MessageFiller::Source, Node>> phases;
  const auto fill = [&](const MessageFiller::Source& source, Node node) {
    phases.emplace_back(source, TakePhases(node));
    MessageFiller(source, errors, origins).Fill(node, job);
  };
  fill({std::string(name), true, textproto}, std::move(root));
  for (const std::string& text : overrides) {
    const std::string shown = Quoted(text);
    const std::string source = absl::StrCat("--set ", shown.substr(1, shown.size() - 2));
    absl::StatusOr<Node> node = ReadOverride(text, source);
    if (!node.ok()) {
      errors.Add("command line", node.status().message());
      continue;
    }
    fill({source, false, false}, *std::move(node));
  }
  for (const auto& [source, node] : phases) {
    MessageFiller(source, errors, origins, [&job](google::protobuf::Message& element) {
      InheritFrom(job, element);
    }).Fill(node, job);
  }
  if (errors.empty()) CheckJob(job, origins, errors);
  SLUICE_RETURN_IF_ERROR(errors.ToStatus());
  return job;
}

absl::StatusOr<proto::JobConfig> LoadJob(const std::string& path,
                                         const std::vector<std::string>& overrides) {
  SLUICE_ASSIGN_OR_RETURN(const JobFormat format, JobFormatOf(path));
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const std::string why = absl::StrCat("cannot open job file ", path, ": ", strerror(errno));
    if (errno == ENOENT || errno == ENOTDIR) return absl::NotFoundError(why);
    return absl::PermissionDeniedError(why);
  }
  std::string text(kMaxJobFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof())) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read job file ", path, ": ", "is it a directory?"));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return ParseJob(text, format, path, overrides);
}

}  // namespace sluice
