#pragma once

/// Sluice for training loops of one's own, in C++ on LibTorch: processes that `orchestrator run` starts average their
/// gradients while backward runs, compressed layer by layer as the job's policy decides. docs/library.md has the
/// whole story; examples/library has programs.
///
///     Session               one rank of the job: join, collectives, groups, the policy in force, leave
///     DistributedOptimizer  averages gradients for any torch::optim::Optimizer
///     BroadcastParameters   equal parameters on all ranks, to begin with
///     State, RunElastic     go on when ranks are lost or others join
///
/// Errors are absl::Status, and name the rank and tensor that they are about; nothing throws, and nothing waits for
/// a rank that does something else for longer than communication.timeout_seconds. Objects belong to the thread that
/// joined.

#include "training/session/distributed_optimizer.h"
#include "training/session/elastic.h"
#include "training/session/session.h"
