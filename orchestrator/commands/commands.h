#pragma once

#include "orchestrator/flags/command_line.h"

namespace sluice {

// One function per subcommand, after its flags are parsed. \return the process's exit code

/// `orchestrator run`: launches coordinator, workers and profiler on this machine and watches them.
int RunCommand(const CommandLine& line);

/// `orchestrator credentials DIR`: makes a folder of credentials, for processes that are started by hand.
int CredentialsCommand(const CommandLine& line);

// The processes that `run` starts.
int CoordinatorCommand(const CommandLine& line);
int WorkerCommand(const CommandLine& line);
int ProfilerCommand(const CommandLine& line);

/// `orchestrator plan --stats FILE`: recorded statistics under another policy, network or world size.
int PlanCommand(const CommandLine& line);

/// `orchestrator solve FILE.json`: knapsack instances.
int SolveCommand(const CommandLine& line);

}  // namespace sluice
