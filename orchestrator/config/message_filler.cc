#include "orchestrator/config/message_filler.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/config/field_value.h"
#include "orchestrator/config/nearest_word.h"

namespace sluice {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool IsMessage(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
}

std::string Join(absl::string_view prefix, absl::string_view key) {
  return prefix.empty() ? std::string(key) : absl::StrCat(prefix, ".", key);
}

// Full paths of the keys named `leaf` in `type` and its groups. Groups do not contain themselves.
void FindLeaf(const Descriptor& type, const std::string& prefix, absl::string_view leaf,
              std::vector<std::string>& paths) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.name() == leaf) paths.push_back(Join(prefix, field.name()));
    if (IsMessage(field) && !field.is_repeated() && prefix.size() < 100) {
      FindLeaf(*field.message_type(), Join(prefix, field.name()), leaf, paths);
    }
  }
}

// `unknown key "x": did you mean "y"? Keys here: ...`.
std::string UnknownKey(const Descriptor& root, const Descriptor& type, const std::string& prefix,
                       const std::string& key) {
  std::vector<std::string> keys;
  for (int i = 0; i < type.field_count(); ++i) keys.push_back(type.field(i)->name());
  std::string hint = DidYouMean(key, keys);
  if (hint.empty()) {  // right word, wrong group
    std::vector<std::string> elsewhere;
    FindLeaf(root, "", key, elsewhere);
    if (elsewhere.size() == 1) hint = absl::StrCat(": did you mean \"", elsewhere[0], "\"?");
  }
  return absl::StrCat("unknown key ", Quoted(Join(prefix, key)), hint,
                      hint.empty() ? ". Keys here: " : " Keys here: ", absl::StrJoin(keys, ", "));
}

std::string KindText(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "nothing; leave the key out to have its default";
    case Node::Kind::kSequence:
      return "a list";
    case Node::Kind::kMap:
      return "a group of keys";
    case Node::Kind::kScalar:
      break;
  }
  return absl::StrCat(node.quoted ? "the text " : "", Quoted(node.text));
}

}  // namespace

MessageFiller::MessageFiller(Source source, ErrorList& errors,
                             std::map<std::string, std::string>& origins,
                             std::function<void(Message&)> begin_element)
    : source_(std::move(source)),
      errors_(errors),
      origins_(origins),
      begin_element_(std::move(begin_element)) {}

std::string MessageFiller::Where(int line) const {
  return source_.has_lines ? absl::StrCat(source_.name, ":", line) : source_.name;
}

void MessageFiller::Refuse(int line, absl::string_view what) { errors_.Add(Where(line), what); }

void MessageFiller::Fill(const Node& root, Message& message) {
  root_type_ = message.GetDescriptor();
  if (root.kind == Node::Kind::kNull) return;
  if (root.kind != Node::Kind::kMap) {
    Refuse(root.line, absl::StrCat("expected keys with values, such as `",
                                   root_type_->field(0)->name(), ": ...`, got ", KindText(root)));
    return;
  }
  FillGroup(root, "", message);
}

void MessageFiller::FillGroup(const Node& map, const std::string& prefix, Message& message) {
  std::map<std::string, int> seen;  // key to the line where it first was
  for (size_t i = 0; i < map.values.size(); ++i) {
    const Node& key = map.keys[i];
    const std::string path = Join(prefix, key.text);
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(key.text);
    if (field == nullptr) {
      Refuse(key.line, UnknownKey(*root_type_, *message.GetDescriptor(), prefix, key.text));
      continue;
    }
    const auto [first, is_new] = seen.emplace(key.text, key.line);
    if (!is_new && !(source_.keys_may_repeat && field->is_repeated())) {
      Refuse(key.line,
             absl::StrCat("duplicate key ", Quoted(path), ": first in line ", first->second));
      continue;
    }
    FillField(map.values[i], path, *field, !is_new, message);
  }
}

void MessageFiller::FillField(const Node& value, const std::string& path,
                              const FieldDescriptor& field, bool append, Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (!field.is_repeated()) {
    FillValue(value, path, field, message);
    return;
  }
  if (!append) reflection.ClearField(&message, &field);
  if (value.kind == Node::Kind::kSequence) {
    if (value.values.empty() && RuleOf(field).not_empty()) {
      Refuse(value.line, absl::StrCat(path, ": expected at least one value, got an empty list"));
    }
    for (const Node& element : value.values) {
      if (reflection.FieldSize(message, &field) >= kMostElements) {
        Refuse(element.line, absl::StrCat(path, ": expected at most ", kMostElements, " values"));
        break;
      }
      FillValue(element, path, field, message);
    }
    origins_[path] = Where(value.line);
  } else {
    FillValue(value, path, field, message);
  }
}

void MessageFiller::FillValue(const Node& value, const std::string& path,
                              const FieldDescriptor& field, Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const bool nothing = value.kind == Node::Kind::kNull;
  if (IsMessage(field) && (value.kind == Node::Kind::kMap || nothing)) {
    Message* group = nullptr;
    if (field.is_repeated()) {
      group = reflection.AddMessage(&message, &field);
      SetDefaults(*group);
      if (begin_element_) begin_element_(*group);
    } else {
      group = reflection.MutableMessage(&message, &field);
    }
    if (!nothing) FillGroup(value, path, *group);
    return;
  }
  if (IsMessage(field) || value.kind != Node::Kind::kScalar) {
    Refuse(value.line,
           absl::StrCat(path, ": expected ", DescribeExpected(field), ", got ", KindText(value)));
    return;
  }
  const absl::Status set = SetScalar(value, field, message);
  if (!set.ok()) {
    Refuse(value.line, absl::StrCat(path, ": ", std::string(set.message())));
    return;
  }
  origins_[path] = Where(value.line);
}

}  // namespace sluice
