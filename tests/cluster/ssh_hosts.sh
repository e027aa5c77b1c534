# Three network namespaces that are three hosts, 10.77.0.1 to 10.77.0.3, the last two with an sshd on port 2222. To be
# sourced after common.sh. Sets $keys and $netlab; on_first CMD runs on the first host.
need sshd openssh-server
need ip iproute2
need_root "making network namespaces"

if [[ -z ${IN_NAMESPACE:-} ]]; then
  exec env IN_NAMESPACE=1 unshare --net --mount --propagation private -- "$0" "$@"
fi
mount -t tmpfs none /run
mkdir -p /run/netns /run/sshd
ip link set lo up
netlab=$PWD/tools/netlab/netlab.sh
"$netlab" up c 3 none
trap '[[ ${#sshds[@]} -eq 0 ]] || kill "${sshds[@]}" 2> /dev/null || true; "$netlab" down c' EXIT
sshds=()

echo "host keys, a user's key, and an sshd on each of two hosts"
keys=$scratch/keys
mkdir -p "$keys"
ssh-keygen -q -t ed25519 -N '' -f "$keys/user"
for host in 1 2; do
  ssh-keygen -q -t ed25519 -N '' -f "$keys/host$host"
  address=10.77.0.$((host + 1))
  cat > "$keys/sshd$host" << END
Port 2222
ListenAddress $address
HostKey $keys/host$host
AuthorizedKeysFile $keys/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication yes
END
  ip netns exec "c-h$host" "$(command -v sshd)" -D -e -f "$keys/sshd$host" 2> "$scratch/sshd$host.log" &
  sshds+=($!)
  echo "[$address]:2222 $(cut -d' ' -f1,2 "$keys/host$host.pub")" >> "$keys/known_hosts"
done

# What a user has in ~/.ssh/config; the launcher finds this ssh first.
mkdir -p "$scratch/bin"
cat > "$scratch/bin/ssh" << END
#!/bin/sh
exec $(command -v ssh) -F $keys/config "\$@"
END
chmod +x "$scratch/bin/ssh"
cat > "$keys/config" << END
UserKnownHostsFile $keys/known_hosts
GlobalKnownHostsFile /dev/null
IdentitiesOnly yes
END
export PATH=$scratch/bin:$PATH
on_first() { ip netns exec c-h0 "$@"; }
for ((tries = 0; tries < 100; tries++)); do
  on_first ssh -p 2222 -i "$keys/user" 10.77.0.2 true 2> /dev/null &&
    on_first ssh -p 2222 -i "$keys/user" 10.77.0.3 true 2> /dev/null && break
  sleep 0.1
done
