#!/bin/bash
# The soak on three hosts that are network namespaces, so that one can be cut off: hosts.sh [options of soak.py].
# Needs root, iproute2 and openssh-server.
source tests/cluster/common.sh
source tests/cluster/ssh_hosts.sh
# Shared memory would pass between the hosts of this one machine.
export UCX_TLS=tcp
on_first python3 tools/soak/soak.py --np 3 --hosts 10.77.0.1:1,10.77.0.2:1,10.77.0.3:1 --ssh-key "$keys/user" "$@"
