package doctor

import (
	"errors"
	"testing"

	"kube-router/internal/model"
)

// TestServicesAtTheSocketAreNeverBad: packets get there without, but who asked is told.
func TestServicesAtTheSocketAreNeverBad(t *testing.T) {
	for name, c := range map[string]struct {
		mode  model.SocketMode
		facts socketFacts
		want  verdict // empty: nothing is said
	}{
		"off":                 {model.SocketOff, socketFacts{}, ""},
		"well":                {model.SocketPods, socketFacts{at: "/sys/fs/cgroup", whole: true}, fine},
		"a container's own":   {model.SocketPods, socketFacts{at: "/sys/fs/cgroup"}, warn},
		"can't":               {model.SocketHost, socketFacts{err: errors.New("no BPF")}, warn},
		"can't, and need not": {model.SocketAuto, socketFacts{err: errors.New("no BPF")}, fine},
		"auto, a container's": {model.SocketAuto, socketFacts{at: "/sys/fs/cgroup"}, warn},
	} {
		s := &model.Settings{Proxy: true, Socket: model.SocketSettings{Mode: c.mode}}
		list := checkSocket(&patient{s: s, atSocket: c.facts})
		if (len(list) == 0) != (c.want == "") || len(list) > 0 && (list[0].Verdict != c.want || (c.want == warn) != (list[0].Fix != "")) {
			t.Errorf("%s: %v, want %q", name, list, c.want)
		}
	}
}
