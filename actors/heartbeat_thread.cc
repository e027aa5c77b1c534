#include "actors/heartbeat_thread.h"

#include <unistd.h>

#include <fstream>
#include <utility>

#include "base/thread_name.h"

namespace sluice {

HeartbeatThread::HeartbeatThread(std::function<proto::Heartbeat()> read,
                                 std::function<void(proto::Heartbeat)> send, absl::Duration period)
    : read_(std::move(read)), send_(std::move(send)), thread_([this, period] { Run(period); }) {}

HeartbeatThread::~HeartbeatThread() {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    stop_ = true;
    wake_.notify_one();
  }
  thread_.join();
}

void HeartbeatThread::Run(absl::Duration period) {
  SetThreadName("sluice-beat");
  std::unique_lock<std::mutex> lock(mu_);
  while (!stop_) {
    lock.unlock();
    proto::Heartbeat heartbeat = read_();
    heartbeat.set_rss_bytes(ResidentBytes());
    send_(std::move(heartbeat));
    lock.lock();
    wake_.wait_for(lock, absl::ToChronoNanoseconds(period), [this] { return stop_; });
  }
}

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  return statm >> total >> resident ? resident * sysconf(_SC_PAGESIZE) : 0;
}

}  // namespace sluice
