#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "comm/reducer/window_snapshot.h"

namespace sluice {

SnapshotReceiver::SnapshotReceiver(const BucketLayout& layout, Transport& transport)
    : layout_(layout), transport_(transport), parts_(layout.world_size()) {
  for (size_t rank = 0; rank < parts_.size(); ++rank) {
    size_t floats = 0;
    for (const BucketLayout::Bucket& bucket : layout.buckets()) {
      floats += bucket.chunks[rank].range.size();
    }
    parts_[rank].message.resize(kSnapshotHeaderBytes + floats * sizeof(float));
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
  for (const TensorInfo& tensor : layout_.tensors()) {
    snapshot.tensors.emplace_back(static_cast<size_t>(tensor.elements));
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
    for (const BucketLayout::Bucket& bucket : layout_.buckets()) {
      for (const std::vector<Piece>& segment : bucket.chunks[rank].segments) {
        for (const Piece& piece : segment) {
          const size_t bytes = static_cast<size_t>(piece.in_tensor.size()) * sizeof(float);
          std::memcpy(snapshot.tensors[piece.tensor].data() + piece.in_tensor.begin, in, bytes);
          in += bytes;
        }
      }
    }
    part.header.reset();
  }
  if (!agree.ok()) return agree;
  return snapshot;
}

}  // namespace sluice
