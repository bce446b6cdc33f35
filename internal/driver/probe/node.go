package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is a link of the node.
type Link struct {
	Name, Kind string
	MTU        int
	Up         bool
	Master     string // the bridge that it is a port of; empty: none
}

// Node are the facts about a node as it is.
type Node struct {
	Settings  map[string]string // by path below /proc/sys; a missing setting is absent
	Writable  bool              // settings can be changed
	Links     []Link
	Processes []string // names of other programs that manage networks
	Plugins   []string // CNI plugins
	CNIFiles  []string // in the CNI directory, in the order in which runtimes take them
	CNIError  error    // why the CNI directory can't be read
}

// programs are those that may be in our way, as the kernel names their processes.
var programs = []string{
	"kube-proxy", "kube-router", "firewalld", "NetworkManager", "ufw", "flanneld", "calico-node", "cilium-agent", "antrea-agent",
}

// Look reads a node: proc is /proc, sys is where the host's /proc/sys can be written, settings are named as below it,
// plugins and conf are the CNI's folders.
func Look(proc, sys string, settings []string, plugins, conf string) (*Node, error) {
	n := &Node{Settings: map[string]string{}}
	for _, s := range settings {
		if text, err := os.ReadFile(filepath.Join(sys, s)); err == nil {
			n.Settings[s] = strings.Join(strings.Fields(string(text)), " ")
		}
	}
	n.Writable = writable(filepath.Join(sys, "net/ipv4/ip_forward"))
	n.Processes = processes(proc)
	n.Plugins, _ = names(plugins)
	if n.CNIFiles, n.CNIError = names(conf); n.CNIError == nil {
		n.CNIFiles = slices.DeleteFunc(n.CNIFiles, func(f string) bool {
			return !slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(f))
		})
	}
	return n, n.links()
}

// writable tells whether a file can be opened for writing; nothing is written.
func writable(path string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// processes are the names of running programs that manage networks, but for ourselves. In a container
// without the host's processes there are none to see.
func processes(proc string) []string {
	var list []string
	dirs, err := os.ReadDir(proc)
	if err != nil {
		return nil
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(proc, d.Name(), "comm"))
		if name := strings.TrimSpace(string(comm)); err == nil && slices.Contains(programs, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// names are the sorted names of the files in a folder.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var list []string
	for _, e := range entries {
		if !e.IsDir() {
			list = append(list, e.Name())
		}
	}
	return list, err
}

func (n *Node) links() error {
	list, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list links: %w", err)
	}
	names := map[int]string{0: ""}
	for _, l := range list {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range list {
		a := l.Attrs()
		n.Links = append(n.Links, Link{Name: a.Name, Kind: l.Type(), MTU: a.MTU, Up: a.Flags&unix.IFF_UP != 0, Master: names[a.MasterIndex]})
	}
	return nil
}
