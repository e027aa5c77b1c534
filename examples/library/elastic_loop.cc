// The loop of plain_loop.cc, going on when processes of the job die or join. docs/library.md explains it.
//
//   orchestrator run -np 3 --min-np 1 -- elastic_loop --steps=3000
//
// Kill one of the processes, and see.

#include <torch/torch.h>

#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "base/status_macros.h"
#include "training/sluice.h"

ABSL_FLAG(int64_t, steps, 3000, "steps to train");
ABSL_FLAG(int64_t, commit_every, 10, "steps that are done again at most when the ranks change");

namespace {

constexpr int64_t kBatch = 240;

// The points of a step, and whether each is inside a ring: a function of the step alone, so that nothing about data
// has to be kept.
std::pair<torch::Tensor, torch::Tensor> BatchOf(int64_t step) {
  torch::manual_seed(static_cast<uint64_t>(step));
  const torch::Tensor points = torch::rand({kBatch, 2}) * 2 - 1;
  const torch::Tensor radius = points.norm(2, 1);
  return {points, radius.gt(0.4).logical_and(radius.lt(0.8)).to(torch::kLong)};
}

absl::Status Train(sluice::Session& session) {
  torch::manual_seed(1);
  torch::nn::Sequential model(torch::nn::Linear(2, 64), torch::nn::Tanh(),
                              torch::nn::Linear(64, 64), torch::nn::Tanh(),
                              torch::nn::Linear(64, 2));
  torch::optim::SGD sgd(model->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  sluice::DistributedOptimizer::Options options;
  options.total_steps = absl::GetFlag(FLAGS_steps);
  SLUICE_ASSIGN_OR_RETURN(const auto optimizer,
                          sluice::DistributedOptimizer::Create(session, sgd, *model, options));
  // All that must be the same on every rank, whoever comes and goes.
  int64_t step = 0;
  sluice::State state(session);
  state.Add("model", *model);
  state.Add("optimizer", sgd);
  state.Add("step", step);

  double last_loss = 0;
  const auto loop = [&]() -> absl::Status {
    std::printf("generation %lld: rank %d of %d from step %lld\n",
                static_cast<long long>(session.generation()), session.rank(), session.size(),
                static_cast<long long>(step));
    std::fflush(stdout);
    while (step < absl::GetFlag(FLAGS_steps)) {
      const auto [points, classes] = BatchOf(step);
      const auto [begin, end] = session.Share(0, kBatch);
      const torch::Tensor loss = torch::nn::functional::cross_entropy(
          model->forward(points.slice(0, begin, end)), classes.slice(0, begin, end));
      optimizer->ZeroGrad();
      loss.backward();
      last_loss = loss.item<double>();
      // An error when the ranks change: RunElastic takes it from there.
      SLUICE_RETURN_IF_ERROR(optimizer->Step(last_loss));
      ++step;
      if (step % absl::GetFlag(FLAGS_commit_every) == 0) SLUICE_RETURN_IF_ERROR(state.Commit());
    }
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(sluice::RunElastic(session, state, loop));
  std::printf("done: %lld steps, loss %.4f\n", static_cast<long long>(step), last_loss);
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const auto session = sluice::Session::Join();
  if (!session.ok()) return sluice::Complain(session.status());
  return (*session)->Leave(Train(**session));
}
