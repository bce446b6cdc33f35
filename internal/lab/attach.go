package lab

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/netns"
)

// Demo is the manifest of the demo: five web pods behind a Service, and clients.
//
//go:embed demo.yaml
var Demo string

// Attach visits a lab that another process runs. Pods and hosts can be used as ever; daemons belong to their owner. Close leaves the lab
// as it is. The context ends the visit's watching.
func Attach(ctx context.Context, name string) (*Lab, error) {
	if Owner(name) == 0 {
		return nil, fmt.Errorf("no lab %q is running; labs here: %v", name, Running())
	}
	l := &Lab{config: Config{Name: name}, dir: filepath.Join(root, name), hosts: map[string]*Host{}, visitor: true}
	l.run, l.cancel = context.WithCancel(ctx)
	if err := l.visit(ctx); err != nil {
		l.Close()
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	return l, nil
}

func (l *Lab) visit(ctx context.Context) error {
	var err error
	if l.kubeconfig, err = os.ReadFile(l.Kubeconfig()); err != nil {
		return err
	}
	if l.Client, err = kube.New(l.kubeconfig); err != nil {
		return err
	}
	l.Watch = l.Client.NewWatch()
	l.running.Go(func() { l.Watch.Run(l.run) })
	if err = l.Watch.Synced(ctx); err != nil {
		return err
	}
	if l.fabric, err = netns.Open(filepath.Join(netns.Dir, spaceName(l.config.Name, "fabric"))); err != nil {
		return err
	}
	holders, err := filepath.Glob(filepath.Join(l.dir, "*", "holder"))
	if err != nil {
		return err
	}
	for _, path := range holders {
		if err := l.visitHost(path); err != nil {
			return err
		}
	}
	slices.SortFunc(l.nodes, func(a, b *Node) int { return a.number - b.number })
	return nil
}

// visitHost opens a host by the note that its owner left about it.
func (l *Lab) visitHost(note string) error {
	dir := filepath.Dir(note)
	text, err := os.ReadFile(note)
	if err != nil {
		return err
	}
	var pid int
	if _, err = fmt.Sscan(string(text), &pid); err != nil {
		return fmt.Errorf("%s: %w", note, err)
	}
	m, err := netns.OpenMachine(filepath.Base(dir), pid)
	if err != nil {
		return err
	}
	h := &Host{Name: filepath.Base(dir), space: m.Space, machine: m, holder: pid}
	for _, word := range strings.Fields(string(text))[1:] {
		if addr, err := netip.ParseAddr(word); err == nil {
			h.addrs = append(h.addrs, addr)
		}
	}
	l.hosts[h.Name] = h
	n := &Node{Host: h, lab: l, dir: dir}
	if _, err := fmt.Sscanf(h.Name, "n%d", &n.number); err == nil && kube.Find[corev1.Node](l.Watch.Nodes, h.Name) != nil {
		l.nodes = append(l.nodes, n)
	}
	return nil
}

// note leaves what a visitor needs to know about a host.
func (l *Lab) note(h *Host) error {
	text := fmt.Sprint(h.machine.PID())
	for _, a := range h.addrs {
		text += " " + a.String()
	}
	return os.WriteFile(filepath.Join(l.dir, h.Name, "holder"), []byte(text+"\n"), 0o644)
}

// visitPod opens the namespace of a pod on a node of a lab that is another's, where its kubelet pinned it.
func (n *Node) visitPod(obj *corev1.Pod) *Host {
	h := &Host{Name: obj.Namespace + "/" + obj.Name, machine: n.machine, space: n.space, node: n.Name}
	for _, ip := range obj.Status.PodIPs {
		if addr, err := netip.ParseAddr(ip.IP); err == nil {
			h.addrs = append(h.addrs, addr)
		}
	}
	if obj.Spec.HostNetwork {
		return h
	}
	space, err := netns.Open(fmt.Sprintf("/proc/%d/root%s/cni-%s", n.holder, netns.Dir, obj.UID))
	if err != nil {
		return nil
	}
	h.space = space
	return h
}
