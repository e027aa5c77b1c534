#include "comm/reducer/reducer_state.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "comm/reducer/little_endian.h"

namespace sluice {
namespace {

constexpr char kMagic[4] = {'S', 'L', 'R', 'S'};
constexpr uint32_t kFormatVersion = 1;
constexpr size_t kTensorHeaderBytes = 40;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are copied as they are");

template <class T>
void Append(T value, std::string& out) {
  std::byte bytes[sizeof(T)];
  StoreLittleEndian(value, bytes);
  out.append(reinterpret_cast<const char*>(bytes), sizeof(T));
}

void Append(absl::Span<const std::byte> bytes, std::string& out) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

uint64_t BitsOf(double value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// Hands out bytes from the front, never more than there are.
class Cursor {
 public:
  explicit Cursor(absl::string_view bytes)
      : rest_(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()) {}

  size_t remaining() const { return rest_.size(); }

  absl::StatusOr<absl::Span<const std::byte>> Take(uint64_t count, absl::string_view what) {
    if (count > rest_.size()) {
      return absl::DataLossError(absl::StrCat("reducer state: ", what, " of ", count,
                                              " bytes, but only ", rest_.size(), " are left"));
    }
    const auto taken = rest_.first(static_cast<size_t>(count));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  absl::StatusOr<absl::Span<const std::byte>> TakeFloats(uint64_t count, absl::string_view what) {
    if (count > rest_.size() / sizeof(float)) {
      return absl::DataLossError(absl::StrCat("reducer state: ", what, " of ", count,
                                              " floats, but only ", rest_.size(),
                                              " bytes are left"));
    }
    return Take(count * sizeof(float), what);
  }

 private:
  absl::Span<const std::byte> rest_;
};

absl::StatusOr<ReducerState::Tensor> ReadTensor(Cursor& cursor) {
  SLUICE_ASSIGN_OR_RETURN(const auto header,
                          cursor.Take(kTensorHeaderBytes, "a tensor's description"));
  ReducerState::Tensor tensor;
  const auto name_bytes = LoadLittleEndian<uint32_t>(header.data());
  tensor.reduced = static_cast<int32_t>(LoadLittleEndian<uint32_t>(header.data() + 4));
  const auto elements = LoadLittleEndian<uint64_t>(header.data() + 8);
  const auto residual = LoadLittleEndian<uint64_t>(header.data() + 16);
  const auto left = LoadLittleEndian<uint64_t>(header.data() + 24);
  const auto right = LoadLittleEndian<uint64_t>(header.data() + 32);
  SLUICE_ASSIGN_OR_RETURN(const auto name, cursor.Take(name_bytes, "a tensor's name"));
  tensor.name = {reinterpret_cast<const char*>(name.data()), name.size()};
  tensor.elements = static_cast<int64_t>(elements);
  if (tensor.elements <= 0 || (residual != 0 && residual != elements) ||
      (left == 0) != (right == 0) || tensor.reduced < 0) {
    return absl::DataLossError(absl::StrCat(
        "reducer state: tensor of ", tensor.elements, " elements with ", residual,
        " residuals, factors of ", left, " and ", right, ", ", tensor.reduced, " columns reduced"));
  }
  SLUICE_ASSIGN_OR_RETURN(tensor.residual, cursor.TakeFloats(residual, "a residual"));
  SLUICE_ASSIGN_OR_RETURN(tensor.left, cursor.TakeFloats(left, "a left factor"));
  SLUICE_ASSIGN_OR_RETURN(tensor.right, cursor.TakeFloats(right, "a right factor"));
  return tensor;
}

// Sums of the residuals of one tensor over old ranks.
void AddFloats(absl::Span<const std::byte> bytes, std::vector<float>& sum) {
  sum.resize(bytes.size() / sizeof(float));
  for (size_t i = 0; i < sum.size(); ++i) {
    float value = 0;
    std::memcpy(&value, bytes.data() + i * sizeof(float), sizeof(float));
    sum[i] += value;
  }
}

absl::Status CheckSameOrigin(const ReducerState& a, const ReducerState& b) {
  if (a.next_step != b.next_step || a.world_size != b.world_size) {
    return absl::FailedPreconditionError(
        absl::StrCat("reducer states of different moments: ", ToString(a.rank), " of ",
                     a.world_size, " before ", ToString(a.next_step), ", ", ToString(b.rank),
                     " of ", b.world_size, " before ", ToString(b.next_step)));
  }
  if (!(a.rank < b.rank)) {
    return absl::FailedPreconditionError(absl::StrCat("reducer states of ", ToString(b.rank),
                                                      " after ", ToString(a.rank),
                                                      ": expected ascending ranks"));
  }
  if (a.tensors.size() != b.tensors.size()) {
    return absl::FailedPreconditionError(absl::StrCat("reducer states of ", a.tensors.size(),
                                                      " and ", b.tensors.size(), " tensors, ",
                                                      ToString(a.rank), " and ", ToString(b.rank)));
  }
  for (size_t t = 0; t < a.tensors.size(); ++t) {
    if (a.tensors[t].name == b.tensors[t].name && a.tensors[t].elements == b.tensors[t].elements) {
      continue;
    }
    return absl::FailedPreconditionError(
        absl::StrCat("reducer states of different models: \"", a.tensors[t].name, "\" of ",
                     a.tensors[t].elements, " elements on ", ToString(a.rank), ", \"",
                     b.tensors[t].name, "\" of ", b.tensors[t].elements, " on ", ToString(b.rank)));
  }
  return absl::OkStatus();
}

}  // namespace

std::string WriteReducerState(const ReducerState& state) {
  std::string out;
  size_t bytes = 128 + state.window_sums.size() + state.sent_window.size();
  for (const ReducerState::Tensor& tensor : state.tensors) {
    bytes += kTensorHeaderBytes + tensor.name.size() + tensor.residual.size() + tensor.left.size() +
             tensor.right.size();
  }
  out.reserve(bytes);
  out.append(kMagic, sizeof(kMagic));
  Append(kFormatVersion, out);
  Append(static_cast<uint64_t>(state.next_step.value), out);
  Append(static_cast<uint32_t>(state.world_size), out);
  Append(static_cast<uint32_t>(state.rank.value), out);
  Append(state.chunk_key, out);
  Append(static_cast<uint64_t>(state.window), out);
  Append(BitsOf(state.window_weight), out);
  Append(static_cast<uint64_t>(state.window_sums.size() / sizeof(float)), out);
  Append(static_cast<uint64_t>(state.sent_window.size()), out);
  Append(static_cast<uint64_t>(state.tensors.size()), out);
  Append(state.window_sums, out);
  Append(state.sent_window, out);
  for (const ReducerState::Tensor& tensor : state.tensors) {
    Append(static_cast<uint32_t>(tensor.name.size()), out);
    Append(static_cast<uint32_t>(tensor.reduced), out);
    Append(static_cast<uint64_t>(tensor.elements), out);
    Append(static_cast<uint64_t>(tensor.residual.size() / sizeof(float)), out);
    Append(static_cast<uint64_t>(tensor.left.size() / sizeof(float)), out);
    Append(static_cast<uint64_t>(tensor.right.size() / sizeof(float)), out);
    out.append(tensor.name.data(), tensor.name.size());
    Append(tensor.residual, out);
    Append(tensor.left, out);
    Append(tensor.right, out);
  }
  return out;
}

absl::StatusOr<ReducerState> ReadReducerState(absl::string_view bytes) {
  constexpr size_t kHeaderBytes = 72;
  Cursor cursor(bytes);
  SLUICE_ASSIGN_OR_RETURN(const auto header, cursor.Take(kHeaderBytes, "a header"));
  const std::byte* const in = header.data();
  if (std::memcmp(in, kMagic, sizeof(kMagic)) != 0) {
    return absl::DataLossError("reducer state does not start with \"SLRS\"");
  }
  if (const auto format = LoadLittleEndian<uint32_t>(in + 4); format != kFormatVersion) {
    return absl::DataLossError(
        absl::StrCat("reducer state of format ", format, ", this program reads ", kFormatVersion));
  }
  ReducerState state;
  state.next_step = Step(static_cast<int64_t>(LoadLittleEndian<uint64_t>(in + 8)));
  state.world_size = static_cast<int>(LoadLittleEndian<uint32_t>(in + 16));
  state.rank = Rank(static_cast<int32_t>(LoadLittleEndian<uint32_t>(in + 20)));
  state.chunk_key = LoadLittleEndian<uint64_t>(in + 24);
  state.window = static_cast<int64_t>(LoadLittleEndian<uint64_t>(in + 32));
  const auto weight_bits = LoadLittleEndian<uint64_t>(in + 40);
  std::memcpy(&state.window_weight, &weight_bits, sizeof(weight_bits));
  const auto window_floats = LoadLittleEndian<uint64_t>(in + 48);
  const auto sent_bytes = LoadLittleEndian<uint64_t>(in + 56);
  const auto tensors = LoadLittleEndian<uint64_t>(in + 64);
  if (state.next_step < Step(0) || state.rank < Rank(0) || state.rank >= Rank(state.world_size)) {
    return absl::DataLossError(absl::StrCat("reducer state before ", ToString(state.next_step),
                                            " of ", ToString(state.rank), " of ",
                                            state.world_size));
  }
  if (state.window < -1 || !(state.window_weight >= 0) || std::isinf(state.window_weight)) {
    return absl::DataLossError(absl::StrCat("reducer state with window ", state.window,
                                            " of weight ", state.window_weight));
  }
  SLUICE_ASSIGN_OR_RETURN(state.window_sums, cursor.TakeFloats(window_floats, "a window"));
  SLUICE_ASSIGN_OR_RETURN(state.sent_window, cursor.Take(sent_bytes, "a window's message"));
  if (tensors > cursor.remaining() / kTensorHeaderBytes) {
    return absl::DataLossError(absl::StrCat("reducer state of ", tensors, " tensors, but only ",
                                            cursor.remaining(), " bytes are left"));
  }
  state.tensors.reserve(static_cast<size_t>(tensors));
  for (uint64_t t = 0; t < tensors; ++t) {
    SLUICE_ASSIGN_OR_RETURN(ReducerState::Tensor tensor, ReadTensor(cursor));
    state.tensors.push_back(tensor);
  }
  if (cursor.remaining() > 0) {
    return absl::DataLossError(
        absl::StrCat("reducer state with ", cursor.remaining(), " bytes after its end"));
  }
  return state;
}

uint64_t ChunkKey(const BucketLayout& layout) {
  RandomKey key(static_cast<uint64_t>(layout.world_size()));
  for (const BucketLayout::Bucket& bucket : layout.buckets()) {
    key = key.With(static_cast<uint64_t>(bucket.elements));
    for (const BucketLayout::Chunk& chunk : bucket.chunks) {
      key = key.With(static_cast<uint64_t>(chunk.range.begin));
    }
  }
  return key.value();
}

absl::StatusOr<MergedReducerState> MergeReducerStates(absl::Span<const absl::string_view> old,
                                                      Rank rank, int world_size) {
  std::vector<ReducerState> states;
  for (size_t i = 0; i < old.size(); ++i) {
    auto state = ReadReducerState(old[i]);
    if (!state.ok()) return Annotate(state.status(), absl::StrCat("state ", i));
    if (i > 0) SLUICE_RETURN_IF_ERROR(CheckSameOrigin(states.back(), *state));
    states.push_back(*std::move(state));
  }
  if (states.empty()) {
    return absl::FailedPreconditionError("reducer states: none to merge, expected at least one");
  }
  MergedReducerState merged;
  ReducerState state = states.front();
  if (states.size() == 1 && state.rank == rank && state.world_size == world_size) {
    merged.bytes = std::string(old.front());
    return merged;
  }
  if (state.window >= 0 || !state.sent_window.empty()) {
    merged.notes.push_back(absl::StrCat(
        "the window that ", ToString(state.next_step), " belongs to is measured from there on: ",
        "its parts were those of ", state.world_size, " ranks, now ", world_size));
  }
  state.rank = rank;
  state.world_size = world_size;
  state.chunk_key = 0;
  state.window = -1;
  state.window_weight = 0;
  state.window_sums = {};
  state.sent_window = {};
  std::vector<std::vector<float>> sums(state.tensors.size());  // until it is written
  for (size_t t = 0; t < sums.size(); ++t) {
    for (const ReducerState& from : states) {
      if (from.rank.value % world_size != rank.value || from.tensors[t].residual.empty()) continue;
      AddFloats(from.tensors[t].residual, sums[t]);
    }
    state.tensors[t].residual = {reinterpret_cast<const std::byte*>(sums[t].data()),
                                 sums[t].size() * sizeof(float)};
  }
  merged.bytes = WriteReducerState(state);
  return merged;
}

}  // namespace sluice
