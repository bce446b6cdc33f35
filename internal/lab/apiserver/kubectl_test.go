package apiserver_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab/apiserver"
)

// A kubectl runs the real program with a kubeconfig and a cache of its own.
type kubectl struct {
	t    *testing.T
	path string
	env  []string
}

func newKubectl(t *testing.T, c *cluster) kubectl {
	t.Helper()
	path, err := exec.LookPath("kubectl")
	if err != nil {
		t.Fatal("this test needs the kubectl program on the PATH: it is what users will talk to the lab with")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(config, c.Kubeconfig(c.url), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubectl{t, path, append(os.Environ(), "KUBECONFIG="+config, "HOME="+dir, "KUBECACHEDIR="+dir, "TERM=dumb")}
}

func (k kubectl) run(stdin string, args ...string) (string, error) {
	k.t.Helper()
	cmd := exec.CommandContext(k.t.Context(), k.path, args...)
	cmd.Env, cmd.Stdin = k.env, strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	k.t.Logf("$ kubectl %s\n%s", strings.Join(args, " "), out.String())
	return out.String(), err
}

// ok runs a command that must succeed and whose output must contain each of the texts.
func (k kubectl) ok(stdin, command string, want ...string) {
	k.t.Helper()
	out, err := k.run(stdin, strings.Fields(command)...)
	if err != nil {
		k.t.Errorf("kubectl %s: %v", command, err)
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			k.t.Errorf("kubectl %s: output lacks %q", command, text)
		}
	}
}

// fails runs a command that must fail saying so.
func (k kubectl) fails(stdin, command, want string) {
	k.t.Helper()
	out, err := k.run(stdin, strings.Fields(command)...)
	if err == nil || !strings.Contains(out, want) {
		k.t.Errorf("kubectl %s: want failure saying %q, have %v", command, want, err)
	}
}

const webManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 5
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: web, ports: [{containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {}}], ports: [{port: 80, protocol: TCP}]}]
`

// TestKubectl is a user's first quarter of an hour with the lab.
func TestKubectl(t *testing.T) {
	c := start(t, apiserver.Options{})
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.0.0/24", "fd00:10:244::/64"}}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}
	p := pod("web-1", "n1")
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.0.7", ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Ready: true}}}
	if err := c.Put(node, p, service("api", 443), slice("api", "10.244.0.7")); err != nil {
		t.Fatal(err)
	}
	k := newKubectl(t, c)

	k.ok("", "version", "Server Version: "+apiserver.Version)
	k.ok("", "get nodes -o wide", "n1", "Ready", "192.0.2.1", "INTERNAL-IP")
	k.ok("", "get pods -A -o wide", "default", "web-1", "1/1", "Running", "10.244.0.7", "n1")
	k.ok("", "get svc,endpointslices", "service/api", "ClusterIP", "443/TCP", "endpointslice.discovery.k8s.io/api", "10.244.0.7")
	k.ok("", "get all", "pod/web-1", "service/api")
	k.ok("", "api-resources", "networkpolicies", "netpol", "endpointslices")
	k.ok("", "get pods --field-selector spec.nodeName=n1 -l app=web -o name", "pod/web-1")
	k.fails("", "get pod nobody", `pods "nobody" not found`)

	k.ok(webManifest, "apply -f -", "namespace/shop created", "deployment.apps/web created", "service/web created", "networkpolicy.networking.k8s.io/only-web created")
	k.ok(webManifest, "apply -f -", "deployment.apps/web unchanged", "service/web unchanged", "networkpolicy.networking.k8s.io/only-web unchanged")
	k.ok(strings.Replace(webManifest, "port: 80,", "port: 81,", 1), "apply -f -", "service/web configured", "deployment.apps/web unchanged")
	k.fails(webManifest, "diff -f -", "+    port: 80") // it answers 1 if there is a difference
	k.ok(webManifest, "apply --server-side -f - --force-conflicts", "service/web serverside-applied")
	k.ok("", "get deploy,svc,netpol -n shop -o wide", "0/5", "NodePort", "80:3", "app=web")
	k.ok("", "scale -n shop deployment/web --replicas=3", "deployment.apps/web scaled")
	k.ok("", "get -n shop deploy web -o jsonpath={.spec.replicas}/{.metadata.generation}", "3/2")

	k.ok("", "describe node n1", "PodCIDRs:", "10.244.0.0/24,fd00:10:244::/64", "web-1")
	k.ok("", "describe pod web-1", "Node:", "10.244.0.7", "Status:", "Running")
	k.ok("", "describe svc -n shop web", "Type:", "NodePort", "IP Families:", "IPv4,IPv6", "TargetPort:", "8080/TCP")
	k.ok("", "describe netpol -n shop only-web", "Allowing ingress traffic", "To Port: 80/TCP")
	k.ok("", "describe ns shop", "Status:", "Active")
	k.ok("", "annotate node n1 kube-router.io/node.asn=64512", "node/n1 annotated")
	k.ok("", "label pod web-1 tier=front", "pod/web-1 labeled")
	k.ok("", "cordon n1", "node/n1 cordoned")
	k.ok("", "get nodes", "Ready,SchedulingDisabled")
	k.ok("", "patch svc -n shop web --type=json -p [{\"op\":\"replace\",\"path\":\"/spec/sessionAffinity\",\"value\":\"ClientIP\"}]", "patched")
	k.ok("", "get svc -n shop web -o jsonpath={.spec.sessionAffinityConfig.clientIP.timeoutSeconds}", "10800")
	k.ok("", "create configmap settings --from-literal=a=b", "configmap/settings created")
	k.ok("", "run one --image=web", "pod/one created")
	k.ok("", "expose pod one --port=80", "service/one exposed")
	k.ok("", "create service clusterip two --tcp=80:8080", "service/two created")

	k.fails(strings.Replace(webManifest, "targetPort: 8080", "targetport: 8080", 1), "apply -f -", `unknown field "spec.ports[0].targetport"`)
	k.fails("", "patch svc -n shop web -p {\"spec\":{\"ports\":[{\"port\":70000}]}}", "must be between 1 and 65535")
	k.ok("", "delete pod web-1", `pod "web-1" deleted`)
	k.ok("", "delete svc -n shop --all", `service "web" deleted`)
	k.ok("", "delete ns shop", `namespace "shop" deleted`)
	k.fails("", "get deploy -n shop web", "not found")
}

// TestKubectlWatch: `kubectl get -w` prints a line for what happens while it runs.
func TestKubectlWatch(t *testing.T) {
	c := start(t, apiserver.Options{})
	if err := c.Put(pod("web-1", "n1")); err != nil {
		t.Fatal(err)
	}
	k := newKubectl(t, c)
	cmd := exec.CommandContext(t.Context(), k.path, "get", "pods", "-w", "-o", "wide")
	cmd.Env = k.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var seen strings.Builder
	read := func(text string) {
		t.Helper()
		for buf := make([]byte, 4096); !strings.Contains(seen.String(), text); {
			n, err := out.Read(buf)
			if err != nil {
				t.Fatalf("output ended without %q: %v\n%s", text, err, seen.String())
			}
			seen.Write(buf[:n])
		}
	}
	read("web-1")
	if err := c.Put(pod("web-2", "n1")); err != nil {
		t.Fatal(err)
	}
	read("web-2")
	if n := strings.Count(seen.String(), "NOMINATED NODE"); n != 1 {
		t.Errorf("the heading came %d times, want once:\n%s", n, seen.String())
	}
}
