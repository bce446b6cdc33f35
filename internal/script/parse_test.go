package script

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"kube-router/internal/driver/conntrack"
	"kube-router/internal/model"
	"kube-router/internal/watch/kube"
)

// script is one file of testdata.
type script struct {
	path   string
	input  *txtar.Archive // without the sections that are expected
	expect map[string]string
	flags  []string
	show   map[string]bool // empty: every table, without the static rows
	flows  []conntrack.Flow
	events []event
	// without are schedulers that the kernel doesn't have.
	without []string
}

// event is one thing that becomes true, or a look at what followed.
type event struct {
	ref    model.Ref
	object model.Object // nil: it is gone
	look   string
}

func (e event) String() string {
	switch {
	case e.look != "":
		return "look " + e.look
	case e.object == nil:
		return "delete " + e.ref.String()
	}
	return "apply " + e.ref.String()
}

// expected tells whether a file of the archive is a section that the test writes.
func expected(name string) bool {
	return name == "intents" || name == "remarks" || name == "kernel" ||
		strings.HasPrefix(name, "rows ") || strings.HasPrefix(name, "at ")
}

func read(t *testing.T, path string) *script {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a := txtar.Parse(text)
	s := &script{path: path, input: &txtar.Archive{Comment: a.Comment}, expect: map[string]string{}, show: map[string]bool{}}
	for _, f := range a.Files {
		if expected(f.Name) {
			s.expect[f.Name] = string(f.Data)
		} else {
			s.input.Files = append(s.input.Files, f)
		}
	}
	for i, line := range strings.Split(string(a.Comment), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			if err := s.step(words[0], words[1:]); err != nil {
				t.Fatalf("%s:%d: %s: %v", path, i+1, line, err)
			}
		}
	}
	return s
}

func (s *script) step(verb string, args []string) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("an argument is missing")
		}
	}()
	switch verb {
	case "flags":
		s.flags = append(s.flags, args...)
		return nil
	case "show":
		for _, a := range args {
			s.show[a] = true
		}
		return nil
	case "flow":
		return s.flow(args)
	case "without":
		s.without = args
	case "link":
		return s.link(args)
	case "path":
		return s.learn(args)
	case "apply":
		for _, file := range args {
			err = firstOf(err, s.apply(file))
		}
		return err
	case "identity", "answer":
		return s.key(args)
	case "attach":
		return s.attach(args)
	case "detach":
		s.gone(model.KindAttachment, args[0]+"/eth0")
	case "unlink":
		s.gone(model.KindLink, args[0])
	case "unpath":
		s.gone(model.KindPath, args[0])
	case "delete":
		s.gone(model.Kind(args[0]), args[1])
	case "look":
		s.events = append(s.events, event{look: args[0]})
	default:
		return fmt.Errorf("unknown step")
	}
	return nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (s *script) put(o model.Object) { s.events = append(s.events, event{ref: o.Ref(), object: o}) }

func (s *script) gone(k model.Kind, name string) {
	n := model.Name{Name: name}
	if ns, rest, ok := strings.Cut(name, "/"); ok && k != model.KindPath {
		n = model.Name{Namespace: ns, Name: rest}
	}
	s.events = append(s.events, event{ref: model.Ref{Kind: k, Name: n}})
}

// key reads "KEY": this node's own with a first word "own", else that of a peer who has answered.
func (s *script) key(args []string) error {
	k, err := model.ParseWireKey(args[len(args)-1])
	if args[0] == "own" {
		s.put(&model.WireIdentity{Key: k})
	} else {
		s.put(&model.WireAnswer{Key: k})
	}
	return err
}

// attach reads "CONTAINER POD PORT MAC ADDRESS..."; "cookie=N" is of the pod's network namespace.
func (s *script) attach(args []string) error {
	a := &model.Attachment{Container: args[0], Ifname: "eth0", Port: args[2]}
	a.Pod.Namespace, a.Pod.Name, _ = strings.Cut(args[1], "/")
	var err error
	if a.MAC, err = model.ParseMAC(args[3]); err != nil {
		return err
	}
	for _, text := range args[4:] {
		if n, ok := strings.CutPrefix(text, "cookie="); ok {
			if a.Cookie, err = strconv.ParseUint(n, 10, 64); err != nil {
				return err
			}
			continue
		}
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		a.Addrs = append(a.Addrs, addr)
	}
	s.put(a)
	return nil
}

