package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

func node(name string, ranges ...string) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: ranges}}
}

func daemonPod(name, on string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: DefaultNamespace},
		Spec: corev1.PodSpec{NodeName: on, Containers: []corev1.Container{{Name: "kube-router"}}}}
}

// serve is an API server that lists nodes and pods, and answers exec as told.
func serve(t *testing.T, nodes []corev1.Node, pods []corev1.Pod, exec http.HandlerFunc) *Cluster {
	t.Helper()
	mux := http.NewServeMux()
	say := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v)
		}
	}
	mux.HandleFunc("/api/v1/nodes", say(corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, Items: nodes}))
	mux.HandleFunc("/api/v1/namespaces/kube-system/pods", say(corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: pods}))
	mux.HandleFunc("/api/v1/namespaces/kube-system/pods/{pod}/exec", exec)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	c, err := Open(&rest.Config{Host: s.URL}, "default")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSilence: each way in which a node can't be asked is said in words, and a missing right by its name.
func TestSilence(t *testing.T) {
	forbid := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"pods \"a\" is forbidden: User \"eve\" cannot create resource \"pods/exec\""}`)
	}
	broken := daemonPod("a", "n1")
	broken.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "kube-router",
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 40s"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", FinishedAt: metav1.Unix(0, 0)}}}}
	off := node("n1")
	off.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "container not found", http.StatusInternalServerError)
	}
	hang := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	}
	for what, c := range map[string]struct {
		nodes []corev1.Node
		pods  []corev1.Pod
		exec  http.HandlerFunc
		says  []string
	}{
		"no right":    {[]corev1.Node{node("n1")}, []corev1.Pod{daemonPod("a", "n1")}, forbid, []string{"eve", "pods/exec in namespace kube-system"}},
		"crash loop":  {[]corev1.Node{node("n1")}, []corev1.Pod{broken}, refuse, []string{"CrashLoopBackOff back-off 40s", "code 1 Error"}},
		"no pod":      {[]corev1.Node{node("n0"), node("n1")}, []corev1.Pod{daemonPod("a", "n0")}, refuse, []string{"no kube-router pod on this node"}},
		"node is off": {[]corev1.Node{off}, []corev1.Pod{daemonPod("a", "n1")}, hang, []string{"no answer within 300ms", "the node is not ready"}},
		"odd answer":  {[]corev1.Node{node("n1")}, []corev1.Pod{daemonPod("a", "n1")}, refuse, []string{"pod a: "}},
	} {
		cluster := serve(t, c.nodes, c.pods, c.exec)
		cluster.Patience = 300 * time.Millisecond
		if what != "node is off" {
			cluster.Patience = 20 * time.Second
		}
		var out bytes.Buffer
		v, err := cluster.Status(context.Background(), []string{"n1"}, &out, "text")
		if err != nil || v != Unknown {
			t.Errorf("%s: %v, %v", what, v, err)
		}
		for _, text := range append(c.says, "SILENT") {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s: lacks %q:\n%s", what, text, out.String())
			}
		}
	}
}

func TestSharedRanges(t *testing.T) {
	moved := node("n3", "10.0.9.0/24")
	moved.Annotations = map[string]string{"kube-router.io/pod-cidrs": "10.0.1.0/24, fd00:3::/64"}
	var nodes []Node
	for _, n := range []corev1.Node{node("n1", "10.0.1.0/24", "fd00:1::/64"), node("n2", "10.0.2.0/24"), moved, node("n4", "10.0.0.0/16"), node("n5")} {
		nodes = append(nodes, Node{Name: n.Name, Object: &n})
	}
	want := []string{
		"pod ranges overlap: 10.0.0.0/16 of n4 and 10.0.1.0/24 of n1",
		"pod ranges overlap: 10.0.1.0/24 of n1 and 10.0.1.0/24 of n3",
		"pod ranges overlap: 10.0.0.0/16 of n4 and 10.0.1.0/24 of n3",
	}
	if d := cmp.Diff(want, sharedRanges(nodes)); d != "" {
		t.Error(d)
	}
}

func TestOneSided(t *testing.T) {
	at := func(name, ip string) Node {
		n := node(name)
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}}
		return Node{Name: name, Object: &n}
	}
	peers := func(node, text string) (list []NodePeer) {
		var sessions []session
		if err := json.Unmarshal([]byte(text), &sessions); err != nil {
			t.Fatal(err)
		}
		for _, s := range sessions {
			list = append(list, peerOf(node, s))
		}
		return list
	}
	list := append(peers("n1", `[{"Addr":"192.0.2.2","ASN":64512,"Node":"n2","Session":"ESTABLISHED","Since":"2026-01-02T03:04:05Z","Received":2}]`),
		peers("n2", `[{"Addr":"192.0.2.1","ASN":64512,"Session":"ACTIVE","Since":"0001-01-01T00:00:00Z"}]`)...)
	oneSided([]Node{at("n1", "192.0.2.1"), at("n2", "192.0.2.2")}, list)
	if list[0].Remark != "established here only: n2 says ACTIVE" || list[1].Remark != "" || list[1].Since != nil || list[1].PeerNode != "n1" || rank(list[0]) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestNaturalOrder(t *testing.T) {
	if natural("n2", "n10") >= 0 || natural("a10", "b2") >= 0 || natural("n10", "n10") != 0 {
		t.Error("order of names")
	}
}

func TestWhatAsksTheServer(t *testing.T) {
	for word, want := range map[string]bool{"web": true, "80/tcp": false, "8080": false, "web-1.x": true, "": false, "A": false} {
		if object(word) != want {
			t.Errorf("%q: %t", word, !want)
		}
	}
}
