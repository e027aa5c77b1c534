#pragma once

#include <memory>
#include <utility>

#include "comm/transport/transport.h"

namespace sluice {

/// Passes everything on to `inner`; tests override what they want to see.
class ForwardingTransport : public Transport {
 public:
  explicit ForwardingTransport(std::unique_ptr<Transport> inner) : inner_(std::move(inner)) {}

  Rank self() const override { return inner_->self(); }
  int peers() const override { return inner_->peers(); }
  RequestId Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) override {
    return inner_->Send(to, tag, bytes);
  }
  RequestId Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) override {
    return inner_->Receive(from, tag, bytes);
  }
  std::optional<absl::Status> Test(RequestId request) override { return inner_->Test(request); }
  absl::Status Wait(RequestId request, absl::Time deadline) override {
    return inner_->Wait(request, deadline);
  }
  std::optional<size_t> WaitAny(absl::Span<const RequestId> requests,
                                absl::Time deadline) override {
    return inner_->WaitAny(requests, deadline);
  }
  void Wake() override { inner_->Wake(); }
  void Abort(absl::string_view reason) override { inner_->Abort(reason); }
  TransportCounters counters() const override { return inner_->counters(); }

 private:
  const std::unique_ptr<Transport> inner_;
};

}  // namespace sluice
