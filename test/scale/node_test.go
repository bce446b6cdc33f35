//go:build scale

package scale

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab/apiserver"
	"kube-router/internal/lab/netns"
)

// What the daemon says when it has come so far.
const (
	saysRead  = "the cluster has been read"
	saysReady = "the network of this node is ready"
)

// node is a network namespace with an API server at its loopback, and the daemon.
type node struct {
	t      *testing.T
	space  *netns.Space
	api    *apiserver.Server
	dir    string
	daemon *netns.Cmd
	log    *log
	begun  time.Time
}

// log is what the daemon writes, with the time at which each line came.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
	said map[string]time.Time
}

// Write takes over whole lines, as the daemon writes them.
func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range []string{saysRead, saysReady} {
		if l.said[known].IsZero() && bytes.Contains(b, []byte(known)) {
			l.said[known] = time.Now()
		}
	}
	return l.text.Write(b)
}

// at is when the daemon said something; zero: not yet.
func (l *log) at(what string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said[what]
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newNode makes the node n1 of a cluster without anything else.
func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir()}
	var err error
	n.space, err = netns.New()
	n.check(err)
	t.Cleanup(func() { n.space.Close() })
	n.check(n.space.Prepare())
	beside, err := netns.New()
	n.check(err)
	t.Cleanup(func() { beside.Close() })
	end := func(s *netns.Space, a string) netns.End {
		return netns.End{Space: s, Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix(a)}}
	}
	n.check(netns.Cable(1500, end(n.space, "172.31.77.1/24"), end(beside, "172.31.77.2/24")))
	n.serve()
	self := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	self.Spec.PodCIDR, self.Spec.PodCIDRs = "10.244.1.0/24", []string{"10.244.1.0/24"}
	self.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "172.31.77.1"}}
	n.check(n.api.Store.Put(self))
	n.check(os.Mkdir(n.path("cni"), 0o755))
	return n
}

// serve runs the API server on the node's loopback.
func (n *node) serve() {
	n.t.Helper()
	api, err := apiserver.New(apiserver.Options{})
	n.check(err)
	var l net.Listener
	n.check(n.space.Do(func() error {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = api.Run(ctx, l) }()
	n.t.Cleanup(func() { cancel(); <-done })
	n.api = api
	n.check(os.WriteFile(n.path("kubeconfig"), api.Kubeconfig("http://"+l.Addr().String()), 0o600))
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

func (n *node) check(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// start starts the daemon, as its manifest does but for the flags given, and waits until everything is in the kernel.
func (n *node) start(flags ...string) {
	n.t.Helper()
	n.log = &log{said: map[string]time.Time{}}
	n.daemon = n.space.Command(context.Background(), filepath.Join(programs, "kube-router"), append([]string{
		"--kubeconfig", n.path("kubeconfig"), "--control-socket", n.path("run/control.sock"), "--cni-socket", n.path("run/cni.sock"),
		"--service-proxy-engine", "nftables", "--metrics-port", "8080",
	}, flags...)...)
	n.daemon.Env = append(os.Environ(), "KUBE_ROUTER_CNI_CONF_FILE="+n.path("cni/10-kuberouter.conflist"), "NODE_NAME=n1", "POD_NAMESPACE=kube-system")
	n.daemon.Stdout, n.daemon.Stderr = n.log, n.log
	n.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.begun = time.Now()
	n.check(n.daemon.Start())
	n.t.Cleanup(n.stop)
	n.wait("ready", func() bool { return !n.log.at(saysReady).IsZero() })
}

// stop ends the daemon as kubelet does.
func (n *node) stop() {
	if n.daemon == nil {
		return
	}
	_ = n.daemon.Process.Signal(syscall.SIGTERM)
	if err := n.daemon.Wait(); err != nil {
		n.t.Errorf("the daemon ended with %v\n%s", err, n.log)
	}
	n.daemon = nil
}

// wait waits until something is so.
func (n *node) wait(what string, is func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("not %s after three minutes; the daemon's log:\n%s", what, n.log)
		}
	}
}

// memory is what the daemon's process takes, in MB.
type memory struct {
	resident float64 // all of it
	own      float64 // without the program's own pages, of which the kernel can drop any
	most     float64 // the most that it ever was
}

var statusField = regexp.MustCompile(`(?m)^(VmRSS|RssAnon|VmHWM):\s+(\d+) kB$`)

// memory is the daemon's once it has come to rest: the least that is seen in a quarter of a minute.
func (n *node) memory() memory {
	n.t.Helper()
	least := n.memoryNow()
	for range 150 {
		time.Sleep(100 * time.Millisecond)
		if m := n.memoryNow(); m.resident < least.resident {
			least = m
		}
	}
	return least
}

func (n *node) memoryNow() (m memory) {
	n.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.daemon.Process.Pid))
	n.check(err)
	for _, f := range statusField.FindAllStringSubmatch(string(text), -1) {
		kilobytes, err := strconv.ParseFloat(f[2], 64)
		n.check(err)
		*map[string]*float64{"VmRSS": &m.resident, "RssAnon": &m.own, "VmHWM": &m.most}[f[1]] = kilobytes * 1024 / 1e6
	}
	return m
}

// cpu is the processor time that the daemon has taken. On a machine that others use as well it says more than the clock.
func (n *node) cpu() time.Duration {
	n.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.daemon.Process.Pid))
	n.check(err)
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64 // a hundred a second on every architecture that Go knows
	for _, field := range f[11:13] {
		v, err := strconv.ParseInt(field, 10, 64)
		n.check(err)
		ticks += v
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// heap is the daemon's heap in use by its metrics, in MB.
func (n *node) heap() float64 {
	n.t.Helper()
	for line := range strings.Lines(n.get("http://127.0.0.1:8080/metrics")) {
		if text, ok := strings.CutPrefix(line, "go_memstats_heap_inuse_bytes "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			n.check(err)
			return v / 1e6
		}
	}
	n.t.Fatal("no metric of the heap")
	return 0
}

// get asks the daemon over HTTP, on a socket of the node's own namespace.
func (n *node) get(url string) string {
	n.t.Helper()
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = n.space.Do(func() (err error) {
				c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
				return err
			})
			return c, err
		},
	}}
	resp, err := client.Get(url)
	n.check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	n.check(err)
	return string(text)
}
