package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"

	"kube-router/internal/lab/kubelet"
)

// Outside is the Segment of hosts beyond the router; nodes' segments count from 0.
const Outside = -1

// OutsideName is the name of the host beyond the router that every lab has.
const OutsideName = "outside"

// Families says which address families a lab has.
type Families int

// The families of a lab.
const (
	DualStack Families = iota
	IPv4Only
	IPv6Only
)

// Config says what a lab is like. The zero value is three dual-stack nodes on one switch with the running program as the daemon.
type Config struct {
	Name     string   // lower-case letters and digits; "" means a random one
	Nodes    int      // how many; 0 means 3
	Subnets  int      // over how many subnets the nodes are spread, joined by a router; 0 means 1, which is a switch
	Families Families // of nodes, pods and Services
	MTU      int      // of every link; 0 means 1500
	Zones    int      // over how many zones the nodes are spread, named z1, z2, ...; 0 means 1
	Hosts    []HostConfig

	Daemon     string   // path of the kube-router binary; "" is the running program
	DaemonArgs []string // for every daemon, after those that the lab gives
	NoDaemon   bool     // nothing routes: the test is the daemon
	DaemonPods bool     // a pod in kube-system stands for each node's daemon, as a DaemonSet's does; not with another's API server

	Kubeconfig string // path of a kubeconfig file of another API server; "" is the lab's own
	Plugins    string // directory of the CNI reference plugins; "" has them built, once
	CNIPlugin  string // path of kube-router-cni; "" is the one beside Daemon, if it is there

	PodStarted func(*Host)                            `json:"-"` // called when a pod is connected, before anything else happens in it
	Progress   func(stage string, took time.Duration) `json:"-"` // called after each stage of the start
	Log        *slog.Logger                           `json:"-"` // of the stand-ins; nil is standard error
}

// HostConfig is one more host, such as a BGP peer.
type HostConfig struct {
	Name    string
	Segment int            // the subnet of the nodes that it is in, or Outside
	Addrs   []netip.Prefix // beside those that the lab gives it
}

const root = "/run/kube-router-lab"

func (c *Config) dir() string { return filepath.Join(root, c.Name) }

// nameForm is what the name of a lab is like: it is part of names of network namespaces and directories.
var nameForm = regexp.MustCompile(`^[a-z0-9]{1,20}$`)

func badName(name string) error {
	return fmt.Errorf("name %q: want up to 20 lower-case letters and digits", name)
}

// complete puts in the defaults and refuses what can't be.
func (c *Config) complete() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it makes network namespaces")
	}
	for value, def := range map[*int]int{&c.Nodes: 3, &c.Subnets: 1, &c.MTU: 1500, &c.Zones: 1} {
		if *value == 0 {
			*value = def
		}
	}
	if c.Name == "" {
		c.Name = "t" + rand.String(6)
	}
	if !nameForm.MatchString(c.Name) {
		return badName(c.Name)
	}
	if c.Nodes < 1 || c.Nodes > 150 || c.Subnets < 1 || c.Subnets > c.Nodes {
		return fmt.Errorf("%d nodes in %d subnets: want 1 to 150 nodes and at most as many subnets", c.Nodes, c.Subnets)
	}
	if c.MTU < 1280 || c.MTU > 65535 || c.Zones < 1 || c.Zones > c.Nodes {
		return fmt.Errorf("MTU %d and %d zones: want 1280 (IPv6's least) to 65535, and at most as many zones as nodes", c.MTU, c.Zones)
	}
	for _, h := range c.Hosts {
		if !regexp.MustCompile(`^[a-z][a-z0-9]{0,9}$`).MatchString(h.Name) || h.Segment < Outside || h.Segment >= c.Subnets {
			return fmt.Errorf("host %q in segment %d: want up to 10 lower-case letters and digits, and a segment below %d", h.Name, h.Segment, c.Subnets)
		}
	}
	if c.Daemon == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("own path: %w", err)
		}
		c.Daemon = self
	}
	if c.CNIPlugin == "" {
		c.CNIPlugin = filepath.Join(filepath.Dir(c.Daemon), "kube-router-cni")
	}
	return nil
}

func (c *Config) pluginDirs() []string {
	dirs := []string{c.Plugins}
	if _, err := os.Stat(c.CNIPlugin); err == nil {
		dirs = append(dirs, filepath.Dir(c.CNIPlugin))
	}
	return dirs
}

// podStarted translates the hook for the kubelet.
func (c *Config) podStarted() func(*kubelet.Pod) {
	if c.PodStarted == nil {
		return nil
	}
	return func(p *kubelet.Pod) { c.PodStarted(podHost(p)) }
}

func (f Families) v4() bool { return f != IPv6Only }
func (f Families) v6() bool { return f != IPv4Only }

// keep leaves the prefixes of the lab's families.
func (f Families) keep(all ...netip.Prefix) (kept []netip.Prefix) {
	for _, p := range all {
		if p.Addr().Is4() && f.v4() || p.Addr().Is6() && f.v6() {
			kept = append(kept, p)
		}
	}
	return kept
}
