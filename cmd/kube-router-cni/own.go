package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"kube-router/internal/model"
	"kube-router/internal/podlink"
)

// delegateVersion is that in which portmap is spoken to: every version of it in use knows this one.
const delegateVersion = "1.0.0"

// connect does the whole ADD of the only plugin. Of one that fails nothing is left; of one that is killed, what DEL, GC and the daemon's
// start find by the lease.
func connect(c *conf, args *skel.CmdArgs) (*current.Result, error) {
	a, err := attachment(args, nil)
	if err != nil {
		return nil, err
	}
	var wish model.Wish
	if a != nil {
		if wish, err = wishes(c, a); err != nil {
			return nil, err
		}
	}
	owner := c.owner(args)
	given, err := take(c, owner, wish.Addrs)
	if err != nil {
		return nil, err
	}
	result, err := plug(c, args, a, wish, given)
	if err != nil {
		if left := errors.Join(podlink.Disconnect(owner), leave(c, args)); left != nil {
			fmt.Fprintf(os.Stderr, "kube-router-cni: what is left of container %s is taken away by DEL: %v\n", args.ContainerID, left)
		}
		return nil, err // alone: it has a code
	}
	return result, nil
}

// plug is ADD once there are addresses.
func plug(c *conf, args *skel.CmdArgs, a *model.Attachment, wish model.Wish, given []podlink.Address) (*current.Result, error) {
	cable, err := podlink.Connect(c.owner(args), args.Netns, c.link, given)
	if err == nil {
		err = podlink.Limit(c.owner(args), limits(c, wish))
	}
	if err != nil {
		return nil, types.NewError(types.ErrIOFailure, "can't connect the pod", err.Error())
	}
	result := told(c, args, cable, given)
	if a != nil {
		for _, g := range given {
			a.Addrs = append(a.Addrs, g.Prefix.Addr())
		}
		a.Port, a.MAC = ends(args.IfName, result)
		if err := protect(c, args, a, result); err != nil {
			return nil, err
		}
	}
	if len(c.RuntimeConfig.Ports) == 0 || c.link.Portmap == nil {
		return result, nil
	}
	if err := portmap(c, "ADD", result); err != nil {
		err = errors.Join(err, portmap(c, "DEL", result))
		return nil, types.NewError(types.ErrInternal, "plugin portmap can't open the pod's host ports", err.Error())
	}
	return result, nil
}

// wishes asks the daemon what the Pod says of its interface.
func wishes(c *conf, a *model.Attachment) (model.Wish, error) {
	reply, err := ask(c.Socket, c.wait(), model.AttachRequest{Verb: model.AttachWish, Attachment: a})
	if err != nil {
		return model.Wish{}, types.NewError(types.ErrTryAgainLater, fmt.Sprintf("nothing is known of pod %s yet", a.Pod), err.Error())
	}
	if reply.Wish.Wrong != "" {
		return model.Wish{}, types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("pod %s can't have the address that it asks for", a.Pod), reply.Wish.Wrong)
	}
	return reply.Wish, nil
}

// limits are what the runtime says of bandwidth, or, where it says nothing, the Pod.
func limits(c *conf, wish model.Wish) podlink.Limits {
	l := c.RuntimeConfig.Bandwidth
	switch {
	case !c.link.Bandwidth:
		return podlink.Limits{}
	case l.IngressRate == 0 && l.EgressRate == 0:
		return podlink.Limits{IngressRate: wish.Ingress, EgressRate: wish.Egress}
	}
	return l
}

// take gives the owner its addresses. The first ADD after the node's start frees those of the life before, and so does one that finds none.
func take(c *conf, owner podlink.Owner, fixed []netip.Addr) ([]podlink.Address, error) {
	store, err := podlink.Open(c.DataDir, c.Name)
	if err != nil {
		return nil, types.NewError(types.ErrIOFailure, "can't open the store of addresses", err.Error())
	}
	defer store.Close()
	mark := filepath.Join(filepath.Dir(c.Socket), "swept-"+c.Name)
	if _, err := os.Stat(mark); err != nil {
		if young, err := sweep(c, store); err == nil && young == 0 {
			_ = os.WriteFile(mark, nil, 0o600) // without it the next ADD looks again
		}
	}
	given, err := store.Take(owner, c.link.Sets, fixed)
	taken := podlink.Taken{}
	if errors.Is(err, podlink.ErrFull) || errors.As(err, &taken) {
		if _, e := sweep(c, store); e != nil {
			err = errors.Join(err, e)
		} else {
			given, err = store.Take(owner, c.link.Sets, fixed)
		}
	}
	out := podlink.OutOfRange{}
	switch {
	case err == nil:
		return given, nil
	case errors.As(err, &out):
		return nil, types.NewError(types.ErrInvalidNetworkConfig, "the pod can't have the address that it asks for", err.Error())
	case errors.Is(err, podlink.ErrFull), errors.As(err, &taken):
		return nil, types.NewError(types.ErrTryAgainLater, "no address for the pod", err.Error())
	}
	return nil, types.NewError(types.ErrIOFailure, "can't take an address", err.Error())
}

