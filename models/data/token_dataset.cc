#include "models/data/token_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/torch_guard.h"

namespace sluice {
namespace {

class TokenDataset : public Dataset {
 public:
  // `stream` is shared by both splits.
  TokenDataset(std::shared_ptr<const TokenStream> stream, int64_t begin, int64_t passages,
               const TokenOptions& options)
      : stream_(std::move(stream)), begin_(begin), passages_(passages) {
    shape_.input = {options.context};
    shape_.classes = options.vocabulary;
    shape_.target_per_position = true;
  }

  int64_t size() const override { return passages_; }
  const DataShape& shape() const override { return shape_; }

  absl::StatusOr<Batch> Make(absl::Span<const int64_t> indices,
                             const std::optional<Augmentation>&) const override {
    return TorchGuard("make a batch of tokens", [&] {
      const int64_t n = static_cast<int64_t>(indices.size()), context = shape_.input[0];
      Batch batch;
      batch.inputs = {at::empty({n, context}, at::kLong)};
      batch.targets = at::empty({n, context}, at::kLong);
      int64_t* input = batch.inputs[0].data_ptr<int64_t>();
      int64_t* target = batch.targets.data_ptr<int64_t>();
      std::vector<int64_t> passage(context + 1);
      for (int64_t index : indices) {
        stream_->Read(begin_ + index * (context + 1), absl::MakeSpan(passage));
        input = std::copy(passage.begin(), passage.end() - 1, input);
        target = std::copy(passage.begin() + 1, passage.end(), target);
      }
      return batch;
    });
  }

 private:
  const std::shared_ptr<const TokenStream> stream_;
  const int64_t begin_;  // its first token
  const int64_t passages_;
  DataShape shape_;
};

}  // namespace

absl::StatusOr<Datasets> LoadTokens(const std::string& path, const TokenOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(TokenStream opened,
                          TokenStream::Open(path, options.type, options.vocabulary));
  const auto stream = std::make_shared<const TokenStream>(std::move(opened));
  const int64_t passage = options.context + 1;
  const int64_t test =
      static_cast<int64_t>(static_cast<double>(stream->size()) * options.test_share);
  const int64_t train = stream->size() - test;
  if (train < passage || test < passage) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", stream->size(), " tokens, ", train, " to train on and ", test,
                     " to test on (data.test_share ", options.test_share, "), expected at least ",
                     passage, " of each: data.context ", options.context, " and one more"));
  }
  return Datasets{std::make_unique<TokenDataset>(stream, 0, train / passage, options),
                  std::make_unique<TokenDataset>(stream, train, test / passage, options)};
}

}  // namespace sluice
