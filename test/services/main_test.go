//go:build services

package services

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/score"
)

// The parameters of a run, by environment because it passes into the guest.
const (
	guestVariable = "KUBE_ROUTER_SERVICE_GUEST" // not empty: in the guest kernel, whose system calls are dear
	argsVariable  = "KUBE_ROUTER_SERVICE_ARGS"  // more flags for the daemons
)

// The address plan: what is routed to Service addresses, beside the lab's cluster range.
var (
	externalRanges = []string{"10.98.0.0/16", "fd00:10:98::/112"}
	balancerRanges = []string{"10.99.0.0/16", "fd00:10:99::/112"}
	crowd          = []string{"10.77.0.0/16", "fd00:10:77::/64"} // the outside host is everybody in them
)

// far is a second host outside. Service addresses are routed to n1 for "outside", to n3 for "far".
const far = "far"

// the is what all tests of a run share.
type the struct {
	*lab.Lab
	ctx    context.Context
	score  *score.Score
	engine string
	guest  bool
	sctp   bool
}

var (
	shared  *the
	scoring = &score.Score{}
)

// programs is the directory of our programs.
var programs string

func TestMain(m *testing.M) {
	os.Exit(lab.Suite(func(dir string) int {
		programs = dir
		return run(m)
	}))
}

// run starts the one cluster that all tests use, runs them, and prints what they judged.
func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 18*time.Minute)
	defer cancel()
	w, err := start(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = w
	code := m.Run()
	w.score.Add("the daemons", "whatever is written is written at once", w.wrote(), "")
	if code != 0 {
		w.Logs(os.Stderr, 15)
	}
	if err := w.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	place := "this kernel"
	if w.guest {
		place = "the guest kernel"
	}
	if !scoring.Report(os.Stdout, w.engine+" in "+place) && code == 0 {
		code = 1
	}
	return code
}

// wrote judges that no row ever failed: what is wanted together came together, in the right order.
func (w *the) wrote() error {
	lines := w.Failures()
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("%d times not, first %s", len(lines), lines[0])
}

func start(ctx context.Context) (*the, error) {
	var err error
	w := &the{ctx: ctx, score: scoring, engine: labtest.Engine(), guest: os.Getenv(guestVariable) != "", sctp: hasSCTP()}
	w.Lab, err = lab.Start(ctx, lab.Config{
		Nodes: 3, Zones: 3, Daemon: filepath.Join(programs, "kube-router"), DaemonArgs: flags(w.engine),
		Hosts: []lab.HostConfig{{Name: far, Segment: lab.Outside}},
	})
	if err != nil {
		return nil, err
	}
	err = w.prepare()
	for _, n := range w.Nodes() {
		if err == nil {
			err = w.runs(n, w.engine)
		}
	}
	if err != nil {
		w.Logs(os.Stderr, 30)
		return nil, fmt.Errorf("%w; %v", err, w.Close())
	}
	return w, nil
}

// flags are the daemons'. Routes come from the Node objects, and there is no firewall: neither is what is judged here.
func flags(engine string) []string {
	list := []string{"--service-proxy-engine=" + engine, "--node-routes=api", "--run-firewall=false", "--service-udp-timeout=3s"}
	for _, r := range append(slices.Clone(externalRanges), nodeRanges...) {
		list = append(list, "--service-external-ip-range="+r)
	}
	for _, r := range balancerRanges {
		list = append(list, "--loadbalancer-ip-range="+r)
	}
	return append(append(list, socketFlags()...), strings.Fields(os.Getenv(argsVariable))...)
}

func hasSCTP() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// prepare routes Service addresses to the nodes, makes the outside host a crowd, and starts the pods.
func (w *the) prepare() error {
	for _, n := range w.Nodes() { // the kernel tells one client of six unreachable ports, and then of one a second
		if err := n.Space().Sysctl("net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"); err != nil {
			return err
		}
	}
	n1, n3 := w.Node("n1"), w.Node("n3")
	ranges := append(append([]string{"10.96.0.0/16", "fd00:10:96::/112"}, externalRanges...), balancerRanges...)
	for _, r := range ranges {
		v, p := family(netip.MustParsePrefix(r).Addr())
		if err := w.fabric("ip", v, "route", "add", r, "via", p(n1.Host).String()); err != nil {
			return err
		}
		if err := w.fabric("ip", v, "route", "add", r, "via", p(n3.Host).String(), "table", "3"); err != nil {
			return err
		}
	}
	if err := w.Outside().Space().Sysctl("net.ipv6.ip_nonlocal_bind=1"); err != nil { // IPv4 needs none for what is routed to itself
		return err
	}
	for _, r := range crowd {
		v, p := family(netip.MustParsePrefix(r).Addr())
		if err := w.fabric("ip", v, "route", "add", r, "via", p(w.Outside()).String()); err != nil {
			return err
		}
		if err := w.fabric("ip", v, "rule", "add", "from", p(w.Host(far)).String(), "lookup", "3", "priority", "100"); err != nil {
			return err
		}
		if out, err := w.Outside().Run(w.ctx, "ip", v, "route", "add", "local", r, "dev", "lo"); err != nil {
			return fmt.Errorf("crowd: %w: %s", err, out)
		}
	}
	return w.pods()
}

// family is the ip program's option and the way to a host's address of the family.
func family(a netip.Addr) (option string, of func(*lab.Host) netip.Addr) {
	if a.Is4() {
		return "-4", (*lab.Host).IPv4
	}
	return "-6", (*lab.Host).IPv6
}

func (w *the) fabric(name string, args ...string) error {
	out, err := w.Fabric().Command(w.ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fabric: %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
