//go:build page

package page

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/probe"
)

// workload is a Deployment with the Service of its name.
func workload(namespace, name string, replicas, port int) string {
	return fmt.Sprintf(`---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  replicas: %[3]d
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: lab, ports: [{containerPort: %[4]d}]}]
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec: {selector: {app: %[2]s}, ports: [{name: http, port: %[5]d, targetPort: %[4]d}]}
`, namespace, name, replicas, port, map[int]int{8080: 80}[port]+map[int]int{5432: 5432}[port])
}

const spaces = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: data}
`

// policies let the shop alone reach the database, and keep reports away from the cart by the second rule of a policy of the cluster.
const policies = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-the-shop, namespace: data}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}
    ports: [{port: 5432}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guardrail}
spec:
  tier: Admin
  priority: 10
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: reports}}}}
  egress:
  - {name: to-data, action: Pass, to: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: data}}}]}
  - {name: not-the-cart, action: Deny, to: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: cart}}}}]}
`

// world is a lab whose pods talk.
type world struct {
	*lab.Lab
	t   *testing.T
	ctx context.Context
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// begin starts the lab and has a shop run in it.
func begin(t *testing.T) *world {
	l, ctx := labtest.Start(t, 9*time.Minute, programs, lab.Config{DaemonPods: true, Families: lab.IPv4Only, DaemonArgs: []string{"--flows=all"}})
	w := &world{l, t, ctx}
	kind, err := os.ReadFile("../../deploy/kustomize/policy-crd/clusternetworkpolicies.yaml")
	w.check(err)
	w.check(l.Apply(ctx, string(kind)))
	w.check(l.Apply(ctx, spaces+workload("shop", "frontend", 2, 8080)+workload("shop", "cart", 2, 8080)+workload("shop", "catalog", 2, 8080)+
		workload("data", "db", 1, 5432)+workload("default", "reports", 1, 8080)+workload("default", "batch", 0, 8080)))
	w.check(l.WaitReady(ctx))
	w.check(l.Apply(ctx, policies))
	return w
}

// ask has a pod of a workload ask another's Service n times; what comes of it isn't minded.
func (w *world) ask(from, to string, n int) error {
	namespace, app, _ := strings.Cut(from, "/")
	pods := w.Pods(namespace, "app="+app)
	if len(pods) == 0 {
		return fmt.Errorf("no pod of %s", from)
	}
	namespace, name, _ := strings.Cut(to, "/")
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := w.Client.Get(w.ctx, service); err != nil {
		return err
	}
	at, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil {
		return err
	}
	for i := range n {
		pods[i%len(pods)].Probe(probe.Request{To: netip.AddrPortFrom(at, uint16(service.Spec.Ports[0].Port)), Proto: "tcp", Timeout: time.Second})
	}
	return nil
}

// talk has the shop's workloads talk until the test ends.
func (w *world) talk() {
	ctx, stop := context.WithCancel(w.ctx)
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			for _, p := range [][2]string{{"shop/frontend", "shop/cart"}, {"shop/frontend", "shop/catalog"}, {"shop/cart", "data/db"}, {"shop/catalog", "data/db"}} {
				if err := w.ask(p[0], p[1], 4); err != nil && ctx.Err() == nil {
					w.t.Log(err)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	w.t.Cleanup(func() {
		stop()
		all.Wait()
	})
}

// hand lets the script in the browser do something to the lab.
func (w *world) hand() string {
	mux := http.NewServeMux()
	on := func(path string, do func(r *http.Request) error) {
		mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
			if err := do(r); err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	on("/ask", func(r *http.Request) error { return w.ask(r.FormValue("from"), r.FormValue("to"), 1) })
	on("/stop", func(r *http.Request) error { return w.Node(r.FormValue("node")).StopDaemon() })
	on("/start", func(r *http.Request) error { return w.Node(r.FormValue("node")).StartDaemon() })
	server := httptest.NewServer(mux)
	w.t.Cleanup(server.Close)
	return server.URL
}

// serve runs a command that serves the page, and returns its URL.
func (w *world) serve(name string, args ...string) string {
	cmd := exec.Command(filepath.Join(programs, name), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	w.check(err)
	w.check(cmd.Start())
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("%s ends with %v", name, err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	w.check(err)
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "open ")
	if !ok {
		w.t.Fatalf("%s said %q", name, line)
	}
	return url
}

// TestPage drives the page of the plugin against a lab: map, flows, filters, a refusal with its rule, every view, a node that is down, a reload, the
// keyboard, and what axe-core says.
func TestPage(t *testing.T) {
	w := begin(t)
	w.talk()
	url := w.serve("kubectl-kuberouter", "--kubeconfig", w.Kubeconfig(), "ui")
	w.guarded(url)
	browse(w.ctx, t, "drive.mjs", url, w.hand())

	url = w.serve("kube-router", "lab", "ui", "--name", w.Name())
	text, err := get(url+"api/about", "")
	if err == nil && !strings.Contains(text, "lab "+w.Name()) {
		err = errors.New(text)
	}
	scoring.Judge(t, "commands", "kube-router lab ui serves the same page", err, "")
}

// guarded tries the doors of the page.
func (w *world) guarded(url string) {
	base := url[:strings.Index(url[len("http://"):], "/")+len("http://")+1]
	refused := func(what, url, host string, header ...string) {
		_, err := get(url, host, header...)
		if err == nil {
			err = errors.New("it was answered")
		} else if strings.HasPrefix(err.Error(), "403") {
			err = nil
		}
		scoring.Judge(w.t, "doors", what+" is refused", err, "")
	}
	refused("no token", base+"api/about", "")
	refused("a wrong token", base+"AAAAAAAAAAAAAAAAAAAAAA/api/about", "")
	refused("another host's name (DNS rebinding)", url+"api/about", "evil.example:80")
	refused("another site's script", url+"api/about", "", "Origin", "https://evil.example")
	refused("another site's frame", url, "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "iframe", "Sec-Fetch-Mode", "navigate")
	_, err := get(url+"api/about", "")
	scoring.Judge(w.t, "doors", "the URL that was printed is answered", err, "")
}

// get asks for a URL, by another host's name if one is given; an answer other than 200 is an error that begins with its number.
func get(url, host string, header ...string) (string, error) {
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return "", err
	}
	if r.Host = host; host == "" {
		r.Host = r.URL.Host
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", resp.StatusCode, text)
	}
	return string(text), err
}
