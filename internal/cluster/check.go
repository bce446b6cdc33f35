package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilexec "k8s.io/client-go/util/exec"
)

const (
	starting = 90 * time.Second // for the pods of a check
	probing  = 90 * time.Second // for all that one pod asks
	removing = 60 * time.Second // for the namespace to go
)

// CheckResult is what one probe of a check found.
type CheckResult struct {
	Check  string `json:"check"`  // such as "pod to pod, other node"
	Family string `json:"family"` // IPv4, IPv6, or all
	From   string `json:"from"`   // the node of the client
	To     string `json:"to"`     // what was asked
	Probe  string `json:"probe"`  // such as ok:tcp/10.244.1.2:8080
	Passed bool   `json:"passed"`
	Saw    string `json:"saw"`
	want   string // the pod that must answer; empty: any
}

// Check tries the network with real packets: it makes a namespace with a pod on each node, has them ask each other, Services and node ports, with and
// without a policy, looks whether that went through WireGuard where encryption is on, and removes all of it, also when ctx ends. With an empty image
// the pods run that of the daemon. tell is called as it goes on.
func (c *Cluster) Check(ctx context.Context, names []string, image string, w io.Writer, format string, tell func(string)) (v Verdict, err error) {
	nodes, err := c.named(ctx, names)
	if err != nil {
		return Unknown, err
	}
	nodes = slices.DeleteFunc(nodes, func(n Node) bool {
		if n.Pod == nil || !n.ready() {
			tell("left out: " + n.Name + n.unready())
		}
		return n.Pod == nil || !n.ready()
	})
	if len(nodes) == 0 {
		return Unknown, errors.New("no node is ready")
	}
	if image == "" {
		for _, one := range nodes[0].Pod.Spec.Containers {
			if one.Name == container(nodes[0].Pod) {
				image = one.Image
			}
		}
	}
	s := &stage{Cluster: c, nodes: nodes, image: image}
	defer func() { // whatever happened, and whoever is in a hurry
		tell("removing namespace " + s.namespace)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), removing)
		defer cancel()
		if gone := s.remove(last); gone != nil {
			err = errors.Join(err, gone)
		}
	}()
	if err = s.build(ctx, tell); err != nil {
		return Unknown, err
	}
	before := s.wires(ctx, tell)
	results, err := s.probe(ctx, tell)
	if err != nil {
		return Unknown, err
	}
	results = append(results, s.encrypted(ctx, before, tell)...)
	if slices.ContainsFunc(results, func(r CheckResult) bool { return !r.Passed }) {
		v = Unwell
	}
	if format == "junit" {
		return v, junit(w, results)
	}
	return v, checkTable(results).print(w, format)
}

// probe has every pod ask what concerns it, all at once.
func (s *stage) probe(ctx context.Context, tell func(string)) ([]CheckResult, error) {
	found := make([][]CheckResult, len(s.probes))
	errs := make([]error, len(s.probes))
	clients := make([]Node, len(s.probes))
	each(clients, func(i int, _ Node) {
		found[i] = s.questions(i)
		errs[i] = s.ask(ctx, s.probes[i], found[i])
		passed := 0
		for _, r := range found[i] {
			if r.Passed {
				passed++
			}
		}
		tell(fmt.Sprintf("from %s: %d of %d as expected", s.probes[i].Spec.NodeName, passed, len(found[i])))
	})
	return slices.Concat(found...), errors.Join(errs...)
}

// ask runs the questions of one pod in it, and notes the answers.
func (s *stage) ask(ctx context.Context, pod *corev1.Pod, list []CheckResult) error {
	ctx, cancel := context.WithTimeout(ctx, probing)
	defer cancel()
	command := []string{program, "probe"}
	for _, r := range list {
		command = append(command, r.Probe)
	}
	var out, said bytes.Buffer
	err := s.exec(ctx, pod, pod.Spec.Containers[0].Name, nil, &out, &said, command...)
	if exit := utilexec.ExitError(nil); err != nil && (!errors.As(err, &exit) || exit.ExitStatus() != 1) {
		return fmt.Errorf("pod %s: %w %s", pod.Name, err, said.String())
	}
	for decode := json.NewDecoder(&out); ; {
		var a struct {
			Probe, Saw, Pod string
			Passed          bool
		}
		if err := decode.Decode(&a); err != nil {
			break
		}
		for i := range list {
			if r := &list[i]; r.Probe == a.Probe && r.Saw == "" {
				if r.Passed, r.Saw = a.Passed, a.Saw; r.Passed && r.want != "" && a.Pod != r.want {
					r.Passed, r.Saw = false, fmt.Sprintf("%s answered, want %s", a.Pod, r.want)
				}
				break
			}
		}
	}
	for i := range list {
		if list[i].Saw == "" {
			list[i].Saw = "not asked: " + said.String()
		}
	}
	return nil
}

// remove deletes the namespace with all that is in it, and waits until it is gone.
func (s *stage) remove(ctx context.Context) error {
	if s.namespace == "" {
		return nil
	}
	now := int64(0)
	err := s.core().Delete().Resource("namespaces").Name(s.namespace).Body(&metav1.DeleteOptions{GracePeriodSeconds: &now}).Do(ctx).Error()
	for err == nil {
		var ns corev1.Namespace
		if err = s.core().Get().Resource("namespaces").Name(s.namespace).Do(ctx).Into(&ns); err == nil {
			err = nap(ctx)
		}
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("namespace %s is left: kubectl delete namespace %s: %w", s.namespace, s.namespace, err)
}

// nap is a moment between two looks; an error when the context ends.
func nap(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(300 * time.Millisecond):
		return nil
	}
}

// checkTable has a line for each kind of check, and one for each probe that went wrong.
func checkTable(results []CheckResult) printable {
	p := printable{columns: []string{"RESULT", "CHECK", "FAMILY", "PASSED", "FIRST FAILURE"}, data: listOf("CheckResultList", results)}
	type kind struct{ check, family string }
	var order []kind
	passed, all, first := map[kind]int{}, map[kind]int{}, map[kind]string{}
	total := 0
	for _, r := range results {
		k := kind{r.Check, r.Family}
		if all[k]++; all[k] == 1 {
			order = append(order, k)
		}
		switch {
		case r.Passed:
			passed[k]++
			total++
		case first[k] == "":
			first[k] = fmt.Sprintf("%s → %s (%s): %s", r.From, r.To, r.Probe, r.Saw)
		}
	}
	for _, k := range order {
		mark := "pass"
		if passed[k] < all[k] {
			mark = "FAIL"
		}
		p.rows = append(p.rows, []string{mark, k.check, k.family, fmt.Sprintf("%d of %d", passed[k], all[k]), first[k]})
	}
	p.notes = []string{fmt.Sprintf("check: %d passed, %d failed", total, len(results)-total)}
	return p
}

// junit writes the results as a test suite in the XML that CI systems read.
func junit(w io.Writer, results []CheckResult) error {
	type failure struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *failure `xml:"failure,omitempty"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	s := suite{Name: "kubectl kuberouter check", Tests: len(results)}
	for _, r := range results {
		one := testcase{Class: r.Check + " " + r.Family, Name: strings.Join([]string{r.From, r.To, r.Probe}, " ")}
		if !r.Passed {
			s.Failures++
			one.Failure = &failure{r.Saw}
		}
		s.Cases = append(s.Cases, one)
	}
	text, err := xml.MarshalIndent(s, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	}
	return err
}
