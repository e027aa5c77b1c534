#include "policies/plugin/host_channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "proto/policy.pb.h"

namespace sluice {
namespace {

class HostChannelTest : public testing::Test {
 protected:
  HostChannelTest() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    near_ = std::make_unique<HostChannel>(ends[0]);
    far_ = ends[1];
  }
  ~HostChannelTest() override {
    if (far_ >= 0) close(far_);
  }
  void CloseFar() {
    close(far_);
    far_ = -1;
  }
  absl::Status Receive(absl::Duration timeout = absl::Seconds(30)) {
    return near_->Receive(message_, absl::Now() + timeout);
  }
  void WriteFar(const std::string& bytes) {
    ASSERT_EQ(write(far_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }

  std::unique_ptr<HostChannel> near_;
  int far_ = -1;
  proto::LayerChoice message_;
};

TEST_F(HostChannelTest, WhatIsSentIsReceived) {
  HostChannel far(std::exchange(far_, -1));
  proto::LayerChoice sent;
  sent.set_name(std::string(20000, 'x'));
  ASSERT_TRUE(far.Send(sent, absl::InfiniteFuture()).ok());
  ASSERT_TRUE(Receive().ok());
  EXPECT_EQ(message_.name(), sent.name());
}

TEST_F(HostChannelTest, ReceivingFromNobodyIsUnavailable) {
  CloseFar();
  EXPECT_EQ(Receive().code(), absl::StatusCode::kUnavailable);
}

TEST_F(HostChannelTest, SendingToNobodyIsUnavailable) {
  CloseFar();
  EXPECT_EQ(near_->Send(message_, absl::Now() + absl::Seconds(30)).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(HostChannelTest, AnEndWithinAMessageIsUnavailable) {
  WriteFar(std::string("\x09\0\0\0abc", 7));
  CloseFar();
  EXPECT_EQ(Receive().code(), absl::StatusCode::kUnavailable);
}

TEST_F(HostChannelTest, HalfAMessageInTimeIsNone) {
  WriteFar(std::string("\x09\0\0\0abc", 7));
  EXPECT_EQ(Receive(absl::Milliseconds(5)).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HostChannelTest, AReaderThatTakesNothingIsADeadlineAway) {
  proto::LayerChoice large;
  large.set_name(std::string(8 << 20, 'x'));
  EXPECT_EQ(near_->Send(large, absl::Now() + absl::Milliseconds(5)).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HostChannelTest, ImpossibleLengthsAreDataLoss) {
  WriteFar("\xff\xff\xff\xff");
  EXPECT_EQ(Receive().code(), absl::StatusCode::kDataLoss);
}

TEST_F(HostChannelTest, OtherBytesAreDataLoss) {
  WriteFar(std::string("\x03\0\0\0\xff\xff\xff", 7));
  EXPECT_EQ(Receive().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace sluice
