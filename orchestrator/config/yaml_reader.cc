#include "orchestrator/config/yaml_reader.h"

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/mark.h"
#include "yaml-cpp/parser.h"

namespace sluice {
namespace {

// Builds the tree from yaml-cpp's events. The first refusal stands; later events are ignored, since
// a handler can only stop the parser by throwing.
class TreeBuilder : public YAML::EventHandler {
 public:
  bool refused() const { return !refusal_.empty(); }
  const std::string& refusal() const { return refusal_; }
  const YAML::Mark& refusal_mark() const { return refusal_mark_; }
  Node TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) Refuse(mark, "a second document: a job file holds one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (Accept(mark, "", anchor)) Add(mark, Node::Kind::kNull);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Refuse(mark, "aliases (*name) are not supported: write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (!Accept(mark, tag, anchor)) return;
    if (Node* node = Add(mark, Node::Kind::kScalar)) {
      node->text = value;
      node->quoted = tag == "!";
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    if (Accept(mark, tag, anchor)) Open(mark, Node::Kind::kSequence);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    if (Accept(mark, tag, anchor)) Open(mark, Node::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  void Refuse(const YAML::Mark& mark, absl::string_view why) {
    if (refused()) return;
    refusal_ = std::string(why);
    refusal_mark_ = mark;
  }

  // yaml-cpp gives "?" for plain and "!" for quoted scalars.
  bool Accept(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) Refuse(mark, "anchors (&name) are not supported");
    if (!tag.empty() && tag != "?" && tag != "!") {
      Refuse(mark, absl::StrCat("tags are not supported: ", tag.substr(0, 60)));
    }
    return !refused();
  }

  // The place for the next node, nullptr once refused. Valid until the next Add.
  Node* Add(const YAML::Mark& mark, Node::Kind kind) {
    if (++nodes_ > kMaxNodes) Refuse(mark, absl::StrCat("more than ", kMaxNodes, " values"));
    Node node;
    node.kind = kind;
    node.line = mark.line + 1;
    if (open_.empty()) {
      if (refused()) return nullptr;
      root_ = std::move(node);
      return &root_;
    }
    Node& parent = *open_.back();
    const bool is_key =
        parent.kind == Node::Kind::kMap && parent.keys.size() == parent.values.size();
    if (is_key && kind != Node::Kind::kScalar) Refuse(mark, "expected a word as the key");
    if (refused()) return nullptr;
    std::vector<Node>& siblings = is_key ? parent.keys : parent.values;
    siblings.push_back(std::move(node));
    return &siblings.back();
  }

  // Only the innermost open node gets children, so the pointers above it stay valid.
  void Open(const YAML::Mark& mark, Node::Kind kind) {
    if (open_.size() >= kMaxNodeDepth) {
      Refuse(mark, absl::StrCat("nested deeper than ", kMaxNodeDepth, " levels"));
    }
    if (Node* node = Add(mark, kind)) open_.push_back(node);
  }
  void Close() {
    if (!refused()) open_.pop_back();
  }

  Node root_;
  std::vector<Node*> open_;
  int nodes_ = 0;
  int documents_ = 0;
  std::string refusal_;
  YAML::Mark refusal_mark_;
};

absl::Status At(absl::string_view source, const YAML::Mark& mark, absl::string_view why) {
  return absl::InvalidArgumentError(
      mark.is_null() ? absl::StrCat(source, ": ", why)
                     : absl::StrCat(source, ":", mark.line + 1, ":", mark.column + 1, ": ", why));
}

}  // namespace

absl::StatusOr<Node> ReadYaml(absl::string_view text, absl::string_view source) {
  TreeBuilder builder;
  try {  // yaml-cpp throws; nothing leaves this function
    std::istringstream input{std::string(text)};
    YAML::Parser parser(input);
    while (!builder.refused() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    if (!builder.refused()) return At(source, error.mark, absl::StrCat("bad YAML: ", error.msg));
  } catch (const std::exception& error) {
    if (!builder.refused()) {
      return absl::InvalidArgumentError(absl::StrCat(source, ": bad YAML: ", error.what()));
    }
  }
  if (builder.refused()) return At(source, builder.refusal_mark(), builder.refusal());
  return builder.TakeRoot();
}

}  // namespace sluice
