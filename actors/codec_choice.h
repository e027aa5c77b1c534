#pragma once

#include "absl/status/statusor.h"
#include "comm/codec/codec.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/reducer.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// The two names of one thing: policies speak of proto::CodecChoice, comm of CodecConfig.

/// \error kInvalidArgument  unknown kind, or a parameter out of range
absl::StatusOr<CodecConfig> ToCodecConfig(const proto::CodecChoice& choice);
proto::CodecChoice ToCodecChoice(const CodecConfig& config);

/// \error kInvalidArgument  the policy's layers are not the layout's tensors, in order: names both
absl::StatusOr<CodecPlan> ToCodecPlan(const proto::CompressionPolicy& policy,
                                      const BucketLayout& layout);

/// Names and element counts of a model signature. \error kInvalidArgument  a negative or overflowing shape
absl::StatusOr<std::vector<TensorInfo>> ToTensorInfos(
    const google::protobuf::RepeatedPtrField<proto::TensorSpec>& tensors);

/// The bucket layout of a job's model in a generation of `world_size` ranks: the one that every rank, the profilers
/// and the planner share.
absl::StatusOr<BucketLayout> LayoutOf(
    const proto::JobConfig& job,
    const google::protobuf::RepeatedPtrField<proto::TensorSpec>& tensors, int world_size);

}  // namespace sluice
