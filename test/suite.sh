# Sourced by the run scripts of the suites that have parts. Each part prints what it judged and ends with
# "TITLE: N passed, M failed"; the last line of the suite is the sum. A part that doesn't get there counts as a failure.
set -uo pipefail
export CGO_ENABLED=0
work=$(mktemp -d "${TMPDIR:-/var/tmp}/kube-router-suite.XXXXXXXX") || exit
broken=() beside=()
# Who is interrupted takes the parts beside it along.
trap 'for p in "${beside[@]}"; do kill -- "-${p%% *}" 2>/dev/null; done; rm -rf "$work"' EXIT

# programs builds what the tests run, unless KUBE_ROUTER_PROGRAMS names where it is. The guest would take long for it.
programs() {
  [ -z "${KUBE_ROUTER_PROGRAMS-}" ] || return 0
  go build -o "$work/" kube-router/cmd/kube-router kube-router/cmd/kube-router-cni || exit
  export KUBE_ROUTER_PROGRAMS=$work
}

# part NAME COMMAND...
part() {
  local name=$1 begin=$SECONDS
  shift
  echo "=== $name"
  "$@" 2>&1 | tee "$work/$name.log"
  [ "${PIPESTATUS[0]}" = 0 ] || broken+=("$name")
  echo "=== $name: $((SECONDS - begin)) s"
}

# beside NAME COMMAND... is a part that runs while the next ones do, and whose output follows theirs: the guest kernel has
# one processor and a network of its own, so it neither hinders nor is hindered. An emulated one takes every processor, and runs alone.
beside() {
  if [ "$("$(dirname "${BASH_SOURCE[0]}")/guest/run" --which)" != uml ]; then
    part "$@"
    return
  fi
  local name=$1
  shift
  set -m # a process group of its own, to be ended as a whole
  (
    begin=$SECONDS
    "$@" >"$work/$name.log" 2>&1
    echo "$? $((SECONDS - begin))" >"$work/$name.end"
  ) &
  set +m
  beside+=("$! $name")
}

# closing SUITE waits for what runs beside, prints the sum, and is false unless all is well.
closing() {
  local log passed=0 failed=0 p f name verdict seconds
  for p in "${beside[@]}"; do
    name=${p#* }
    wait "${p%% *}"
    read -r verdict seconds <"$work/$name.end" || verdict=1
    [ "$verdict" = 0 ] || broken+=("$name")
    echo "=== $name, beside"
    cat "$work/$name.log"
    echo "=== $name: ${seconds:-?} s"
  done
  beside=()
  for log in "$work"/*.log; do
    read -r p f < <(sed -n 's/^.*: \([0-9]*\) passed, \([0-9]*\) failed\r\?$/\1 \2/p' "$log" | tail -n 1)
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0}))
  done
  if [ ${#broken[@]} -gt 0 ]; then
    echo "not well: ${broken[*]}"
    [ "$failed" != 0 ] || failed=${#broken[@]}
  fi
  echo "$1: $passed passed, $failed failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
