package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"

	"kube-router/internal/lab"
)

// TestOwnPluginIsFaster connects containers by both lists in turns, with a policy that selects their pod, and prints how long ADD takes.
func TestOwnPluginIsFaster(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1, DaemonArgs: []string{"--cni-plugin=own"}})
	n := &runtimeNode{l.Nodes()[0], t, ctx}
	n.install()
	n.plugin(l, "own")
	if err := l.Apply(ctx, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: some, namespace: default}
spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}], egress: [{}]}
`); err != nil {
		t.Fatal(err)
	}
	rounds := "20"
	if r := os.Getenv("ROUNDS"); r != "" {
		rounds = r
	}
	out := n.does("RACE", "", rounds)
	t.Log(out)
	var own, chain float64
	if _, err := fmt.Sscanf(out, "own p50 %f ms", &own); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(out[strings.Index(out, "chain"):], "chain p50 %f ms", &chain); err != nil {
		t.Fatal(err)
	}
	if own > 0.6*chain {
		t.Errorf("own takes %.1f ms, the chain %.1f", own, chain)
	}
}

// race connects containers by the list there is and by the chain in whose place it stands, in turns.
func race(ctx context.Context, own *libcni.NetworkConfigList, rounds int) (string, error) {
	chain, err := chainOf(own)
	if err != nil {
		return "", err
	}
	cni := libcni.NewCNIConfig([]string{pluginDir}, nil)
	lists := map[string]*libcni.NetworkConfigList{"own": own, "chain": chain}
	took := map[string][]time.Duration{}
	for i := range rounds {
		for _, kind := range []string{"own", "chain"} {
			conf := sandboxConf(fmt.Sprintf("r%d%s", i, kind), "client")
			if out, err := exec.Command("ip", "netns", "add", conf.ContainerID).CombinedOutput(); err != nil {
				return "", fmt.Errorf("%w: %s", err, out)
			}
			begun := time.Now()
			if _, err := cni.AddNetworkList(ctx, lists[kind], conf); err != nil {
				return "", fmt.Errorf("%s: %w", kind, err)
			}
			took[kind] = append(took[kind], time.Since(begun))
		}
		if i >= 50 {
			if err := leaveRace(ctx, cni, lists, i-50); err != nil {
				return "", err
			}
		}
	}
	for i := max(0, rounds-50); i < rounds; i++ {
		if err := leaveRace(ctx, cni, lists, i); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	for _, kind := range []string{"own", "chain"} {
		all := took[kind]
		slices.Sort(all)
		at := func(q float64) float64 { return all[int(q*float64(len(all)-1))].Seconds() * 1e3 }
		fmt.Fprintf(&b, "%s p50 %.1f ms, least %.1f, p25 %.1f, p90 %.1f, p99 %.1f, of %d\n", kind, at(.5), at(0), at(.25), at(.9), at(.99), len(all))
	}
	return b.String(), nil
}

func leaveRace(ctx context.Context, cni *libcni.CNIConfig, lists map[string]*libcni.NetworkConfigList, i int) error {
	for kind, list := range lists {
		conf := sandboxConf(fmt.Sprintf("r%d%s", i, kind), "client")
		if err := cni.DelNetworkList(ctx, list, conf); err != nil {
			return err
		}
		if out, err := exec.Command("ip", "netns", "del", conf.ContainerID).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// chainOf is the list with the plugins in whose place the only one stands.
func chainOf(own *libcni.NetworkConfigList) (*libcni.NetworkConfigList, error) {
	fields := map[string]any{}
	if err := json.Unmarshal(own.Bytes, &fields); err != nil {
		return nil, err
	}
	one := fields["plugins"].([]any)[0].(map[string]any)
	fields["plugins"] = append(one["instead"].([]any), map[string]any{"type": one["type"], "socket": one["socket"]})
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(text)
}
