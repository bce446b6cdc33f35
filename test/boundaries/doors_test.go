//go:build boundaries

package boundaries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

const doorPods = `
{apiVersion: v1, kind: Pod, metadata: {name: greedy, labels: {pod: greedy}}, spec: {nodeName: n1, containers: [{name: c, image: lab}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {pod: web}}, spec: {nodeName: n1, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30900, selector: {pod: web}, clusterIP: 10.96.0.90, ipFamilyPolicy: PreferDualStack, ports: [{port: 80, targetPort: 8080}]}
`

// doorPorts are where a pod can reach the daemon: health, metrics, kube-proxy's health, and a health-check node port.
var doorPorts = []uint16{20244, 8080, 10256, 30900}

// crowd opens n connections from a pod to the daemon's ports at the addresses, in turn. A third ask and stay, a third
// stop within their header, a third say nothing at all. It returns what closes them.
func crowd(from *lab.Host, addrs []netip.Addr, n int) (held int, leave func(), err error) {
	var all []net.Conn
	leave = func() {
		for _, c := range all {
			c.Close()
		}
	}
	err = from.Do(func() error {
		for i := range n {
			to := netip.AddrPortFrom(addrs[i%len(addrs)], doorPorts[i/len(addrs)%len(doorPorts)])
			c, err := net.DialTimeout("tcp", to.String(), 2*time.Second)
			if err != nil {
				return fmt.Errorf("connection %d to %s: %w", i, to, err)
			}
			all = append(all, c)
			for _, text := range []string{"GET /healthz HTTP/1.1\r\nHost: node\r\n", "\r\n"}[:i%3] {
				// Who is shut out meanwhile is no error: it is what the test is about.
				_, _ = io.WriteString(c, text)
			}
		}
		return nil
	})
	return len(all), leave, err
}

// TestDoors has a pod open 6,000 connections to a daemon that may have 4,096 descriptors, and keep them. Probes, the control
// socket, pods' starts and changes of the API go on, and the daemon stays small.
func TestDoors(t *testing.T) {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 12000, Max: 20000}); err != nil {
		t.Fatal(err)
	}
	w := start(t, lab.Config{Nodes: 1, DaemonArgs: []string{"--metrics-port=8080"}})
	applied(t, w, doorPods)
	n := w.Node("n1")
	pid := n.DaemonPID()
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096}, nil); err != nil {
		t.Fatal(err)
	}
	before := descriptors(pid)
	held, leave, err := crowd(w.Pod("greedy"), n.Addrs(), 6000)
	defer leave()
	if err != nil {
		t.Log(err)
	}
	t.Logf("the pod made %d connections; the daemon had %d descriptors, has %d", held, before, descriptors(pid))

	for _, port := range doorPorts {
		for _, addr := range append(n.Addrs(), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")) {
			to := netip.AddrPortFrom(addr, port)
			judge(t, fmt.Sprintf("probe of %s", to), complaint(n.Do(func() error { return probed(to) })))
		}
	}
	out, err := n.Run(w.ctx, filepath.Join(programs, "kube-router"), "show", "summary")
	if err == nil && !strings.Contains(out, "well") {
		err = errors.New(out)
	}
	judge(t, "the control socket answers", complaint(err))
	applied(t, w, `{apiVersion: v1, kind: Pod, metadata: {name: late, labels: {pod: web}}, spec: {nodeName: n1, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}`)
	judge(t, "a pod starts and is an endpoint", complaint(w.Until(w.ctx, "the new endpoint", func() error {
		tally, err := n.Many(probe.Request{To: netip.MustParseAddrPort("10.96.0.90:80"), Timeout: 2 * time.Second}, 20, 4)
		if err == nil && (!tally.OK() || len(tally.ByPod) != 2) {
			err = fmt.Errorf("answers: %s", tally)
		}
		return err
	})))
	if had := descriptors(pid); had > 1500 {
		judge(t, "descriptors are bounded", fmt.Sprintf("the daemon has %d", had))
	}
	if n.DaemonPID() != pid {
		judge(t, "the daemon stays", "it ended")
	}
	if log := n.DaemonLog(); strings.Contains(log, "too many open files") {
		judge(t, "descriptors don't end", log)
	}
}

// probed asks as kubelet, a scraper and a balancer do.
func probed(to netip.AddrPort) error {
	path := "/healthz"
	if to.Port() == 8080 {
		path = "/metrics"
	}
	// A connection that is opened here belongs to the namespace, whoever uses it.
	conn, err := net.DialTimeout("tcp", to.String(), 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	var once sync.Once
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (c net.Conn, err error) {
			err = errors.New("asked twice")
			once.Do(func() { c, err = conn, nil })
			return c, err
		},
	}}
	answer, err := client.Get("http://" + to.String() + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s, %v: %.200s", answer.Status, err, text)
	}
	return nil
}

func descriptors(pid int) int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(list)
}

func complaint(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// applied makes objects and waits for their pods.
func applied(t *testing.T, w *world, manifest string) {
	t.Helper()
	err := w.Apply(w.ctx, manifest)
	if err == nil {
		err = w.WaitReady(w.ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
}
