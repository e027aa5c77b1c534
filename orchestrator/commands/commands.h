#pragma once

#include "orchestrator/flags/command_line.h"

namespace sluice {

// One function per subcommand, after its flags are parsed. \return the process's exit code

/// `orchestrator run`: launches coordinator, workers and profiler, here and on other hosts, and watches them.
int RunCommand(const CommandLine& line);

/// `orchestrator check`: whether hosts and the network between them can run a job; with --build what was built in.
int CheckCommand(const CommandLine& line);

/// `orchestrator worker`: with a job file as its argument a process that somebody else's launcher started
/// (srun, mpirun, torchrun, Kubernetes), otherwise one that `run` started (WorkerCommand).
int AnyWorkerCommand(const CommandLine& line);

/// `orchestrator credentials DIR`: makes a folder of credentials, for processes that are started by hand.
int CredentialsCommand(const CommandLine& line);

// The processes that `run` starts.
int CoordinatorCommand(const CommandLine& line);
int WorkerCommand(const CommandLine& line);
int ProfilerCommand(const CommandLine& line);

/// `orchestrator analyse FILE --example SHAPE`: what can be pruned in a network, and why not.
int AnalyseCommand(const CommandLine& line);

/// `orchestrator plan --stats FILE`: recorded statistics under another policy, network or world size.
int PlanCommand(const CommandLine& line);

/// `orchestrator attack CHECKPOINT`: how a trained model stands adversarial images, without a cluster.
int AttackCommand(const CommandLine& line);

/// `orchestrator prune CHECKPOINT --out FILE`: a trained network without what is zero in it, as TorchScript.
int PruneCommand(const CommandLine& line);

/// `orchestrator solve FILE.json`: knapsack instances.
int SolveCommand(const CommandLine& line);

}  // namespace sluice
