//go:build !guest

package operate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
)

// flagCase shows what a flag about the process does.
type flagCase struct {
	flag string
	show func(t *testing.T)
}

// ended is how one run of the program ended.
type ended struct {
	stdout, stderr string
	code           int
}

// once runs the program on the node until it ends by itself, as a user with the given id.
func (n *node) once(user uint32, args ...string) ended {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 90*time.Second)
	defer cancel()
	cmd := n.space.Command(ctx, bin, args...)
	cmd.Env = n.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if user != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	return ended{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// wants checks how a run ended.
func (e ended) wants(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if e.code != code || !strings.Contains(e.stdout, stdout) || !strings.Contains(e.stderr, stderr) || stdout == "" && e.stdout != "" {
		t.Errorf("code %d, want %d\nstdout (want %q): %s\nstderr (want %q): %s", e.code, code, stdout, e.stdout, stderr, e.stderr)
	}
}

// listens tells whether somebody accepts connections at an address of the node.
func (n *node) listens(addr string) bool {
	n.t.Helper()
	err := n.space.Do(func() error {
		c, err := net.DialTimeout("tcp", addr, 2*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	return err == nil
}

// only expects somebody at the first address and nobody at the second.
func (n *node) only(t *testing.T, there, not string) {
	t.Helper()
	if !n.listens(there) {
		t.Errorf("nobody listens at %s", there)
	}
	if n.listens(not) {
		t.Errorf("somebody listens at %s", not)
	}
}

// TestFlagsOfTheProcess shows each flag that is about the process and not about rows. Those of the rows are shown in
// internal/script, whose test also checks that no flag is forgotten here.
func TestFlagsOfTheProcess(t *testing.T) {
	n := newNode(t)
	n.apply("apiVersion: v1\nkind: Node\nmetadata: {name: other}\nspec: {podCIDR: 10.244.9.0/24, podCIDRs: [10.244.9.0/24]}\n" +
		"status: {addresses: [{type: InternalIP, address: " + nodeIP.String() + "}]}\n")
	n.check(os.WriteFile(n.path("config.yaml"), []byte("masquerade-all: true\nhealth-port: 20299\n"), 0o600))
	good, err := os.ReadFile(n.path("kubeconfig"))
	n.check(err)
	server := strings.TrimSpace(strings.SplitN(strings.SplitN(string(good), "server: ", 2)[1], "\n", 2)[0])
	n.check(os.WriteFile(n.path("dead"), bytes.ReplaceAll(good, []byte(server), []byte("http://127.0.0.1:1")), 0o600))
	n.sh("nft add table ip kube-proxy")

	for _, c := range n.shortRuns(server) {
		t.Run(c.flag, c.show)
	}
	// One life with many of them.
	n.args = []string{
		"--config", n.path("config.yaml"), "--kubeconfig", n.path("kubeconfig"), "--hostname-override", "other", "-v", "1", "--take-over",
		"--enable-pprof", "--health-addr", "127.0.0.1", "--metrics-addr", "127.0.0.1", "--metrics-port", "8090", "--metrics-path", "/numbers",
		"--gobgp-admin-address", nodeIP.String(), "--gobgp-admin-port", "50099", "--enable-overlay=false",
	}
	n.start()
	for _, c := range n.longRun() {
		t.Run(c.flag, c.show)
	}
	n.stop()
	// The file of the flags is one of the settings that cleanup goes by.
	for _, c := range []flagCase{
		{"cleanup-config", func(t *testing.T) {
			n.once(0, append(n.flags(), "--cleanup-config")...).wants(t, 0, "", "clean")
			if text := n.sh("nft list tables; ip link"); strings.Contains(text, "inet kube-router") || strings.Contains(text, "kube-bridge") {
				t.Error(text)
			}
		}},
		{"master", func(t *testing.T) {
			n.args = []string{"--kubeconfig", n.path("dead"), "--master", server, "--gobgp-admin-port", "0", "--enable-overlay=false"}
			n.start()
			if n.listens("127.0.0.1:50051") {
				t.Error("--gobgp-admin-port=0 listens")
			}
			n.stop()
		}},
	} {
		t.Run(c.flag, c.show)
	}
	n.cleanup()
	t.Run("established", n.established)
}

// established shows what becomes of a connection that a new policy forbids.
func (n *node) established(t *testing.T) {
	n.apply(`{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default, labels: {app: web}},
  spec: {nodeName: n1, containers: [{name: web, image: web}]}, status: {phase: Running, podIP: 10.244.1.5, podIPs: [{ip: 10.244.1.5}]}}`)
	const deny = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: default}, spec: {podSelector: {}, policyTypes: [Ingress]}}`
	const flow = "-s 172.31.77.2 -d 10.244.1.5 -p tcp --sport 999 --dport 8080"
	stands := func() bool {
		text, _ := n.try("bash", "-c", "conntrack -L "+flow+" 2>/dev/null")
		return strings.Contains(text, "10.244.1.5")
	}
	for _, c := range []struct {
		flag  string
		lives bool
	}{
		{"netpol-keep-established", true},
		{"netpol-keep-established=false", false},
	} {
		n.args = []string{"--kubeconfig", n.path("kubeconfig"), "--run-router=false", "--run-service-proxy=false", "--" + c.flag}
		n.start()
		n.sh("conntrack -I " + flow + " --state ESTABLISHED -u ASSURED -t 600")
		n.apply(deny)
		n.eventually("closed", func() error {
			if text, err := n.show("firewalls"); err != nil || !strings.Contains(text, "nothing") {
				return fmt.Errorf("%v %s", err, text)
			}
			if stands() != c.lives {
				return fmt.Errorf("%s: the connection lives: %v", c.flag, stands())
			}
			return nil
		})
		if time.Sleep(time.Second); stands() != c.lives {
			t.Errorf("%s: the connection lives: %v", c.flag, !c.lives)
		}
		n.stop()
		n.check(n.api.Store.Remove(&networkingv1.NetworkPolicy{}, "default", "deny"))
		_, _ = n.try("conntrack", "-F")
	}
	n.cleanup()
}

// TestExits are the ends that scripts go by: nothing to do is success, everything unexpected is not.
func TestExits(t *testing.T) {
	const nobody = 65534
	n := newNode(t)
	n.once(0, "--run-router=false", "--run-firewall=false", "--run-service-proxy=false").wants(t, 0, "", "nothing to do")
	n.once(0, "extra").wants(t, 1, "", `unknown command "extra"`)
	n.once(0, "--kubeconfig", n.path("kubeconfig"), "--run-router", "false").wants(t, 1, "", "")
	n.once(0, "--no-such-flag").wants(t, 1, "", "unknown flag: --no-such-flag")
	n.once(0, "--bgp-port=x", "--overlay-encap=y").wants(t, 1, "", "--overlay-encap")
	n.once(nobody, "--kubeconfig", n.path("kubeconfig")).wants(t, 1, "", "must run as root")
	n.once(nobody, "cleanup").wants(t, 1, "", "needs root")
	n.args = []string{"--enable-overlay=false"}
	n.start()
	n.once(0, append([]string{"cleanup"}, n.flags()...)...).wants(t, 1, "", "a kube-router runs here")
	if text := n.sh("nft list tables"); !strings.Contains(text, "inet kube-router") {
		t.Error("cleanup removed what a running daemon needs")
	}
	n.stop()
	n.cleanup()
}

// shortRuns are flags with which the program ends by itself.
func (n *node) shortRuns(server string) []flagCase {
	const nobody = 65534
	return []flagCase{
		{"help", func(t *testing.T) { n.once(nobody, "--help").wants(t, 0, "--bgp-holdtime", "") }},
		{"version", func(t *testing.T) { n.once(nobody, "--version").wants(t, 0, "", "kube-router version") }},
		{"kubeconfig", func(t *testing.T) {
			n.once(0, "--kubeconfig", n.path("none")).wants(t, 1, "", n.path("none"))
		}},
		{"cache-sync-timeout", func(t *testing.T) {
			begin := time.Now()
			n.once(0, "--kubeconfig", n.path("dead"), "--cache-sync-timeout", "2s", "--control-socket", n.path("run/c.sock")).wants(t, 1, "", "not read within 2s (--cache-sync-timeout)")
			if took := time.Since(begin); took < 2*time.Second {
				t.Errorf("gave up after %s", took)
			}
			if text := n.sh("nft list tables"); strings.Contains(text, "inet kube-router") {
				t.Errorf("something was written before the cluster was read:\n%s", text)
			}
		}},
	}
}

// longRun are flags that a running daemon shows.
func (n *node) longRun() []flagCase {
	says := func(t *testing.T, view, want string) {
		t.Helper()
		if text, err := n.show(strings.Fields(view)...); err != nil || !strings.Contains(text, want) {
			t.Errorf("show %s has no %q: %v\n%s", view, want, err, text)
		}
	}
	exists := func(name string) func(t *testing.T) {
		return func(t *testing.T) {
			if i, err := os.Stat(n.path(name)); err != nil || i.Mode()&os.ModeSocket == 0 || i.Mode().Perm()&0o077 != 0 {
				t.Errorf("%v %v", i, err)
			}
		}
	}
	outside := func(port int) string { return fmt.Sprintf("%s:%d", nodeIP, port) }
	return []flagCase{
		{"config", func(t *testing.T) { says(t, "settings", n.path("config.yaml")+" line 1") }},
		{"hostname-override", func(t *testing.T) { says(t, "summary", "other") }},
		{"v", func(t *testing.T) {
			if !strings.Contains(n.log.String(), "level=DEBUG msg=changed") {
				t.Error("-v 1 doesn't log changed rows")
			}
		}},
		{"take-over", func(t *testing.T) {
			n.eventually("without the leftover", func() error {
				if text := n.sh("nft list tables"); strings.Contains(text, "ip kube-proxy") {
					return errors.New(text)
				}
				return nil
			})
		}},
		{"enable-pprof", func(t *testing.T) {
			n.only(t, "127.0.0.1:6060", outside(6060))
			if !strings.Contains(n.get("http://127.0.0.1:6060/debug/pprof/"), "goroutine") {
				t.Error("no profiles")
			}
		}},
		{"health-addr", func(t *testing.T) { n.only(t, "127.0.0.1:20299", outside(20299)) }},
		{"health-port", func(t *testing.T) {
			for _, page := range []string{"healthz", "readyz"} {
				if text := n.get("http://127.0.0.1:20299/" + page); !strings.HasPrefix(text, "OK") {
					t.Errorf("%s: %s", page, text)
				}
			}
		}},
		{"metrics-addr", func(t *testing.T) { n.only(t, "127.0.0.1:8090", outside(8090)) }},
		{"metrics-port", func(t *testing.T) { n.only(t, "127.0.0.1:8090", "127.0.0.1:20241") }},
		{"metrics-path", func(t *testing.T) {
			if text := n.get("http://127.0.0.1:8090/numbers"); !strings.Contains(text, "kube_router_build_info") {
				t.Error(text)
			}
		}},
		{"control-socket", exists("run/control.sock")},
		{"cni-socket", exists("run/cni.sock")},
		{"gobgp-admin-address", func(t *testing.T) { n.only(t, outside(50099), outside(50051)) }},
		{"gobgp-admin-port", func(t *testing.T) { n.only(t, "127.0.0.1:50099", "127.0.0.1:50051") }},
	}
}
