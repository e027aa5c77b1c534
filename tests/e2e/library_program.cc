// A training program that links the library, for library_test.py. What it does: --mode.

#include <ATen/Parallel.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/sgd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <optional>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "models/data/batch_sampler.h"
#include "models/data/dataset.h"
#include "models/torch_guard.h"
#include "models/zoo/zoo.h"
#include "orchestrator/config/job_loader.h"
#include "training/model_state.h"
#include "training/safetensors.h"
#include "training/sluice.h"
#include "training/trainer_state.h"

ABSL_FLAG(std::string, mode, "train", "what to do");
ABSL_FLAG(int64_t, steps, 10, "train: steps");
ABSL_FLAG(int64_t, batch, 32, "train: global batch");
ABSL_FLAG(std::string, out, "", "train: file for the parameters");

namespace sluice {
namespace {

// The built-in trainer's job with a constant learning rate, written as users write it.
absl::Status Train(Session& session) {
  SLUICE_ASSIGN_OR_RETURN(const proto::JobConfig job,
                          ParseJob("", JobFormat::kYaml, "defaults", {}));
  SLUICE_ASSIGN_OR_RETURN(const Datasets data, LoadDatasets(job.data()));
  const auto seed = static_cast<uint64_t>(job.training().seed());
  SLUICE_ASSIGN_OR_RETURN(BatchSampler sampler, BatchSampler::Create(seed, data.train->size(),
                                                                     absl::GetFlag(FLAGS_batch)));
  SLUICE_ASSIGN_OR_RETURN(const std::shared_ptr<Network> network,
                          BuildNetwork(job.model(), data.train->shape(), seed));
  torch::optim::SGD sgd(network->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
  SLUICE_RETURN_IF_ERROR(BroadcastParameters(session, *network, 0));
  DistributedOptimizer::Options options;
  options.total_steps = absl::GetFlag(FLAGS_steps);
  SLUICE_ASSIGN_OR_RETURN(const auto optimizer,
                          DistributedOptimizer::Create(session, sgd, *network, options));
  for (int64_t step = 0; step < options.total_steps; ++step) {
    const auto batch = sampler.GlobalBatch(Step(step));
    const auto [begin, end] = session.Share(0, static_cast<int64_t>(batch.size()));
    SLUICE_ASSIGN_OR_RETURN(const Batch share,
                            data.train->Make(batch.subspan(begin, end - begin), std::nullopt));
    const torch::Tensor loss =
        torch::nn::functional::cross_entropy(network->forward(share.inputs), share.targets);
    sgd.zero_grad();
    loss.backward();
    SLUICE_RETURN_IF_ERROR(optimizer->Step(loss.item<double>()));
  }
  std::printf("policy %u of %zu layers\n", session.policy().version,
              session.policy().layers.size());
  if (session.rank() != 0) return absl::OkStatus();
  SafeTensors state;
  state.tensors = ParameterTensors(ParametersInBackwardOrder(*network));
  std::ofstream(absl::GetFlag(FLAGS_out), std::ios::binary) << WriteSafeTensors(state);
  return absl::OkStatus();
}

std::string Text(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kDouble).flatten();
  return absl::StrJoin(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel(), " ");
}

absl::Status Collectives(Session& session) {
  const int rank = session.rank();
  at::Tensor sum = at::full({3}, rank + 1.0, at::kFloat);
  SLUICE_RETURN_IF_ERROR(session.AllReduce(sum, ReduceOp::kSum, "sum"));
  at::Tensor mean = at::full({2}, rank, at::kDouble);
  SLUICE_RETURN_IF_ERROR(session.AllReduce(mean));
  at::Tensor count = at::full({}, 10 * rank, at::kLong);
  SLUICE_RETURN_IF_ERROR(session.AllReduce(count, ReduceOp::kSum));
  SLUICE_ASSIGN_OR_RETURN(const at::Tensor all, session.AllGather(at::full({1, 2}, rank)));
  at::Tensor sent = at::full({2}, rank, at::kInt);
  SLUICE_RETURN_IF_ERROR(session.Broadcast(sent, 1));
  SLUICE_RETURN_IF_ERROR(session.Barrier());
  SLUICE_ASSIGN_OR_RETURN(ProcessGroup ends, session.NewGroup({2, 0}));
  at::Tensor in_group = at::full({1}, rank, at::kFloat);
  const absl::Status grouped = ends.AllReduce(in_group, ReduceOp::kSum);
  std::printf("rank %d local %d of %d: %s; %s; %s; %s; %s; group %d of %d: %s\n", rank,
              session.local_rank(), session.local_size(), Text(sum).c_str(), Text(mean).c_str(),
              Text(count).c_str(), Text(all).c_str(), Text(sent).c_str(), ends.rank(), ends.size(),
              grouped.ok() ? Text(in_group).c_str() : std::string(grouped.message()).c_str());
  return absl::OkStatus();
}

// Ranks disagree, are told so, and go on together.
absl::Status DifferentCalls(Session& session) {
  const bool odd = session.rank() == 1;
  const absl::Status shape =
      session.AllReduce(at::zeros({10, odd ? 32 : 64}), ReduceOp::kMean, "fc.weight");
  std::printf("shape: %s\n", shape.ToString().c_str());
  const absl::Status call = odd ? session.Barrier() : session.Broadcast(at::zeros({4}), 0);
  std::printf("call: %s\n", call.ToString().c_str());
  at::Tensor one = at::ones({1});
  SLUICE_RETURN_IF_ERROR(session.AllReduce(one, ReduceOp::kSum));
  std::printf("after: %s\n", Text(one).c_str());
  return absl::OkStatus();
}

absl::Status DifferentModels(Session& session) {
  const int64_t width = session.rank() == 1 ? 32 : 64;
  const at::Tensor bias = at::zeros({10}).set_requires_grad(true);
  const at::Tensor weight = at::zeros({10, width}).set_requires_grad(true);
  torch::optim::SGD sgd({weight, bias}, torch::optim::SGDOptions(0.1));
  return DistributedOptimizer::Create(session, sgd, {{"fc.weight", weight}, {"fc.bias", bias}},
                                      DistributedOptimizer::Options())
      .status();
}

// Rank 1 leaves out what the others do.
absl::Status MissingCall(Session& session) {
  if (session.rank() == 1) return absl::OkStatus();
  return session.AllReduce(at::zeros({4}), ReduceOp::kSum, "loss");
}

// Gradients of two backward passes, with one parameter that nobody's loss depends on.
absl::Status Accumulate(Session& session) {
  const at::Tensor used = at::ones({2}).set_requires_grad(true);
  const at::Tensor unused = at::ones({2}).set_requires_grad(true);
  torch::optim::SGD sgd({used, unused}, torch::optim::SGDOptions(1));
  DistributedOptimizer::Options options;
  options.backward_passes_per_step = 2;
  SLUICE_ASSIGN_OR_RETURN(
      const auto optimizer,
      DistributedOptimizer::Create(session, sgd, {{"used", used}, {"unused", unused}}, options));
  for (int step = 0; step < 2; ++step) {
    optimizer->ZeroGrad();
    for (int pass = 0; pass < 2; ++pass) (used.sum() * (session.rank() + 1)).backward();
    SLUICE_RETURN_IF_ERROR(optimizer->Step(0));
  }
  std::printf("used %s unused %s\n", Text(used.detach()).c_str(), Text(unused.detach()).c_str());
  (used.sum() * 1).backward();
  (used.sum() * 1).backward();
  (used.sum() * 1).backward();
  return optimizer->Step(0);
}

int Main(const std::vector<char*>& words) {
  const std::string mode = absl::GetFlag(FLAGS_mode);
  at::set_num_threads(1);
  if (mode == "words") {
    for (const char* word : words) std::printf("word: %s|\n", word);
    for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "SLUICE_RANK", "HOROVOD_SIZE"}) {
      const char* value = std::getenv(name);
      std::printf("%s=%s\n", name, value == nullptr ? "" : value);
    }
  }
  if (mode == "stranger") return 0;
  const auto session = Session::Join();
  if (!session.ok()) return Complain(session.status());
  if (mode == "second_join") {
    return (*session)->Leave(Session::Join().status());
  }
  if (mode == "exit") std::exit(0);
  if (mode == "code") return (*session)->Leave(absl::OkStatus()) == 0 ? 7 : 8;
  const std::map<std::string, std::function<absl::Status(Session&)>> modes = {
      {"train", Train},
      {"words", [](Session&) { return absl::OkStatus(); }},
      {"collectives", Collectives},
      {"different_calls", DifferentCalls},
      {"different_models", DifferentModels},
      {"missing_call", MissingCall},
      {"accumulate", Accumulate}};
  return (*session)->Leave(TorchGuard(mode, [&] { return modes.at(mode)(**session); }));
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(absl::ParseCommandLine(argc, argv)); }
