//go:build flows

package flows

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/flow"
	"kube-router/internal/lab"
)

const nodePort = `
apiVersion: v1
kind: Service
metadata: {name: door, namespace: shop}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080}]
`

// plugin runs the kubectl plugin and gives what it prints for its user, for people and its exit code.
func (w *world) plugin(words ...string) (out, said string, code int) {
	w.t.Helper()
	cmd := w.pluginCommand(words...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func (w *world) pluginCommand(words ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.ctx, filepath.Join(programs, "kubectl-kuberouter"), words...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig())
	return cmd
}

// merged waits until the plugin tells of the flows from a port of a client, and of nothing else but what is wanted.
func (w *world) merged(args []string, is func([]flow.Record) error) error {
	return w.soon(func() error {
		out, said, code := w.plugin(append(append([]string{"flows"}, args...), "-o", "json")...)
		if code != 0 {
			return fmt.Errorf("code %d: %s%s", code, out, said)
		}
		list, err := records(out)
		if err == nil {
			err = is(list)
		}
		if err != nil {
			err = fmt.Errorf("%v: %w in\n%s%s", args, err, out, said)
		}
		return err
	})
}

// one wants a single flow with a line and the nodes that saw it.
func one(nodes string, words ...string) func([]flow.Record) error {
	return func(list []flow.Record) error {
		if len(list) != 1 {
			return fmt.Errorf("%d flows, want one", len(list))
		}
		line := list[0].Line(true)
		for _, word := range append(words, "["+nodes+"]") {
			if !strings.Contains(line, word) {
				return fmt.Errorf("no %q in %s", word, line)
			}
		}
		return nil
	}
}

func none(list []flow.Record) error {
	if len(list) > 0 {
		return fmt.Errorf("%d flows, want none", len(list))
	}
	return nil
}

// TestMerged: the plugin tells of a connection once, however many nodes saw it and whatever addresses it had between them.
func TestMerged(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 3, DaemonPods: true})
	w.apply(nodePort)
	client, web := w.pod("default", "client", "n1"), w.pod("shop", "web", "n3")
	for family, name := range families {
		at := netip.AddrPortFrom(web.Addrs()[family], port)
		ask(client, at, "tcp")
		w.judge("merged "+name, "two nodes, one flow", w.merged([]string{"--from-pod", client.Name, "--to-ip", at.Addr().String(), "--protocol", "tcp"},
			one("n1 n3", client.Name+":", "-> "+web.Name+":8080 FORWARDED (TCP)")))
		ask(client, at, "udp")
		w.judge("merged "+name, "two nodes, one flow, UDP", w.merged([]string{"--from-pod", client.Name, "--to-ip", at.Addr().String(), "--protocol", "udp"},
			one("n1 n3", client.Name+":", "-> "+web.Name+":8080 FORWARDED (UDP)")))
	}
	// A node port of n2, from outside and from a pod of n1: masqueraded there unless the endpoint is its own.
	for family, name := range families {
		door := netip.AddrPortFrom(w.Node("n2").Addrs()[family], 30080)
		want := []string{"FORWARDED (TCP) by Service shop/door at " + door.String()}
		for _, c := range []struct {
			title, who, nodes string
			from              *lab.Host
		}{{"from outside", w.Outside().Addrs()[family].String(), "n2 ", w.Outside()}, {"from a pod of a third node", client.Name, "n1 n2", client}} {
			for range 12 { // until each endpoint has had one
				ask(c.from, door, "tcp")
			}
			w.judge("merged "+name, "a node port "+c.title+": one flow each, from who it was to the pod that answered", w.merged([]string{"--to-service", "shop/door", "--from-ip", c.from.Addrs()[family].String(), "--all"},
				func(list []flow.Record) error {
					if len(list) != 12 {
						return fmt.Errorf("%d flows of 12", len(list))
					}
					far := 0
					for _, r := range list {
						if !strings.Contains(r.Line(true), want[0]) || !strings.Contains(r.Line(true), c.who) || r.Flow.Destination.Pod == "" {
							return fmt.Errorf("%s", r.Line(true))
						}
						if "shop/"+r.Flow.Destination.Pod == web.Name {
							if far++; r.Own.Seen == "" || len(r.Own.SeenBy) < 2 || r.Own.SeenBy[len(r.Own.SeenBy)-1] != "n3" {
								return fmt.Errorf("%s: seen by %v, client as seen %q", r.Line(true), r.Own.SeenBy, r.Own.Seen)
							}
						}
					}
					if far == 0 {
						return fmt.Errorf("no flow to %s", web.Name)
					}
					return nil
				}))
		}
	}
	w.apply(isolating)
	for family, name := range families {
		at := netip.AddrPortFrom(web.Addrs()[family], port)
		w.check(w.soon(func() error {
			if r := ask(client, at, "tcp"); r.OK() {
				return fmt.Errorf("%s still answers", at)
			}
			return nil
		}))
		door := netip.AddrPortFrom(w.Node("n2").Addrs()[family], 30080)
		for range 12 {
			ask(client, door, "tcp")
		}
		refused := []string{"-> " + web.Name + ":8080 DROPPED (TCP) by Service shop/door at " + door.String() + "; refused: default deny (ingress) by NetworkPolicy shop/closed"}
		w.judge("merged "+name, "what the last node refuses is refused, with the client and the Service of the first", w.merged(
			[]string{"--verdict", "DROPPED", "--from-pod", client.Name, "--to-service", "shop/door", "--to-pod", web.Name, "--to-ip", at.Addr().String(), "--all"}, func(list []flow.Record) error {
				for _, r := range list {
					if err := one("n2 n3", refused...)([]flow.Record{r}); err != nil {
						return err
					}
				}
				if len(list) == 0 {
					return errors.New("nothing is told")
				}
				return nil
			}))
		w.judge("merged "+name, "and isn't told as passed", w.merged([]string{"--verdict", "FORWARDED", "--to-service", "shop/door", "--to-ip", at.Addr().String(), "--since", "5s"}, none))
		out, said, code := w.plugin("drops", "--to-ip", at.Addr().String(), "-o", "wide")
		var err error
		if code != 0 || !strings.Contains(out, "default deny (ingress) by NetworkPolicy shop/closed") || strings.Contains(out, "FORWARDED") {
			err = fmt.Errorf("code %d: %s%s", code, out, said)
		}
		w.judge("merged "+name, "drops", err)
	}
	w.why(web)
	w.check(w.Delete(w.ctx, isolating))
	w.followed(client, web)
	w.silent(web)
	w.updated(client, web)
}

