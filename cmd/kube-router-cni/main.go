// Command kube-router-cni is a CNI plugin that makes a pod's start wait until its network policy and the guard
// of its port are in the kernel. In a chain it follows the plugin that made the interface, and passes the result on
// unchanged; where its entry says in whose place it stands, it is the only plugin and makes the interface itself
// (package podlink). It hands the pod's name and addresses to the daemon over a unix socket. Until the daemon has answered, the static
// rules of the firewall refuse the address, so no packet of the pod is ever ahead of its policy. In the pod it sees to it
// that nobody there listens to router advertisements, and tells the neighbours whose the pod's addresses are now.
package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"kube-router/internal/model"
	"kube-router/internal/podlink"
	"kube-router/internal/row"
)

// defaultSocket and defaultTimeout stand where the configuration names none.
const (
	defaultSocket  = "/run/kube-router/cni.sock"
	defaultTimeout = 20 * time.Second
	farewell       = 2 * time.Second // for a DEL, which must succeed without the daemon too
)

func main() {
	skel.PluginMainFuncs(skel.CNIFuncs{Add: add, Del: del, Check: check, GC: gc, Status: status},
		version.PluginSupports("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"), "kube-router-cni: wait for the pod's network policy")
}

// conf is the plugin's entry in the CNI configuration.
type conf struct {
	types.PluginConf
	Socket  string            `json:"socket"`
	Timeout int               `json:"timeout"` // seconds that an ADD may wait
	DataDir string            `json:"dataDir"` // of host-local, if another than its default
	Instead []json.RawMessage `json:"instead"` // the entries of the plugins in whose place ours stands; none: it follows them in a chain

	RuntimeConfig struct {
		Ports     []json.RawMessage `json:"portMappings"`
		Bandwidth podlink.Limits    `json:"bandwidth"`
	} `json:"runtimeConfig"`

	link podlink.Conf // what Instead says
}

// own tells whether ours is the only plugin.
func (c *conf) own() bool { return c.Instead != nil }

func (c *conf) owner(args *skel.CmdArgs) podlink.Owner {
	return podlink.Owner{Network: c.Name, Container: args.ContainerID, Ifname: args.IfName}
}

func (c *conf) wait() time.Duration {
	if c.Timeout <= 0 {
		return defaultTimeout
	}
	return time.Duration(c.Timeout) * time.Second
}

// read parses the configuration and, where there is one, the result of the plugins before.
func read(stdin []byte) (*conf, *current.Result, error) {
	c := &conf{}
	if err := json.Unmarshal(stdin, c); err != nil {
		return nil, nil, types.NewError(types.ErrDecodingFailure, "can't read the configuration", err.Error())
	}
	if c.Socket == "" {
		c.Socket = defaultSocket
	}
	if c.own() {
		var err error
		if c.link, err = podlink.Parse(c.Instead); err != nil {
			return nil, nil, types.NewError(types.ErrInvalidNetworkConfig, "kube-router-cni can't stand in for these plugins", err.Error())
		}
		c.DataDir = c.link.DataDir
	}
	if c.RawPrevResult == nil {
		return c, nil, nil
	}
	if err := version.ParsePrevResult(&c.PluginConf); err != nil {
		return nil, nil, types.NewError(types.ErrDecodingFailure, "can't read prevResult", err.Error())
	}
	prev, err := current.NewResultFromResult(c.PrevResult)
	if err != nil {
		return nil, nil, types.NewError(types.ErrDecodingFailure, "can't convert prevResult", err.Error())
	}
	return c, prev, nil
}

// podArgs are what Kubernetes runtimes put into CNI_ARGS.
type podArgs struct {
	types.CommonArgs
	K8S_POD_NAME      types.UnmarshallableString
	K8S_POD_NAMESPACE types.UnmarshallableString
	K8S_POD_UID       types.UnmarshallableString
}

// attachment describes the interface; nil: it is no pod's.
func attachment(args *skel.CmdArgs, prev *current.Result) (*model.Attachment, error) {
	p := podArgs{CommonArgs: types.CommonArgs{IgnoreUnknown: true}}
	if err := types.LoadArgs(args.Args, &p); err != nil {
		return nil, types.NewError(types.ErrInvalidEnvironmentVariables, "can't read CNI_ARGS", err.Error())
	}
	if p.K8S_POD_NAME == "" {
		return nil, nil
	}
	a := &model.Attachment{
		Container: args.ContainerID, Ifname: args.IfName, Netns: args.Netns, UID: string(p.K8S_POD_UID),
		Pod: model.Name{Namespace: string(p.K8S_POD_NAMESPACE), Name: string(p.K8S_POD_NAME)},
	}
	if prev != nil {
		for _, ip := range prev.IPs {
			if addr, ok := netip.AddrFromSlice(ip.Address.IP); ok {
				a.Addrs = append(a.Addrs, addr.Unmap())
			}
		}
		a.Port, a.MAC = ends(args.IfName, prev)
	}
	return a, nil
}

