#!/usr/bin/python3
"""Whether a TorchScript file gives the outputs recorded: compare_outputs.py MODULE.pt RECORD.pt [list | tuple]

The record is a tuple of the inputs and the expected output. The file must be in evaluation mode.
"""

import sys

import torch

module = torch.jit.load(sys.argv[1])
*inputs, expected = torch.load(sys.argv[2])
if len(sys.argv) > 3:  # how forward takes several inputs
    inputs = [inputs if sys.argv[3] == "list" else tuple(inputs)]
with torch.no_grad():
    difference = (module(*inputs) - expected).abs().max().item()
print(f"largest difference {difference:.2e}, training {module.training}")
sys.exit(0 if difference <= 1e-5 and not module.training else 1)
