#include "orchestrator/config/job_reference.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "orchestrator/config/field_value.h"
#include "proto/job.pb.h"

namespace sluice {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptorSet;

// Comments of messages and fields by full name, joined to one line.
std::map<std::string, std::string> Comments(const FileDescriptorSet& sources) {
  std::map<std::string, std::string> comments;
  for (const auto& file : sources.file()) {
    for (const auto& location : file.source_code_info().location()) {
      const auto& path = location.path();  // [4, message] or [4, message, 2, field]
      const bool message = path.size() == 2 && path[0] == 4;
      const bool field = path.size() == 4 && path[0] == 4 && path[2] == 2;
      if (!message && !field) continue;
      const auto& type = file.message_type(path[1]);
      std::string name = absl::StrCat(file.package(), ".", type.name());
      if (field) absl::StrAppend(&name, ".", type.field(path[3]).name());
      std::string text =
          absl::StrCat(location.leading_comments(), " ", location.trailing_comments());
      text = absl::StrReplaceAll(text, {{"\n", " "}, {"|", "\\|"}});
      absl::RemoveExtraAsciiWhitespace(&text);
      comments[name] = text;
    }
  }
  return comments;
}

std::string DefaultText(const FieldDescriptor& field) {
  const std::string& text = RuleOf(field).default_value();
  if (field.is_repeated())
    return absl::StrCat("`[", absl::StrReplaceAll(text, {{",", ", "}}), "]`");
  return text.empty() ? "empty" : absl::StrCat("`", text, "`");
}

std::string AcceptsText(const FieldDescriptor& field) {
  const std::string one = DescribeExpected(field);
  return field.is_repeated() ? absl::StrCat("list, each ", one) : one;
}

void AppendGroup(const Descriptor& type, const std::map<std::string, std::string>& comments,
                 const std::string& title, std::set<const Descriptor*>& described,
                 std::string& page) {
  described.insert(&type);
  const auto comment_of = [&](const std::string& name) {
    const auto found = comments.find(name);
    return found == comments.end() ? std::string() : found->second;
  };
  absl::StrAppend(&page, "\n## ", title, "\n\n");
  const std::string about = comment_of(type.full_name());
  if (!about.empty() && type.full_name() != proto::JobConfig::descriptor()->full_name()) {
    absl::StrAppend(&page, about, "\n\n");
  }
  page += "| key | default | accepts | meaning |\n| --- | --- | --- | --- |\n";
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.message_type() != nullptr) continue;
    absl::StrAppend(&page, "| `", field.name(), "` | ", DefaultText(field), " | ",
                    AcceptsText(field), " | ", comment_of(field.full_name()), " |\n");
  }
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.message_type() == nullptr) continue;
    if (described.count(field.message_type()) > 0) {
      absl::StrAppend(&page, "\nIts `", field.name(), "` has the keys of the job's.\n");
      continue;
    }
    AppendGroup(*field.message_type(), comments,
                absl::StrCat(field.is_repeated() ? "list of `" : "`", field.name(), "`"), described,
                page);
  }
}

}  // namespace

std::string JobReference(const FileDescriptorSet& sources) {
  std::string page;
  std::set<const Descriptor*> described;
  AppendGroup(*proto::JobConfig::descriptor(), Comments(sources), "Top level", described, page);
  return page;
}

absl::StatusOr<std::string> WithJobReference(const std::string& page,
                                             const std::string& reference) {
  const size_t mark = page.find(kJobReferenceMark);
  if (mark == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("the page has no line ", kJobReferenceMark));
  }
  return page.substr(0, mark) + kJobReferenceMark + reference;
}

}  // namespace sluice