// why: a flow's identifier leads to what why says about its ends, from the node and from anywhere.
func (w *world) why(web *lab.Host) {
	out, said, _ := w.plugin("drops", "--to-pod", web.Name, "--last", "1", "-o", "json")
	list, err := records(out)
	if err != nil || len(list) != 1 {
		w.t.Fatalf("%v: %s%s", err, out, said)
	}
	r := list[0]
	text, err := w.run(r.NodeName, "why", "--flow", r.Flow.UUID)
	if err == nil && (!strings.Contains(text, "closed") || !strings.Contains(text, web.Name)) {
		err = fmt.Errorf("%s", text)
	}
	w.judge("why", "--flow on the node", err)
	out, said, code := w.plugin("why", "--flow", r.Flow.UUID)
	err = nil
	if code == 2 || !strings.Contains(out, "closed") || !strings.Contains(said, "DROPPED") {
		err = fmt.Errorf("code %d: %s%s", code, out, said)
	}
	w.judge("why", "--flow from anywhere", err)
	_, said, code = w.plugin("why", "--flow", "18ecedf4-a62c-018c-c64e-ecb413cc43ee")
	err = nil
	if code != 2 || !strings.Contains(said, "no node keeps a flow") {
		err = fmt.Errorf("code %d: %s", code, said)
	}
	w.judge("why", "--flow of one that nobody keeps", err)
}

