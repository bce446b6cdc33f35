package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kube-router/internal/lab/netns"
)

const (
	confDir  = "/etc/cni/net.d"
	cacheDir = "/var/lib/cni"
)

// hearing is how the namespaces that runtimes make are: they hear router advertisements.
var hearing = []string{"net.ipv6.conf.all.accept_ra=1", "net.ipv6.conf.default.accept_ra=1"}

// connect makes the pod's network namespace and has the plugin chain connect it.
func (p *Pod) connect(ctx context.Context) error {
	if err := p.kubelet.waitForNetwork(ctx); err != nil {
		return err
	}
	select {
	case p.kubelet.Starting <- struct{}{}:
		defer func() { <-p.kubelet.Starting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	space, err := netns.New()
	if err != nil {
		return err
	}
	if err = errors.Join(space.Prepare(), space.Sysctl(hearing...)); err != nil {
		return errors.Join(err, space.Close())
	}
	var ips []netip.Addr
	err = p.Machine().Enter(nil, func() error {
		if err = space.Pin(p.pin()); err != nil {
			return err
		}
		ips, err = p.add(ctx)
		if err != nil {
			err = errors.Join(err, p.del(context.WithoutCancel(ctx)), netns.Unpin(p.pin()))
		}
		return err
	})
	if err != nil {
		space.Close()
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.space, p.ips = space, ips
	return nil
}

// leave undoes connect; it does nothing the second time, or for a pod on the node's own network.
func (p *Pod) leave() {
	p.mu.Lock()
	space := p.space
	p.space, p.ips = nil, nil
	p.mu.Unlock()
	if space == nil || space == p.Machine().Space {
		return
	}
	if p.kubelet.run.Err() != nil { // the whole node goes, and all in it
		space.Close()
		return
	}
	err := p.Machine().Enter(nil, func() error {
		return errors.Join(p.del(context.Background()), netns.Unpin(p.pin()))
	})
	if err = errors.Join(err, space.Close()); err != nil && p.kubelet.run.Err() == nil {
		p.kubelet.Log.Warn("disconnect pod", "pod", p.Name(), "error", err)
	}
}

// pin is where the namespace's name is, on the node.
func (p *Pod) pin() string { return filepath.Join(netns.Dir, "cni-"+string(p.first.UID)) }

func (p *Pod) cni() *libcni.CNIConfig {
	return libcni.NewCNIConfigWithCacheDir(p.kubelet.Plugins, cacheDir, nil)
}

func (p *Pod) add(ctx context.Context) ([]netip.Addr, error) {
	chain, err := chain()
	if err != nil {
		return nil, err
	}
	conf, err := p.runtimeConf()
	if err != nil {
		return nil, err
	}
	out, err := p.cni().AddNetworkList(ctx, chain, conf)
	if err != nil {
		return nil, fmt.Errorf("CNI ADD: %w", err)
	}
	result, err := types100.NewResultFromResult(out)
	if err != nil {
		return nil, fmt.Errorf("CNI result: %w", err)
	}
	var ips []netip.Addr
	for _, ip := range result.IPs {
		if addr, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			ips = append(ips, addr.Unmap())
		}
	}
	return ips, nil
}

func (p *Pod) del(ctx context.Context) error {
	chain, err := chain()
	if err != nil {
		return err
	}
	conf, err := p.runtimeConf()
	if err != nil {
		return err
	}
	if err := p.cni().DelNetworkList(ctx, chain, conf); err != nil {
		return fmt.Errorf("CNI DEL: %w", err)
	}
	return nil
}

// chain reads the first configuration in the directory, as container runtimes do.
func chain() (*libcni.NetworkConfigList, error) {
	files, err := libcni.ConfFiles(confDir, []string{".conf", ".conflist", ".json"})
	if err != nil || len(files) == 0 {
		return nil, errors.Join(fmt.Errorf("no CNI configuration in %s", confDir), err)
	}
	if strings.HasSuffix(files[0], ".conflist") {
		return libcni.NetworkConfFromFile(files[0])
	}
	body, err := os.ReadFile(files[0])
	if err != nil {
		return nil, fmt.Errorf("CNI configuration: %w", err)
	}
	single, err := libcni.NetworkPluginConfFromBytes(body)
	if err != nil {
		return nil, fmt.Errorf("CNI configuration %s: %w", files[0], err)
	}
	//lint:ignore SA1019 Container runtimes still take a single configuration, as they have to by the CNI specification up to 1.0.
	return libcni.ConfListFromConf(single)
}

func (p *Pod) runtimeConf() (*libcni.RuntimeConf, error) {
	capabilities := map[string]any{}
	if ports := portMappings(p.first); len(ports) > 0 {
		capabilities["portMappings"] = ports
	}
	limits, err := bandwidth(p.first)
	if err != nil {
		return nil, err
	}
	if len(limits) > 0 {
		capabilities["bandwidth"] = limits
	}
	id := strings.ReplaceAll(string(p.first.UID), "-", "")
	return &libcni.RuntimeConf{
		ContainerID: id, NetNS: p.pin(), IfName: "eth0", CapabilityArgs: capabilities,
		Args: [][2]string{
			{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", p.first.Namespace}, {"K8S_POD_NAME", p.first.Name},
			{"K8S_POD_INFRA_CONTAINER_ID", id}, {"K8S_POD_UID", string(p.first.UID)},
		},
	}, nil
}

// portMapping is one hostPort, in the words of the CNI capability portMappings.
type portMapping struct {
	HostPort      int32  `json:"hostPort"`
	ContainerPort int32  `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}

func portMappings(obj *corev1.Pod) (all []portMapping) {
	for _, c := range obj.Spec.Containers {
		for _, port := range c.Ports {
			if port.HostPort != 0 {
				all = append(all, portMapping{port.HostPort, port.ContainerPort, strings.ToLower(string(port.Protocol)), port.HostIP})
			}
		}
	}
	return all
}

// bandwidth reads the two annotations that Kubernetes knows; rates are bits a second.
func bandwidth(obj *corev1.Pod) (map[string]json.Number, error) {
	limits := map[string]json.Number{}
	for _, direction := range []string{"ingress", "egress"} {
		text, ok := obj.Annotations["kubernetes.io/"+direction+"-bandwidth"]
		if !ok {
			continue
		}
		rate, err := resource.ParseQuantity(text)
		if err != nil {
			return nil, fmt.Errorf("annotation %s-bandwidth %q: %w", direction, text, err)
		}
		limits[direction+"Rate"] = json.Number(fmt.Sprint(rate.Value()))
		limits[direction+"Burst"] = json.Number(fmt.Sprint(math.MaxInt32)) // what runtimes pass when the annotation names no burst
	}
	return limits, nil
}