func (s *script) link(args []string) error {
	l := &model.Link{Name: args[0], Index: len(args[0]), Kind: "device", MTU: 1500, Up: true}
	for _, a := range args[1:] {
		if mtu, ok := strings.CutPrefix(a, "mtu="); ok {
			n, err := strconv.Atoi(mtu)
			if err != nil {
				return err
			}
			l.MTU = n
			continue
		}
		p, err := netip.ParsePrefix(a)
		if err != nil {
			return err
		}
		l.Addrs = append(l.Addrs, p)
	}
	s.put(l)
	return nil
}

func (s *script) learn(args []string) error {
	prefix, err := netip.ParsePrefix(args[0])
	p := &model.Path{Prefix: prefix}
	for _, a := range args[1:] {
		switch a {
		case "via":
		case "external":
			p.External = true
		default:
			hop, e := netip.ParseAddr(a)
			err = firstOf(err, e)
			p.NextHops = append(p.NextHops, hop)
		}
	}
	s.put(p)
	return err
}

// flow makes a flow whose client saw the front and whose answer comes from the endpoint.
func (s *script) flow(args []string) error {
	proto, ok := map[string]uint8{"tcp": 6, "udp": 17, "sctp": 132}[args[0]]
	if !ok {
		return fmt.Errorf("unknown protocol")
	}
	var at [3]netip.AddrPort
	for i := range at {
		p, err := netip.ParseAddrPort(args[i+1])
		if err != nil {
			return err
		}
		at[i] = p
	}
	s.flows = append(s.flows, conntrack.Flow{Protocol: proto,
		Orig: conntrack.Tuple{Src: at[0], Dst: at[1]}, Reply: conntrack.Tuple{Src: at[2], Dst: at[0]}})
	return nil
}

// apply takes the objects of a file, in order.
func (s *script) apply(name string) error {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(s.path), name))
	for _, f := range s.input.Files {
		if f.Name == name {
			text, err = f.Data, nil
		}
	}
	if err != nil {
		return err
	}
	for _, doc := range strings.Split("\n"+string(text), "\n---") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		o, err := decode([]byte(doc))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.put(o)
	}
	return nil
}

// decode reads an API object and converts it as the watch does. An object without a namespace is in default.
func decode(text []byte) (model.Object, error) {
	var kind struct{ Kind string }
	if err := yaml.Unmarshal(text, &kind); err != nil {
		return nil, err
	}
	switch kind.Kind {
	case "Service":
		o := &corev1.Service{}
		err := yaml.UnmarshalStrict(text, o)
		o.Namespace = orDefault(o.Namespace)
		return kube.ConvertService(o), err
	case "EndpointSlice":
		o := &discoveryv1.EndpointSlice{}
		err := yaml.UnmarshalStrict(text, o)
		o.Namespace = orDefault(o.Namespace)
		return kube.ConvertSlice(o), err
	case "Pod":
		o := &corev1.Pod{}
		err := yaml.UnmarshalStrict(text, o)
		o.Namespace = orDefault(o.Namespace)
		return kube.ConvertPod(o), err
	case "NetworkPolicy":
		o := &networkingv1.NetworkPolicy{}
		err := yaml.UnmarshalStrict(text, o)
		o.Namespace = orDefault(o.Namespace)
		return kube.ConvertPolicy(o), err
	case "Namespace":
		o := &corev1.Namespace{}
		return convert(text, o, func() model.Object { return kube.ConvertNamespace(o) })
	case "Node":
		o := &corev1.Node{}
		return convert(text, o, func() model.Object { return kube.ConvertNode(o) })
	}
	return nil, fmt.Errorf("kind %q is not watched", kind.Kind)
}

func convert(text []byte, into any, f func() model.Object) (model.Object, error) {
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return nil, err
	}
	return f(), nil
}

func orDefault(ns string) string {
	if ns == "" {
		return "default"
	}
	return ns
}
