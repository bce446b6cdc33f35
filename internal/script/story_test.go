package script

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"kube-router/internal/model"
)

var stories = flag.Int("stories", 12, "how many random stories are told")

// TestStories tells random stories made of what all scripts say, and plays each in all ways. What comes of them is
// not known beforehand, only that it is the same.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	var pool []event
	for _, path := range files {
		pool = append(pool, slices.DeleteFunc(read(t, path).events, func(e event) bool { return e.look != "" })...)
	}
	for seed := range uint64(*stories) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := invent(pool, seed)
			want := perform(t, s, plays(s)[0])
			for _, p := range plays(s)[1:] {
				t.Run(p.name, func(t *testing.T) { alike(t, p, want, perform(t, s, p)) })
			}
		})
	}
}

// settingsOf are sets of flags under which stories are told.
func settingsOf(seed uint64) []string {
	sets := [][]string{
		{"--enable-ipv6", "--strict-external-ip-validation=false"},
		{"--enable-ipv6", "--strict-external-ip-validation=false", "--node-routes=api", "--nodeport-bindon-all-ip"},
		{"--enable-ipv6", "--overlay-encap=vxlan", "--overlay-type=full", "--netpol-default-deny", "--masquerade-all"},
		{"--node-routes=api", "--peer-router-ips=10.0.0.254", "--peer-router-asns=65001", "--cluster-asn=64512",
			"--advertise-cluster-ip", "--advertise-external-ip", "--strict-external-ip-validation=false"},
		{"--service-proxy-engine=ipvs", "--enable-ipv6", "--strict-external-ip-validation=false", "--nodeport-bindon-all-ip"},
		{"--service-proxy-engine=ipvs", "--ipvs-graceful-termination", "--strict-external-ip-validation=false", "--hairpin-mode",
			"--service-tcp-timeout=10m"},
	}
	return sets[seed%uint64(len(sets))]
}

// invent makes a story: what becomes true is taken from the pool, and now and then something goes.
func invent(pool []event, seed uint64) *script {
	dice := rand.New(rand.NewPCG(seed, 3))
	s := &script{path: fmt.Sprint("story ", seed), flags: settingsOf(seed)}
	// Most stories are about one node whose uplink is there; the others find out about the rest.
	for _, e := range pool {
		if e.ref.Kind == model.KindLink && dice.IntN(20) == 0 {
			s.events = append(s.events, e)
		}
	}
	for range 60 {
		e := pool[dice.IntN(len(pool))]
		s.events = append(s.events, e)
		if gone := s.events[dice.IntN(len(s.events))]; dice.IntN(4) == 0 {
			s.events = append(s.events, event{ref: gone.ref})
		}
	}
	return s
}
