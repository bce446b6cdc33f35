package cluster

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// firstWords are the first words of the lines, without the heading.
func firstWords(text string) (words []string) {
	for _, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		if fields := strings.Fields(line); len(fields) > 1 {
			words = append(words, fields[0]+" "+fields[1])
		}
	}
	return words
}

// TestPlugin is an operator's night: all is well; then one daemon hangs, another ends, and both are named first, with the cause.
func TestPlugin(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 3})
	kr := func(args ...string) answer {
		a := run(t, ctx, l, "kubectl", append([]string{"kuberouter"}, args...)...)
		t.Logf("$ kubectl kuberouter %s (code %d)\n%s%s", strings.Join(args, " "), a.code, a.out, a.errs)
		return a
	}
	eventually(t, func() error { // sessions are established a moment after the nodes are ready
		if a := kr("status"); a.code != 0 || strings.Count(a.out, " well ") != 3 || !strings.Contains(a.out, "3 nodes: 3 well, 0 with a cause, 0 silent") {
			return fmt.Errorf("status of a cluster that is well: %+v", a)
		}
		return nil
	})
	if a := kr("peers"); a.code != 0 || !strings.Contains(a.out, "6 of 6 sessions established") {
		t.Errorf("peers: %+v", a)
	}
	client, web := l.Pods("default", "app=client")[0], l.Pods("default", "app=web")
	other := web[0]
	for _, p := range web {
		if p.NodeName() != client.NodeName() {
			other = p
		}
	}
	name := strings.TrimPrefix(client.Name, "default/")
	for _, c := range []struct {
		args, says []string
	}{
		{[]string{"why", name, other.Name, "8080/tcp"}, []string{"==> " + client.NodeName() + " <==", "==> " + other.NodeName() + " <==", "allowed"}},
		{[]string{"why", "web"}, []string{"default/web:http"}},
		{[]string{"show", "summary"}, []string{"==> n1 <==", "==> n2 <==", "==> n3 <==", "well"}},
		{[]string{"show", "routes", "--node", "n2"}, []string{"10.244.3.0/24", "node n3"}},
		{[]string{"doctor", "-v"}, []string{"n1, n2, n3", "3 nodes:"}},
		{[]string{"show", "firewalls", name}, []string{client.IPv4().String()}},
	} {
		a := kr(c.args...)
		for _, text := range c.says {
			if !strings.Contains(a.out, text) {
				t.Errorf("%v: lacks %q", c.args, text)
			}
		}
	}
	if a := kr("status", "--node", "n9"); a.code != 2 || !strings.Contains(a.errs, `no node "n9"`) {
		t.Errorf("unknown node: %+v", a)
	}

	if err := l.Node("n3").SignalDaemon(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := l.Node("n2").StopDaemon(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	a := kr("status", "--timeout", "5s")
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("one daemon that hangs holds the answer up for %s", took)
	}
	words := firstWords(a.out)
	if a.code != 2 || len(words) < 3 || words[0] != "n2 SILENT" || words[1] != "n3 SILENT" || !strings.Contains(a.out, "not running") ||
		!strings.Contains(a.out, "no answer within 5s") {
		t.Errorf("status with two daemons away: %v %+v", words, a)
	}
	var list struct {
		APIVersion, Kind string
		Items            []struct {
			Node, State string
			Causes      []string
			Failing     int
		}
	}
	a = kr("status", "--timeout", "5s", "-o", "json")
	if err := json.Unmarshal([]byte(a.out), &list); err != nil || list.APIVersion != "kube-router.io/v1" || list.Kind != "NodeStatusList" ||
		len(list.Items) != 3 || list.Items[0].State != "silent" || len(list.Items[0].Causes) == 0 {
		t.Errorf("status -o json: %v %+v", err, list)
	}
	if a := kr("peers", "--timeout", "5s"); a.code != 2 || !strings.Contains(a.out, "SILENT n2") || !strings.Contains(firstWords(a.out)[0], "n1") {
		t.Errorf("peers with two daemons away: %+v", a)
	}
	if err := l.Node("n3").SignalDaemon(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := l.Node("n2").StartDaemon(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if a := kr("status"); a.code != 0 {
			return fmt.Errorf("status when all have come back: %+v", a)
		}
		return nil
	})
}
