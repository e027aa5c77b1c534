#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "comm/reducer/profiler_shards.h"
#include "comm/reducer/residual_samples.h"
#include "comm/reducer/window_snapshot.h"

namespace sluice {

SnapshotReceiver::SnapshotReceiver(const BucketLayout& layout, Transport& transport)
    : layout_(layout), transport_(transport), parts_(layout.world_size()) {
  const int me = static_cast<int>(transport.self().value) - layout.world_size();
  for (int owner : ProfilerShards(layout, transport.peers() - layout.world_size())) {
    mine_.push_back(owner == me);
  }
  int64_t samples = 0;
  for (size_t t = 0; t < mine_.size(); ++t) {
    if (mine_[t]) samples += ResidualSamples(layout.tensors()[t]);
  }
  for (size_t rank = 0; rank < parts_.size(); ++rank) {
    Part& part = parts_[rank];
    ForEachPiece(rank, [&](const Piece& piece) { part.floats += piece.in_tensor.size(); });
    part.message.resize(kSnapshotHeaderBytes +
                        static_cast<size_t>(part.floats + samples) * sizeof(float));
  }
}

template <typename Function>
void SnapshotReceiver::ForEachPiece(size_t rank, Function function) const {
  for (const BucketLayout::Bucket& bucket : layout_.buckets()) {
    for (const std::vector<Piece>& segment : bucket.chunks[rank].segments) {
      for (const Piece& piece : segment) {
        if (mine_[static_cast<size_t>(piece.tensor)]) function(piece);
      }
    }
  }
}

absl::StatusOr<WindowSnapshot> SnapshotReceiver::Receive(absl::Time deadline) {
  for (;;) {
    SLUICE_RETURN_IF_ERROR(ReceiveMissing(deadline));
    int64_t newest = 0;
    for (const Part& part : parts_) newest = std::max(newest, part.header->window);
    // A rank that skipped a window is ahead: the others' parts of that window are of no use.
    bool complete = true;
    for (Part& part : parts_) {
      if (part.header->window == newest) continue;
      part.header.reset();
      complete = false;
    }
    if (complete) return Assemble();
  }
}

absl::Status SnapshotReceiver::ReceiveMissing(absl::Time deadline) {
  for (size_t rank = 0; rank < parts_.size(); ++rank) {
    Part& part = parts_[rank];
    if (part.header) continue;
    part.request = transport_.Receive(Rank(static_cast<int64_t>(rank)), kSnapshotTag,
                                      absl::MakeSpan(part.message));
  }
  absl::Status first;
  for (size_t rank = 0; rank < parts_.size(); ++rank) {
    Part& part = parts_[rank];
    if (!part.request) continue;
    // After an error: take what is there, cancel the rest, so that no buffer stays in use.
    absl::Status status =
        transport_.Wait(*part.request, first.ok() ? deadline : absl::InfinitePast());
    part.request.reset();
    if (status.ok()) status = Accept(part);
    if (first.ok() && !status.ok()) {
      first = Annotate(status, absl::StrCat("window snapshot from rank ", rank));
    }
  }
  return first;
}

absl::Status SnapshotReceiver::Accept(Part& part) {
  SLUICE_ASSIGN_OR_RETURN(const SnapshotHeader header, ReadSnapshotHeader(part.message));
  if (header.floats != part.floats) {
    return absl::DataLossError(absl::StrCat("snapshot of ", header.floats, " floats and ",
                                            header.samples, " samples, expected ", part.floats,
                                            " floats in front of the samples"));
  }
  if (header.window <= part.last_window) {
    return absl::DataLossError(
        absl::StrCat("window ", header.window, " after window ", part.last_window));
  }
  part.last_window = header.window;
  part.header = header;
  return absl::OkStatus();
}

absl::StatusOr<WindowSnapshot> SnapshotReceiver::Assemble() {
  WindowSnapshot snapshot;
  snapshot.window = parts_[0].header->window;
  snapshot.last_step = parts_[0].header->last_step;
  for (size_t t = 0; t < mine_.size(); ++t) {
    snapshot.tensors.emplace_back(mine_[t] ? static_cast<size_t>(layout_.tensors()[t].elements)
                                           : size_t{0});
  }
  std::vector<std::vector<double>> sums;  // of samples
  for (size_t t = 0; t < mine_.size(); ++t) {
    const int64_t count = mine_[t] ? ResidualSamples(layout_.tensors()[t]) : 0;
    sums.emplace_back(static_cast<size_t>(count));
  }
  absl::Status agree;
  for (size_t rank = 0; rank < parts_.size(); ++rank) {
    Part& part = parts_[rank];
    if (part.header->last_step != snapshot.last_step && agree.ok()) {
      agree = absl::DataLossError(absl::StrCat(
          "window snapshot from rank ", rank, ": window ", snapshot.window, " ends with ",
          ToString(part.header->last_step), ", but that from rank 0 with ",
          ToString(snapshot.last_step), ": use the same window length on all ranks"));
    }
    const std::byte* in = part.message.data() + kSnapshotHeaderBytes;
    ForEachPiece(rank, [&](const Piece& piece) {
      const size_t bytes = static_cast<size_t>(piece.in_tensor.size()) * sizeof(float);
      std::memcpy(snapshot.tensors[piece.tensor].data() + piece.in_tensor.begin, in, bytes);
      in += bytes;
    });
    for (std::vector<double>& of_tensor : sums) {
      for (double& sum : of_tensor) {
        float sample = 0;
        std::memcpy(&sample, in, sizeof(sample));
        sum += static_cast<double>(sample);
        in += sizeof(sample);
      }
    }
    part.header.reset();
  }
  if (!agree.ok()) return agree;
  for (size_t t = 0; t < sums.size(); ++t) {
    snapshot.lost_squared.push_back(LostSquared(sums[t], layout_.tensors()[t].elements));
  }
  return snapshot;
}

}  // namespace sluice
