package cluster

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestCheck is the connectivity test: all passes on a cluster that is well, what is broken fails by its name, and nothing is left, after Ctrl-C either.
func TestCheck(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2})
	left := func(when string) {
		t.Helper()
		eventually(t, func() error {
			if a := run(t, ctx, l, "kubectl", "get", "namespaces", "-l", "kube-router.io/check", "-o", "name"); a.code != 0 || strings.TrimSpace(a.out) != "" {
				return fmt.Errorf("left %s: %s%s", when, a.out, a.errs)
			}
			return nil
		})
	}
	a := run(t, ctx, l, "kubectl", "kuberouter", "check")
	t.Logf("code %d\n%s%s", a.code, a.out, a.errs)
	if a.code != 0 || strings.Contains(a.out, "FAIL ") || !regexp.MustCompile(`check: \d{2,} passed, 0 failed`).MatchString(a.out) {
		t.Error("a cluster that is well fails")
	}
	for _, line := range []string{"pod to pod, same node", "pod to pod, other node, 300 kB", "pod to pod, other node, fragments", "pod to Service", "pod to itself by its Service", "pod to node port",
		"what a policy allows", "what a policy forbids"} {
		for _, family := range []string{"IPv4", "IPv6"} {
			if !regexp.MustCompile(`pass +` + line + ` +` + family).MatchString(a.out) {
				t.Errorf("no line %q of %s", line, family)
			}
		}
	}
	left("by a check that passed")

	// Somebody's rule drops IPv6 between the nodes: that fails, and nothing of IPv4.
	if out, err := l.Node("n2").Run(ctx, "sh", "-c", "nft add table inet foe; nft add chain inet foe f '{type filter hook forward priority -400;}'; "+
		"nft add rule inet foe f ip6 daddr fd00:10:244:2::/64 tcp dport 8080 drop"); err != nil {
		t.Fatal(err, out)
	}
	a = run(t, ctx, l, "kubectl", "kuberouter", "check", "-o", "junit")
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Class   string `xml:"classname,attr"`
			Failure *struct{}
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal([]byte(a.out), &suite); err != nil || a.code != 1 || suite.Failures == 0 || suite.Tests <= suite.Failures {
		t.Errorf("code %d, %v: %.500s %s", a.code, err, a.out, a.errs)
	}
	for _, c := range suite.Cases {
		if strings.HasSuffix(c.Class, "IPv4") && strings.Contains(a.out, `classname="`+c.Class+`"`) && failed(a.out, c.Class) {
			t.Errorf("%s fails, too", c.Class)
		}
	}
	if !failed(a.out, "pod to pod, other node IPv6") {
		t.Errorf("what is dropped passes:\n%s", a.out)
	}
	left("by a check that failed")
	if out, err := l.Node("n2").Run(ctx, "nft", "delete", "table", "inet", "foe"); err != nil {
		t.Fatal(err, out)
	}

	for _, after := range []string{"namespace kube-router-check-", "from n", "waiting for"} { // Ctrl-C, at each stage
		interrupt(t, l, after)
		left("by one that was interrupted after " + after)
	}
}

// TestCheckEncrypted: where encryption is on the check looks whether its own packets went through WireGuard; a node that sends in clear fails.
func TestCheckEncrypted(t *testing.T) {
	on := []string{"--encryption=wireguard", "--wireguard-key-file=/run/kube-router/wireguard.key", "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48"}
	l, ctx := start(t, lab.Config{Nodes: 2, DaemonArgs: on})
	eventually(t, func() error {
		if a := run(t, ctx, l, "kubectl", "kuberouter", "show", "encryption"); strings.Count(a.out, "encrypted to 1 of 1 nodes") != 2 {
			return fmt.Errorf("%s%s", a.out, a.errs)
		}
		return nil
	})
	for _, all := range []bool{true, false} {
		if !all { // n2 alone goes on, and n1 is reached in clear
			if err := l.Node("n1").RestartDaemon("--encryption=off"); err != nil {
				t.Fatal(err)
			}
		}
		a := run(t, ctx, l, "kubectl", "kuberouter", "check")
		t.Logf("code %d\n%s%s", a.code, a.out, a.errs)
		if line := regexp.MustCompile(`(pass|FAIL) +encrypted between nodes +all +\d of \d`).FindString(a.out); a.code != map[bool]int{true: 0, false: 1}[all] || line == "" || all != strings.HasPrefix(line, "pass") {
			t.Errorf("all encrypted: %v; %q", all, line)
		}
	}
}

// failed tells whether a case of that class has a failure.
func failed(report, class string) bool {
	return regexp.MustCompile(`classname="` + regexp.QuoteMeta(class) + `"[^>]*>\s*<failure`).MatchString(report)
}

// interrupt starts a check and presses Ctrl-C once it has said that, or after a while.
func interrupt(t *testing.T, l *lab.Lab, after string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kubectl-kuberouter", "check")
	cmd.Path = programs + "/kubectl-kuberouter"
	cmd.Err = nil
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig())
	var said bytes.Buffer
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(45*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGINT) })
	defer late.Stop()
	pressed := false
	for buf := make([]byte, 4096); ; {
		n, err := out.Read(buf)
		if said.Write(buf[:n]); !pressed && strings.Contains(said.String(), after) {
			pressed = true
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
		if err != nil {
			break
		}
	}
	_ = cmd.Wait() // with code 2, as a rule
	if !pressed && after != "waiting for" {
		t.Errorf("never said %q:\n%s", after, said.String())
	}
}