// sweep frees addresses of owners that are gone, and tells how many are too young to tell.
func sweep(c *conf, store *podlink.Leases) (int, error) {
	r := podlink.Records{Attached: filepath.Join(filepath.Dir(c.Socket), "attached"), Sure: true}
	_, young, err := store.Sweep(time.Now(), r.Lives)
	return young, err
}

// told is the result: the bridge, both ends of the cable, addresses and routes.
func told(c *conf, args *skel.CmdArgs, w podlink.Cable, given []podlink.Address) *current.Result {
	r := &current.Result{CNIVersion: current.ImplementedSpecVersion, DNS: c.DNS, Interfaces: []*current.Interface{
		{Name: w.Bridge, Mac: w.BridgeMAC.String()}, {Name: w.Link, Mac: w.LinkMAC.String()},
		{Name: args.IfName, Mac: w.MAC.String(), Sandbox: args.Netns},
	}}
	for _, g := range given {
		r.IPs = append(r.IPs, &current.IPConfig{Interface: current.Int(2), Address: *ipnet(g.Prefix), Gateway: g.Gateway.AsSlice()})
	}
	for _, to := range podlink.Routes(c.link, given) {
		r.Routes = append(r.Routes, &types.Route{Dst: *ipnet(to.To), GW: to.Via.AsSlice()})
	}
	return r
}

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// unplug takes the pod's cable away, whichever plugin made it, and its host ports. The namespace may be gone, the result unknown.
func unplug(c *conf, args *skel.CmdArgs, prev *current.Result) error {
	err := errors.Join(podlink.Disconnect(c.owner(args)), podlink.Unplug(args.Netns, args.IfName))
	if len(c.RuntimeConfig.Ports) > 0 && c.link.Portmap != nil {
		err = errors.Join(err, portmap(c, "DEL", prev))
	}
	if err != nil {
		return types.NewError(types.ErrIOFailure, "can't disconnect the pod", err.Error())
	}
	return nil
}

// leave frees the addresses, last of all: nobody may have them while anything of the pod is there.
func leave(c *conf, args *skel.CmdArgs) error {
	store, err := podlink.Open(c.DataDir, c.Name)
	if err == nil {
		defer store.Close()
		err = store.Free(c.owner(args))
	}
	if err != nil {
		return types.NewError(types.ErrIOFailure, "can't free the pod's addresses", err.Error())
	}
	return nil
}

// examine is CHECK but for the policy.
func examine(c *conf, args *skel.CmdArgs, prev *current.Result) error {
	if prev == nil {
		return types.NewError(types.ErrInvalidNetworkConfig, "CHECK needs the result of ADD", "no prevResult")
	}
	var addrs []netip.Addr
	for _, ip := range prev.IPs {
		if a, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	link, _ := ends(args.IfName, prev)
	err := podlink.Check(args.Netns, args.IfName, link, addrs)
	if err == nil && len(c.RuntimeConfig.Ports) > 0 && c.link.Portmap != nil {
		err = portmap(c, "CHECK", prev)
	}
	if err != nil {
		return types.NewError(types.ErrInternal, "the pod's network is not as it was made", err.Error())
	}
	return nil
}

// portmap has the plugin portmap open or close the host ports of a pod that has some. It is not called for others.
func portmap(c *conf, verb string, prev *current.Result) error {
	entry := map[string]any{}
	if err := json.Unmarshal(c.link.Portmap, &entry); err != nil {
		return err
	}
	delete(entry, "capabilities")
	entry["cniVersion"], entry["name"] = delegateVersion, c.Name
	entry["runtimeConfig"] = map[string]any{"portMappings": c.RuntimeConfig.Ports}
	if prev != nil {
		r, err := prev.GetAsVersion(delegateVersion)
		if err != nil {
			return err
		}
		entry["prevResult"] = r
	}
	text, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	switch verb {
	case "ADD":
		_, err = invoke.DelegateAdd(context.Background(), "portmap", text, nil)
	case "DEL":
		err = invoke.DelegateDel(context.Background(), "portmap", text, nil)
	case "CHECK":
		err = invoke.DelegateCheck(context.Background(), "portmap", text, nil)
	}
	return err
}