// followed: what comes is told within seconds, once.
func (w *world) followed(client, web *lab.Host) {
	at := netip.AddrPortFrom(web.IPv4(), port)
	cmd := w.pluginCommand("flows", "--follow", "--protocol", "udp", "--to-pod", web.Name, "--from-pod", client.Name, "--since", "1s", "-o", "json")
	var out bytes.Buffer
	lines := &lockedBuffer{to: &out}
	cmd.Stdout = lines
	w.check(cmd.Start())
	time.Sleep(3 * time.Second) // it has begun to listen
	ask(client, at, "udp")
	err := w.soon(func() error {
		if lines.count("\n") == 0 {
			return errors.New("nothing is told")
		}
		return nil
	})
	time.Sleep(2 * time.Second) // a second line would have come
	w.check(cmd.Process.Signal(os.Interrupt))
	ended := cmd.Wait()
	if n := lines.count("FORWARDED"); err == nil && (n != 1 || lines.count("seen_by") != 1 || ended != nil) {
		err = fmt.Errorf("%d flows, %v:\n%s", n, ended, out.String())
	}
	w.judge("merged", "followed: one line, and Ctrl-C is a good end", err)
}

// silent: nodes that hang or are away are named, and the rest is told.
func (w *world) silent(web *lab.Host) {
	w.check(w.Node("n2").SignalDaemon(syscall.SIGSTOP))
	begun := time.Now()
	out, said, code := w.plugin("flows", "--all", "--timeout", "5s", "--to-pod", web.Name)
	var err error
	if took := time.Since(begun); code != 2 || took > 20*time.Second || !strings.Contains(out, "NODE_UNAVAILABLE: n2 no answer within 5s") || !strings.Contains(out, "FORWARDED") {
		err = fmt.Errorf("code %d after %s: %s\n%.2000s", code, took, said, out)
	}
	w.judge("merged", "a daemon that hangs is named, the rest is told", err)
	w.check(w.Node("n2").SignalDaemon(syscall.SIGCONT))
	w.check(w.Node("n3").StopDaemon())
	out, said, code = w.plugin("flows", "--last", "5", "-o", "json")
	err = nil
	if list, bad := records(out); bad != nil || code != 2 || len(list) != 6 || list[0].NodeStatus == nil || list[0].NodeStatus.Nodes[0] != "n3" {
		err = fmt.Errorf("code %d, %v: %s\n%s", code, bad, said, out)
	}
	w.judge("merged", "a daemon that is away is named, in JSON too", err)
	w.check(w.Node("n3").StartDaemon())
	out, said, code = w.plugin("flows", "--node", "n1", "--last", "3")
	err = nil
	if code != 0 || strings.Count(out, "\n") != 3 {
		err = fmt.Errorf("code %d: %s\n%s", code, said, out)
	}
	w.judge("merged", "--node", err)
}

// updated follows all nodes while an update puts another pod, with another daemon, in the place of n3's.
func (w *world) updated(client, web *lab.Host) {
	cmd := w.pluginCommand("flows", "-f", "--to-pod", web.Name, "--protocol", "udp")
	out := &lockedBuffer{to: &bytes.Buffer{}}
	cmd.Stdout, cmd.Stderr = out, out
	w.check(cmd.Start())
	defer func() { _ = cmd.Process.Signal(syscall.SIGINT); _ = cmd.Wait() }()
	told := func(what string) error {
		return w.soon(func() error {
			ask(client, netip.AddrPortFrom(web.IPv4(), port), "udp")
			if text := out.String(); !strings.Contains(text, what) {
				return fmt.Errorf("no %q in %.2000s", what, text)
			}
			return nil
		})
	}
	w.judge("merged", "followed through an update: flows before it", told("FORWARDED"))
	old := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-router-n3"}}
	w.check(w.Client.Get(w.ctx, old))
	w.check(w.Node("n3").StopDaemon())
	w.check(w.Client.Delete(w.ctx, old, nil))
	w.judge("merged", "followed through an update: the node is away", told("NODE_UNAVAILABLE: n3"))
	w.check(w.Node("n3").StartDaemon())
	next := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-router-x7q2p", Labels: old.Labels, Annotations: old.Annotations}, Spec: old.Spec}
	w.check(w.Client.Create(w.ctx, next))
	w.judge("merged", "followed through an update: the node is there again, by its new pod", told("NODE_CONNECTED: n3"))
}

// lockedBuffer is written by a program while it is read.
type lockedBuffer struct {
	mu sync.Mutex
	to *bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.to.Write(p)
}

func (b *lockedBuffer) count(word string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.to.String(), word)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.to.String()
}