// ends finds the link at the node's end of a pod's interface and the Ethernet address of the other. A result names the
// interface of the pod with its namespace, and before it those of the node: the bridge, if there is one, and the link.
func ends(ifname string, prev *current.Result) (port string, mac model.MAC) {
	for _, i := range prev.Interfaces {
		if i.Sandbox == "" {
			port = i.Name
			continue
		}
		if m, err := model.ParseMAC(i.Mac); i.Name == ifname && err == nil {
			return port, m
		}
	}
	return "", model.MAC{}
}

// setUp sets up a pod's interface, from within.
func setUp(ifname string, prev *current.Result) error {
	err := podlink.Deaf(ifname)
	ours := slices.ContainsFunc(prev.Interfaces, func(i *current.Interface) bool { return i.Name == row.BridgeName && i.Sandbox == "" })
	if err == nil && ours {
		err = impatient(ifname)
	}
	return err
}

func add(args *skel.CmdArgs) error {
	c, prev, err := read(args.StdinData)
	if err != nil {
		return err
	}
	if c.own() {
		if prev, err = connect(c, args); err != nil {
			return err
		}
		return types.PrintResult(prev, c.CNIVersion)
	}
	if prev == nil {
		return types.NewError(types.ErrInvalidNetworkConfig, "kube-router-cni needs a plugin before it in the chain", "no prevResult")
	}
	a, err := attachment(args, prev)
	if err != nil {
		return err
	}
	if a != nil {
		if err := protect(c, args, a, prev); err != nil {
			return err
		}
	}
	return types.PrintResult(prev, c.CNIVersion)
}

// protect returns when the policy of an attached pod is in force, and tells its neighbours.
func protect(c *conf, args *skel.CmdArgs, a *model.Attachment, prev *current.Result) error {
	if err := podlink.Within(args.Netns, func() error { a.Cookie = cookie(); return setUp(args.IfName, prev) }); err != nil {
		return types.NewError(types.ErrIOFailure, fmt.Sprintf("can't set up the interface of pod %s", a.Pod), err.Error())
	}
	if _, err := ask(c.Socket, c.wait(), model.AttachRequest{Verb: model.AttachAdd, Attachment: a}); err != nil {
		return types.NewError(types.ErrTryAgainLater,
			fmt.Sprintf("the network policy of pod %s is not in the kernel yet", a.Pod), err.Error())
	}
	if err := podlink.Within(args.Netns, func() error { return announce(args.IfName, a.MAC, a.Addrs) }); err != nil {
		// Nobody but those who knew the address's last owner misses it, and they ask again by themselves.
		fmt.Fprintf(os.Stderr, "kube-router-cni: announce the addresses of pod %s: %v\n", a.Pod, err)
	}
	return nil
}

// del must succeed without the daemon: it finds out by itself what has gone when it is back.
func del(args *skel.CmdArgs) error {
	c, prev, err := read(args.StdinData)
	if err != nil {
		return err
	}
	a, err := attachment(args, prev)
	if err != nil {
		return err
	}
	if c.own() {
		if err := unplug(c, args, prev); err != nil {
			return err
		}
	}
	if a != nil {
		_, _ = ask(c.Socket, farewell, model.AttachRequest{Verb: model.AttachDel, Attachment: a})
	}
	if c.own() {
		return leave(c, args)
	}
	return nil
}

func check(args *skel.CmdArgs) error {
	c, prev, err := read(args.StdinData)
	if err != nil {
		return err
	}
	a, err := attachment(args, prev)
	if err != nil {
		return err
	}
	if c.own() {
		if err := examine(c, args, prev); err != nil {
			return err
		}
	}
	if a == nil {
		return nil
	}
	if _, err := ask(c.Socket, c.wait(), model.AttachRequest{Verb: model.AttachCheck, Attachment: a}); err != nil {
		return types.NewError(types.ErrTryAgainLater, fmt.Sprintf("the network policy of pod %s is not in force", a.Pod), err.Error())
	}
	return nil
}

func gc(args *skel.CmdArgs) error {
	c, _, err := read(args.StdinData)
	if err != nil {
		return err
	}
	r := model.AttachRequest{Verb: model.AttachGC, Valid: []model.Name{}}
	for _, v := range c.ValidAttachments {
		r.Valid = append(r.Valid, model.Name{Namespace: v.ContainerID, Name: v.IfName})
	}
	if err := free(c, r.Valid, time.Now()); err != nil {
		return types.NewError(types.ErrTryAgainLater, "addresses of pods that are gone were not all freed", err.Error())
	}
	if _, err := ask(c.Socket, c.wait(), r); err != nil {
		return types.NewError(types.ErrTryAgainLater, "nothing was collected", err.Error())
	}
	return nil
}

func status(args *skel.CmdArgs) error {
	c, _, err := read(args.StdinData)
	if err != nil {
		return err
	}
	_, err = ask(c.Socket, farewell, model.AttachRequest{Verb: model.AttachStatus})
	if !wasReady(c.Socket, err == nil, time.Now()) {
		return types.NewError(types.ErrPluginNotAvailable, "kube-router is not ready for pods on this node", err.Error())
	}
	return nil
}
