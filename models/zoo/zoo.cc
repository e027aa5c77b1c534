#include "models/zoo/zoo.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Functions.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "models/torch_guard.h"
#include "models/torchscript/torchscript_network.h"
#include "models/zoo/bert.h"
#include "models/zoo/cnn.h"
#include "models/zoo/densenet.h"
#include "models/zoo/example.h"
#include "models/zoo/gpt.h"
#include "models/zoo/mlp.h"
#include "models/zoo/mobilenet_v2.h"
#include "models/zoo/resnet.h"
#include "models/zoo/vgg.h"
#include "models/zoo/vit.h"

namespace sluice {
namespace {

// Fields of `model` that a network heeds.
enum Heeds : unsigned { kWidth = 1, kDepth = 2, kHeads = 4, kPatch = 8, kDropout = 16 };
constexpr unsigned kTransformer = kWidth | kDepth | kHeads | kDropout;

enum class Takes { kAnything, kImages, kTokens };

struct Entry {
  const char* name;
  std::shared_ptr<Network> (*make)(const proto::Model& model, const DataShape& shape);
  Takes takes;
  unsigned heeds;
  absl::Status (*check)(const proto::Model& model, const DataShape& shape) = nullptr;
};

constexpr Entry kNetworks[] = {
    {"mlp", MakeMlp, Takes::kAnything, kWidth | kDepth | kDropout},
    {"cnn", MakeCnn, Takes::kImages, 0},
    {"vgg11", MakeVgg11, Takes::kImages, kDropout},
    {"vgg16", MakeVgg16, Takes::kImages, kDropout},
    {"resnet18", MakeResnet18, Takes::kImages, 0},
    {"resnet50", MakeResnet50, Takes::kImages, 0},
    {"densenet121", MakeDensenet121, Takes::kImages, 0},
    {"mobilenetv2", MakeMobilenetV2, Takes::kImages, kDropout},
    {"vit", MakeVit, Takes::kImages, kTransformer | kPatch, CheckVit},
    {"gpt", MakeGpt, Takes::kTokens, kTransformer, CheckGpt},
    {"bert", MakeBert, Takes::kTokens, kTransformer, CheckBert},
};

constexpr int64_t kSmallestSide = 8;  // pixels

absl::StatusOr<std::shared_ptr<Network>> BuildTorchScript(const proto::Model& model,
                                                          const DataShape& shape) {
  constexpr int64_t kSamples = 3;
  std::vector<int64_t> logits = {kSamples, shape.classes};
  if (shape.target_per_position) logits.insert(logits.begin() + 1, shape.input.front());
  return LoadTorchScript(model.torchscript(), ExampleOf(shape, kSamples), logits);
}

// What is set, but not heeded by `entry`.
absl::Status CheckHeeded(const proto::Model& model, const Entry& entry) {
  const struct {
    Heeds bit;
    const char* name;
    bool set;
  } fields[] = {{kWidth, "width", model.width() != 0},
                {kDepth, "depth", model.depth() != 0},
                {kHeads, "heads", model.heads() != 0},
                {kPatch, "patch", model.patch() != 0},
                {kDropout, "dropout", model.dropout() != 0}};
  for (const auto& field : fields) {
    if (!field.set || (entry.heeds & field.bit) != 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("model.", field.name, " is set, but ", entry.name, " has none: leave it out"));
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const DataShape& shape, const Entry& entry) {
  const bool images = shape.input.size() == 3 && !shape.target_per_position;
  const bool tokens = shape.input.size() == 1;
  const auto refuse = [&](absl::string_view takes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.name is \"", entry.name, "\": it takes ", takes, ", data.dataset has samples of ",
        absl::StrJoin(shape.input, " x "), shape.more_inputs.empty() ? "" : " and more inputs",
        shape.target_per_position ? ", with a target per position, in " : " in ", shape.classes,
        " classes"));
  };
  switch (entry.takes) {
    case Takes::kAnything:
      if (shape.target_per_position) return refuse("samples with one target");
      return absl::OkStatus();
    case Takes::kImages:
      if (images && shape.more_inputs.empty() &&
          std::min(shape.input[1], shape.input[2]) >= kSmallestSide) {
        return absl::OkStatus();
      }
      return refuse(absl::StrCat("images from ", kSmallestSide, " x ", kSmallestSide, " on"));
    case Takes::kTokens:
      break;
  }
  if (tokens && shape.more_inputs.empty()) return absl::OkStatus();
  return refuse("tokens");
}

}  // namespace

absl::StatusOr<std::shared_ptr<Network>> BuildNetwork(const proto::Model& model,
                                                      const DataShape& shape, uint64_t seed) {
  if (!model.torchscript().empty()) return BuildTorchScript(model, shape);
  const auto entry = std::find_if(std::begin(kNetworks), std::end(kNetworks),
                                  [&](const Entry& one) { return one.name == model.name(); });
  if (entry == std::end(kNetworks)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.name is \"", model.name(), "\": expected one of ",
        absl::StrJoin(kNetworks, ", ",
                      [](std::string* out, const Entry& one) { out->append(one.name); })));
  }
  SLUICE_RETURN_IF_ERROR(CheckHeeded(model, *entry));
  SLUICE_RETURN_IF_ERROR(CheckShape(shape, *entry));
  if (entry->check != nullptr) SLUICE_RETURN_IF_ERROR(entry->check(model, shape));
  return TorchGuard(absl::StrCat("build model ", model.name()), [&] {
    at::manual_seed(RandomKey(seed).With("weights").value());
    return entry->make(model, shape);
  });
}

}  // namespace sluice
