package operate

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// looks are the commands that tell all that a node's kernel holds for its network.
var looks = []string{
	"ip -d link show", "ip -4 address show", "ip -6 address show", "ip -4 rule show", "ip -6 rule show",
	"ip -4 route show table all", "ip -6 route show table all", "ip -d fou show", "bridge fdb show", "bridge vlan show",
	"nft list ruleset", "iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save",
	"ipset save", "ipvsadm -Sn", "ip -s tunnel show",
}

// volatile is what changes without anybody's doing.
var volatile = []*regexp.Regexp{
	regexp.MustCompile(`(?m)^#.*\n`),
	regexp.MustCompile(`\[\d+:\d+\]`),
	regexp.MustCompile(`packets \d+ bytes \d+`),
	regexp.MustCompile(`(valid|preferred)_lft \w+`),
	regexp.MustCompile(`expires \d+sec`),
	regexp.MustCompile(`\w+_timer +[\d.]+`),
	regexp.MustCompile(`\d+ bytes|RX:.*|TX:.*`),
}

// restless are settings that are counters.
var restless = []string{"nf_conntrack_count", "fs/", "stat", "netfilter/nf_conntrack_expect_count", "somaxconn_", "flow_limit"}

// state is all that a node holds: what each command prints, every setting, every file.
func (n *node) state() map[string]string {
	n.t.Helper()
	all := map[string]string{}
	for _, look := range looks {
		words := strings.Fields(look)
		if !tool(words[0]) {
			n.t.Fatalf("%s is missing: test/setup test installs it", words[0])
		}
		text, err := n.try(words[0], words[1:]...)
		if err != nil {
			text = "fails: " + text // the kernel has no such thing; so it must stay
		}
		for _, v := range volatile {
			text = v.ReplaceAllString(text, "")
		}
		all[look] = text
	}
	n.check(n.space.Do(func() error { return settings(all) }))
	n.files(all)
	return all
}

// settings reads all settings of the network namespace of the calling thread.
func settings(all map[string]string) error {
	root := "/proc/sys/net"
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.ContainsFunc(restless, func(s string) bool { return strings.Contains(path, s) }) {
			return nil
		}
		// What only root may write need not be readable.
		if text, err := os.ReadFile(path); err == nil {
			all[path] = string(bytes.TrimSpace(text))
		}
		return nil
	})
}

// files reads the node's own files, but for those of the test.
func (n *node) files(all map[string]string) {
	n.t.Helper()
	n.check(filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%s\n%s", info.Mode(), text)
		return err
	}))
	for _, path := range []string{"/etc/iproute2/rt_tables", "/usr/lib/iproute2/rt_tables", "/usr/share/iproute2/rt_tables"} {
		if text, err := os.ReadFile(path); err == nil {
			all[path] = string(text)
		}
	}
}

// same fails the test where two states differ.
func same(t *testing.T, what string, before, after map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("%s: the node is not as it was (-before +after):\n%s", what, diff)
	}
}
